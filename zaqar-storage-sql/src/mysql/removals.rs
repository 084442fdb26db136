//! Deletes: what waits for one queue goes into one transaction ([`super::removal_step`]) and shares
//! its flush. Each caller keeps its place at the gate while it waits in the lane, as takers do.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use zaqar_core::{ClaimId, Effect, Error, MessageId, QueueRef, Result};
use zaqar_storage_lanes::{LaneStep, Weight};

use crate::layout::{gone, moving, refused_too, row_of};

use super::driver::Store;
use super::error::Broken;
use super::removal_step::{RemovalStep, Removed};
use super::row::SqlRow;
use super::server::Server;
use super::sql::sql;
use super::told::Told;

/// Under which condition messages may go.
#[derive(Debug, Clone)]
pub(crate) enum Rule {
    /// One message, free.
    Free,
    /// One message, under this live claim.
    HeldBy(ClaimId),
    /// Any messages, claimed ones too.
    Any,
    /// Messages that are all under one of these live claims.
    AllHeldBy(Vec<ClaimId>),
}

impl Rule {
    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Free | Self::HeldBy(_) => "message_delete",
            Self::Any | Self::AllHeldBy(_) => "message_bulk_delete",
        }
    }
}

/// A delete: of all messages that are there, or of none.
#[derive(Debug, Clone)]
pub(crate) struct Removal {
    /// Rows, each once, in the order in which the caller named the messages.
    pub(crate) places: Vec<(i64, MessageId)>,
    pub(crate) rule: Rule,
}

/// What lanes do with deletes.
#[derive(Debug)]
pub(crate) struct RemovalLane {
    pub(crate) server: Arc<Server>,
}

#[async_trait]
impl LaneStep for RemovalLane {
    type Key = QueueRef;
    type Operation = Removal;
    type Answer = ();
    const OPERATION: &'static str = "message_delete";

    async fn run(&self, queue: &QueueRef, removals: Vec<Removal>) -> Vec<Result<()>> {
        let removals: Arc<[Removal]> = removals.into();
        let broken = match self.batch(queue, Arc::clone(&removals)).await {
            Ok(answers) => return answers,
            Err(broken) => broken,
        };
        if broken.effect == Effect::Unknown || removals.len() == 1 {
            return removals.iter().map(|one| Err(broken.tell(one.rule.operation()))).collect();
        }
        // Nothing was removed. Whose fault it was shows when each is alone; a place at the gate, and
        // so a connection, each of them has.
        let alone = removals.iter().map(|one| async move {
            let told = |broken: Broken| vec![Err(broken.tell(one.rule.operation()))];
            self.batch(queue, [one.clone()].into()).await.unwrap_or_else(told)
        });
        join_all(alone).await.into_iter().flatten().collect()
    }
}

impl RemovalLane {
    async fn batch(
        &self,
        queue: &QueueRef,
        removals: Arc<[Removal]>,
    ) -> Result<Vec<Result<()>>, Broken> {
        let refuse = |refusal: &Error| {
            Ok(removals.iter().map(|_| Err(refused_too(queue, refusal))).collect())
        };
        let Some(number) = self.server.find_number(queue).await.map_err(Broken::inside)? else {
            return refuse(&gone(queue));
        };
        let mut step =
            RemovalStep { queue: queue.clone(), number, removals: Arc::clone(&removals) };
        let removed = match self.server.transact_for_many(&mut step).await? {
            Ok(removed) => removed,
            Err(refusal) => return refuse(&refusal),
        };
        let answer = |(removal, removed): (&Removal, Removed)| match removed {
            Removed::All => Ok(()),
            Removed::Refused(id, holder) => Err(removal.rule.refusal(id, holder)),
            Removed::Still => Err(moving(&step.queue)),
        };
        Ok(step.removals.iter().zip(removed).map(answer).collect())
    }
}

/// Removes messages, all or none, at a place that the caller has already.
pub(crate) async fn remove(
    store: &Store,
    queue: &QueueRef,
    ids: &[MessageId],
    rule: Rule,
) -> Result<()> {
    let operation = rule.operation();
    let number = store.server.number(operation, queue).await?;
    let places = rows_of_messages(&store.server, operation, queue, number, ids).await?;
    let party = Some(queue.key.project.clone());
    let weight = Weight::new(places.len(), 0);
    store.removals.submit(&party, queue, weight, Removal { places, rule }).await
}

/// The rows that hold, or held, messages, in the order asked, each once; without those that this
/// queue never held.
pub(crate) async fn rows_of_messages(
    server: &Server,
    operation: &'static str,
    queue: &QueueRef,
    number: i64,
    ids: &[MessageId],
) -> Result<Vec<(i64, MessageId)>> {
    let own = |id: &MessageId| id.incarnation() == queue.incarnation;
    let foreign: Vec<String> = ids.iter().filter(|id| !own(id)).map(ToString::to_string).collect();
    let arrived = match foreign.is_empty() {
        true => HashMap::new(),
        false => arrivals(server, operation, number, foreign).await?,
    };
    let mut seen = HashSet::with_capacity(ids.len());
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let row = match own(id) {
            true => row_of(number, id.sequence()),
            false => arrived.get(&id.to_string()).copied(),
        };
        rows.extend(row.filter(|row| seen.insert(*row)).map(|row| (row, *id)));
    }
    Ok(rows)
}

/// Where messages of other queues stand in this one. A place is given once and never changes.
async fn arrivals(
    server: &Server,
    operation: &'static str,
    number: i64,
    origins: Vec<String>,
) -> Result<HashMap<String, i64>> {
    let select = sql("SELECT origin, id FROM arrivals WHERE queue = $1 AND origin IN ($2)")
        .bind(number)
        .bind(origins);
    let rows = server.read(operation, select).await?;
    let read = |row: &SqlRow| Ok::<_, sqlx::Error>((row.try_get(0)?, row.try_get(1)?));
    rows.iter().map(read).collect::<Result<_, _>>().told(operation)
}
