//! Deletes: all that wait for one queue are looked up together, decided in turn, and done in one
//! transaction. What is deleted must be as it was looked at: if a claim took it meanwhile, the
//! transaction conflicts and decides anew (G6).

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::{RawDocumentBuf, doc};
use serde::Deserialize;
use zaqar_core::{ClaimId, Error, MessageId, QueueRef, Result, Timestamp};
use zaqar_storage_lanes::LaneStep;

use crate::abandoned::Underway;
use crate::error::{Failure, NativeResult};
use crate::heads::{Head, checked, moving};
use crate::posts::same;
use crate::query::{Query, read};
use crate::rows::claim_id;
use crate::schema::DATA;
use crate::step::Step;
use crate::store::Store;
use crate::tables::{
    CLAIMABLE, FROZEN, PARKED, arrival_key, head_key, message_key, position, queue_code,
};
use crate::task::{Task, transact};

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

/// A delete that waits in its queue's lane.
#[derive(Debug)]
pub(crate) struct Removal {
    pub(crate) ids: Vec<MessageId>,
    pub(crate) rule: Rule,
    pub(crate) _underway: Underway,
}

/// Does all deletes that wait in a lane.
#[derive(Debug)]
pub(crate) struct RemovalStep(pub(crate) Arc<Store>);

#[async_trait]
impl LaneStep for RemovalStep {
    type Key = QueueRef;
    type Operation = Removal;
    type Answer = ();
    const OPERATION: &'static str = "message_delete";

    async fn run(&self, queue: &QueueRef, removals: Vec<Removal>) -> Vec<Result<()>> {
        let count = removals.len();
        let mut batch = Batch { queue: queue.clone(), removals };
        match transact(&self.0, &mut batch).await {
            Ok(outcomes) => outcomes,
            Err(error) => (0..count).map(|_| Err(same(&error))).collect(),
        }
    }
}

/// What is stored of a message that somebody wants gone.
#[derive(Debug, Clone, Deserialize)]
struct Stored {
    s: i64,
    avail: i64,
    expires: i64,
    claim: Option<String>,
}

/// A message that is there, as a delete sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Free,
    Held(ClaimId),
    Parked,
    /// On its way to another store, or from one.
    Frozen,
}

impl Stored {
    /// `None`: expired, so not there.
    fn standing(&self, now: Timestamp) -> NativeResult<Option<Standing>> {
        let now = now.as_millis();
        Ok(match (self.avail, &self.claim) {
            (PARKED, _) => Some(Standing::Parked),
            _ if self.expires <= now => None,
            (FROZEN, _) => Some(Standing::Frozen),
            (avail, Some(claim)) if avail > now => Some(Standing::Held(claim_id(claim)?)),
            _ => Some(Standing::Free),
        })
    }
}

/// All deletes of a batch.
#[derive(Debug)]
struct Batch {
    queue: QueueRef,
    removals: Vec<Removal>,
}

#[async_trait]
impl Task for Batch {
    type Output = Vec<Result<()>>;
    const OPERATION: &'static str = "message_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure> {
        let arrivals = arrivals(step, &self.queue, &self.removals).await?;
        let wanted: Vec<_> = self
            .removals
            .iter()
            .map(|removal| positions(&self.queue, &arrivals, &removal.ids))
            .collect();
        let Looked { head, mut stored, unsettled } = load(step, &self.queue, &wanted).await?;
        let (mut doomed, mut outcomes) = (Vec::new(), Vec::with_capacity(wanted.len()));
        for (removal, positions) in self.removals.iter().zip(&wanted) {
            match decide(&self.queue, &removal.rule, positions, &stored) {
                Ok(positions) => {
                    for position in positions {
                        // Gone for the deletes that follow in this batch.
                        stored.remove(&position);
                        doomed.push(message_key(head.q, position));
                    }
                    outcomes.push(Ok(()));
                }
                Err(error) => outcomes.push(Err(error)),
            }
        }
        if !doomed.is_empty() {
            step.delete(DATA, doc! { "_id": { "$in": doomed }, "q": head.q }).await?;
        }
        if !unsettled.is_empty() {
            // A write, so that this conflicts with a claim that is about to prolong their lives.
            let write = doc! { "$inc": { "looked": 1_i64 } };
            step.update(DATA, doc! { "_id": { "$in": unsettled }, "q": head.q }, write).await?;
        }
        Ok(outcomes)
    }
}

/// Where the messages stand that came from other queues.
async fn arrivals(
    step: &mut Step<'_>,
    queue: &QueueRef,
    removals: &[Removal],
) -> NativeResult<HashMap<String, i64>> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "_id")]
        key: String,
        at: i64,
    }
    let q = queue_code(queue.incarnation);
    let ids = removals.iter().flat_map(|removal| &removal.ids);
    let foreign = ids.filter(|id| id.incarnation() != queue.incarnation);
    let keys: Vec<String> = foreign.map(|id| arrival_key(q, *id)).collect();
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows: Vec<Row> = step.find(DATA, Query::of(doc! { "_id": { "$in": keys } })).await?;
    Ok(rows.into_iter().map(|row| (row.key, row.at)).collect())
}

/// The positions of the messages that are or could be there.
fn positions(
    queue: &QueueRef,
    arrivals: &HashMap<String, i64>,
    ids: &[MessageId],
) -> Vec<(i64, MessageId)> {
    let q = queue_code(queue.incarnation);
    let place = |id: &MessageId| {
        let found = if id.incarnation() == queue.incarnation {
            position(id.sequence())
        } else {
            arrivals.get(&arrival_key(q, *id)).copied()
        };
        found.map(|position| (position, *id))
    };
    ids.iter().filter_map(place).collect()
}

/// What a batch of deletes goes by.
struct Looked {
    head: Head,
    /// The messages that are there, by their positions.
    stored: HashMap<i64, Standing>,
    /// The keys of those whose end has passed and was not settled.
    unsettled: Vec<String>,
}

/// Reads the head and the messages in one go: they are in one collection.
async fn load(
    step: &mut Step<'_>,
    queue: &QueueRef,
    wanted: &[Vec<(i64, MessageId)>],
) -> Result<Looked, Failure> {
    let q = queue_code(queue.incarnation);
    let head_key = head_key(q);
    let mut keys: Vec<String> =
        wanted.iter().flatten().map(|(at, _)| message_key(q, *at)).collect();
    keys.push(head_key.clone());
    let query = Query::of(doc! { "_id": { "$in": keys }, "q": q }).without(&["body"]);
    let found: Vec<RawDocumentBuf> = step.find(DATA, query).await?;
    // The moment of the decision: a lease that ended before it refuses.
    step.tick();
    let (mut head, mut rows) = (None, Vec::with_capacity(found.len()));
    for document in &found {
        if document.get_str("_id").is_ok_and(|id| id == head_key) {
            head = Some(read::<Head>(document)?);
        } else {
            rows.push(read::<Stored>(document)?);
        }
    }
    let head = checked(queue, head)?;
    let (mut stored, mut unsettled) = (HashMap::with_capacity(rows.len()), Vec::new());
    for row in rows.into_iter().filter(|row| row.s > head.purged) {
        match row.standing(step.now)? {
            Some(standing) => drop(stored.insert(row.s, standing)),
            None if row.avail >= CLAIMABLE => unsettled.push(message_key(q, row.s)),
            None => {}
        }
    }
    Ok(Looked { head, stored, unsettled })
}

/// Which positions go; an error if the rule forbids it, and then none goes.
fn decide(
    queue: &QueueRef,
    rule: &Rule,
    positions: &[(i64, MessageId)],
    stored: &HashMap<i64, Standing>,
) -> Result<Vec<i64>> {
    let mut doomed = Vec::with_capacity(positions.len());
    for (position, id) in positions {
        let Some(standing) = stored.get(position) else { continue };
        if *standing == Standing::Frozen {
            return Err(moving(queue));
        }
        if permits(rule, *standing, *id)? {
            doomed.push(*position);
        }
    }
    doomed.sort_unstable();
    doomed.dedup();
    Ok(doomed)
}

fn permits(rule: &Rule, standing: Standing, id: MessageId) -> Result<bool> {
    match (rule, standing) {
        (Rule::Free, Standing::Free) => Ok(true),
        (Rule::Free, _) => Err(Error::MessageClaimed { id }),
        (Rule::HeldBy(claim), Standing::Held(holder)) if *claim == holder => Ok(true),
        (Rule::HeldBy(claim), Standing::Held(_)) => {
            Err(Error::MessageNotClaimedBy { id, claim: *claim })
        }
        // It belongs to the dead-letter queue already.
        (Rule::Any | Rule::AllHeldBy(_), Standing::Parked) => Ok(false),
        (Rule::Any, _) => Ok(true),
        (Rule::AllHeldBy(claims), Standing::Held(holder)) if claims.contains(&holder) => Ok(true),
        (Rule::AllHeldBy(claims), Standing::Held(_)) => match claims.first() {
            Some(claim) => Err(Error::MessageNotClaimedBy { id, claim: *claim }),
            None => Err(Error::MessageNotClaimed { id }),
        },
        (Rule::HeldBy(_), _) | (Rule::AllHeldBy(_), Standing::Free | Standing::Frozen) => {
            Err(Error::MessageNotClaimed { id })
        }
    }
}
