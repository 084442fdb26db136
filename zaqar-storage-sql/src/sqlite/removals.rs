//! Deletes: each is looked up, decided and done in turn.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use tokio::sync::oneshot;
use zaqar_core::{ClaimId, Effect, Error, MessageId, QueueRef, Result, Timestamp};

use crate::error::{Failure, damaged, engine_error};
use crate::layout::{moving, row_id, row_of};

use super::engine::native;
use super::gone::Gone;
use super::heads::Head;
use super::rows::{claim_id, runs};
use super::statement::query;
use super::step::Step;
use super::tables::PARKED;
use super::task::answer;

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

/// A delete together with whoever waits for it.
pub(crate) struct Removal {
    pub(crate) queue: QueueRef,
    pub(crate) ids: Vec<MessageId>,
    pub(crate) rule: Rule,
    pub(crate) reply: oneshot::Sender<Result<()>>,
    pub(crate) outcome: Option<Result<()>>,
}

impl Removal {
    fn operation(&self) -> &'static str {
        match self.rule {
            Rule::Free | Rule::HeldBy(_) => "message_delete",
            Rule::Any | Rule::AllHeldBy(_) => "message_bulk_delete",
        }
    }

    pub(crate) fn settle(self) {
        let operation = self.operation();
        let lost = || Err(crate::error::closed(operation));
        answer(self.reply, self.outcome.unwrap_or_else(lost));
    }

    pub(crate) fn fail(self, effect: Effect, error: &Arc<sqlx::Error>) {
        let operation = self.operation();
        answer(self.reply, Err(engine_error(operation, effect, error)));
    }

    pub(crate) fn refuse(self, make: &dyn Fn(&'static str) -> Error) {
        let operation = self.operation();
        answer(self.reply, Err(make(operation)));
    }
}

/// What is stored of a message that somebody wants gone.
#[derive(Debug, Clone, Copy)]
struct Stored {
    avail: i64,
    claim: Option<ClaimId>,
    expires: i64,
}

/// A message that is there, as a delete sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Free,
    Held(ClaimId),
    Parked,
}

impl Stored {
    /// `None`: expired, so not there.
    fn standing(&self, now: Timestamp) -> Option<Standing> {
        let now = now.as_millis();
        match (self.avail, self.claim) {
            (PARKED, _) => Some(Standing::Parked),
            _ if self.expires <= now => None,
            (avail, Some(claim)) if avail > now => Some(Standing::Held(claim)),
            _ => Some(Standing::Free),
        }
    }
}

/// What is stored of a run of messages.
const STORED: &str = "SELECT id, avail, expires, claim FROM messages WHERE id BETWEEN ? AND ?";
const DELETE_RUN: &str = "DELETE FROM messages WHERE id BETWEEN ? AND ?";
const DELETE_BODIES: &str = "DELETE FROM bodies WHERE id BETWEEN ? AND ?";

/// Executes all deletes of a batch.
pub(crate) async fn execute(
    step: &mut Step<'_>,
    removals: &mut [Removal],
) -> Result<(), sqlx::Error> {
    let mut gone = Gone::default();
    for removal in removals {
        // What an earlier attempt decided was rolled back with it.
        removal.outcome = None;
        let removed = match find_rows(step, &removal.queue, &removal.ids).await {
            Ok((head, rows)) => {
                let still = Still { queue: &removal.queue, rows: head.still() };
                remove(step, &removal.rule, &rows, &still, &mut gone)
            }
            Err(failure) => Err(failure),
        };
        removal.outcome = Some(match removed {
            Ok(()) => Ok(()),
            Err(Failure::Refused(error)) => Err(error),
            Err(Failure::Engine(error)) => return Err(error),
        });
    }
    gone.record(step)
}

/// Removes the messages in these rows if the rule permits it; otherwise none of them.
fn remove(
    step: &Step<'_>,
    rule: &Rule,
    rows: &[(i64, MessageId)],
    still: &Still<'_>,
    gone: &mut Gone,
) -> Result<(), Failure> {
    let stored = look(step, rows)?;
    let doomed = decide(rule, rows, &stored, still, step.now)?;
    delete_rows(step, &doomed)?;
    gone.add(&doomed);
    Ok(())
}

fn look(step: &Step<'_>, rows: &[(i64, MessageId)]) -> Result<HashMap<i64, Stored>, sqlx::Error> {
    let mut rows: Vec<i64> = rows.iter().map(|(row, _)| *row).collect();
    rows.sort_unstable();
    rows.dedup();
    let mut found = HashMap::with_capacity(rows.len());
    let mut select = step.prepare(STORED)?;
    for (first, last) in runs(rows) {
        let mut rows = select.query([first, last]).map_err(native)?;
        while let Some(row) = rows.next().map_err(native)? {
            let claim = row.get_ref(3).map_err(native)?.as_blob_or_null();
            let claim = claim.map_err(|_| damaged("claim id"))?.map(claim_id).transpose()?;
            let (avail, expires) = (row.get(1).map_err(native)?, row.get(2).map_err(native)?);
            found.insert(row.get(0).map_err(native)?, Stored { avail, claim, expires });
        }
    }
    Ok(found)
}

/// What is on its way to another store, or from one.
struct Still<'q> {
    queue: &'q QueueRef,
    rows: Range<i64>,
}

/// The head, and the rows of the messages that are or could be there.
pub(crate) async fn find_rows(
    step: &mut Step<'_>,
    queue: &QueueRef,
    ids: &[MessageId],
) -> Result<(Head, Vec<(i64, MessageId)>), Failure> {
    let head = step.head(queue).await?;
    let mut rows = Vec::with_capacity(ids.len());
    for id in ids {
        let row = if id.incarnation() == queue.incarnation {
            row_of(head.number, id.sequence())
        } else {
            arrival(step, &head, *id).await?
        };
        let purged = row_id(head.number, head.purged);
        rows.extend(row.filter(|row| *row > purged).map(|row| (row, *id)));
    }
    Ok((head, rows))
}

/// The row of a message that was moved into this queue.
async fn arrival(
    step: &mut Step<'_>,
    head: &Head,
    id: MessageId,
) -> Result<Option<i64>, sqlx::Error> {
    let select = query("SELECT id FROM arrivals WHERE queue = ? AND origin = ?")
        .bind(head.number)
        .bind(id.to_string());
    step.row(select).await?.map(|row| row.try_get(0)).transpose()
}

/// Which rows go; an error if the rule forbids it, and then none goes.
fn decide(
    rule: &Rule,
    rows: &[(i64, MessageId)],
    stored: &HashMap<i64, Stored>,
    still: &Still<'_>,
    now: Timestamp,
) -> Result<Vec<i64>> {
    let mut doomed = Vec::with_capacity(rows.len());
    for (row, id) in rows {
        let Some(standing) = stored.get(row).and_then(|stored| stored.standing(now)) else {
            continue;
        };
        // A parked one stays here.
        if still.rows.contains(row) && standing != Standing::Parked {
            return Err(moving(still.queue));
        }
        if permits(rule, standing, *id)? {
            doomed.push(*row);
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
        (Rule::HeldBy(_), _) | (Rule::AllHeldBy(_), Standing::Free) => {
            Err(Error::MessageNotClaimed { id })
        }
    }
}

/// Removes messages with their bodies. The ids are sorted.
pub(crate) fn delete_rows(step: &Step<'_>, rows: &[i64]) -> Result<(), sqlx::Error> {
    let (mut messages, mut bodies) = (step.prepare(DELETE_RUN)?, step.prepare(DELETE_BODIES)?);
    for (first, last) in runs(rows.iter().copied()) {
        messages.execute([first, last]).map_err(native)?;
        bodies.execute([first, last]).map_err(native)?;
    }
    Ok(())
}
