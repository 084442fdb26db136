//! Deletes: all deletes of a batch are looked up together, decided in turn, and done together.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row;
use tokio::sync::oneshot;
use zaqar_core::{ClaimId, Effect, Error, MessageId, QueueRef, Result, Timestamp};

use crate::error::{Failure, damaged, engine_error};

use super::heads::Head;
use super::rows::id_list;
use super::script::Script;
use super::step::Step;
use super::tables::{PARKED, row_id, row_of};
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

/// Executes all deletes of a batch.
pub(crate) async fn execute(
    step: &mut Step<'_>,
    removals: &mut [Removal],
) -> Result<(), sqlx::Error> {
    if removals.is_empty() {
        return Ok(());
    }
    let mut wanted = Vec::with_capacity(removals.len());
    for removal in removals.iter_mut() {
        // What an earlier attempt decided was rolled back with it.
        removal.outcome = None;
        match find_rows(step, &removal.queue, &removal.ids).await {
            Ok(rows) => wanted.push(rows),
            Err(Failure::Engine(error)) => return Err(error),
            Err(Failure::Refused(error)) => {
                removal.outcome = Some(Err(error));
                wanted.push(Vec::new());
            }
        }
    }
    let mut stored = load(step, wanted.iter().flatten().map(|(row, _)| *row)).await?;
    let mut doomed = Vec::new();
    for (removal, rows) in removals.iter_mut().zip(&wanted) {
        if removal.outcome.is_some() {
            continue;
        }
        removal.outcome = Some(decide(&removal.rule, rows, &stored, step.now).map(|rows| {
            for row in rows {
                // Gone for the deletes that follow in this batch.
                stored.remove(&row);
                doomed.push(row);
            }
        }));
    }
    delete_rows(step, &doomed);
    Ok(())
}

/// The rows of the messages that are or could be there.
pub(crate) async fn find_rows(
    step: &mut Step<'_>,
    queue: &QueueRef,
    ids: &[MessageId],
) -> Result<Vec<(i64, MessageId)>, Failure> {
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
    Ok(rows)
}

/// The row of a message that was moved into this queue.
async fn arrival(
    step: &mut Step<'_>,
    head: &Head,
    id: MessageId,
) -> Result<Option<i64>, sqlx::Error> {
    let select = sqlx::query("SELECT id FROM arrivals WHERE queue = ? AND origin = ?")
        .bind(head.number)
        .bind(id.to_string());
    step.row(select).await?.map(|row| row.try_get(0)).transpose()
}

async fn load(
    step: &mut Step<'_>,
    rows: impl IntoIterator<Item = i64>,
) -> Result<HashMap<i64, Stored>, sqlx::Error> {
    // All in one row: each row would wake the writer once more.
    let select = sqlx::query(
        "SELECT group_concat(m.id || ',' || m.avail || ',' || m.expires || ',' \
           || coalesce(lower(hex(m.claim)), ''), ';') \
         FROM json_each(?) AS j CROSS JOIN messages AS m ON m.id = j.value",
    )
    .bind(id_list(rows));
    let Some(row) = step.row(select).await? else { return Ok(HashMap::new()) };
    let Some(packed) = row.try_get::<Option<&str>, _>(0)? else { return Ok(HashMap::new()) };
    packed.split(';').map(|fields| stored(fields).ok_or_else(|| damaged("message"))).collect()
}

fn stored(fields: &str) -> Option<(i64, Stored)> {
    let mut fields = fields.split(',');
    let mut integer = || fields.next()?.parse::<i64>().ok();
    let (row, avail, expires) = (integer()?, integer()?, integer()?);
    let claim = match fields.next()? {
        "" => None,
        claim => Some(claim.parse().ok()?),
    };
    Some((row, Stored { avail, claim, expires }))
}

/// Which rows go; an error if the rule forbids it, and then none goes.
fn decide(
    rule: &Rule,
    rows: &[(i64, MessageId)],
    stored: &HashMap<i64, Stored>,
    now: Timestamp,
) -> Result<Vec<i64>> {
    let mut doomed = Vec::with_capacity(rows.len());
    for (row, id) in rows {
        let Some(standing) = stored.get(row).and_then(|stored| stored.standing(now)) else {
            continue;
        };
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

/// Removes messages with their bodies, at the end of the step.
pub(crate) fn delete_rows(step: &mut Step<'_>, rows: &[i64]) {
    if rows.is_empty() {
        return;
    }
    let list: Arc<str> = id_list(rows.iter().copied()).into();
    step.defer(
        Script::of(
            "DELETE FROM messages WHERE id IN (SELECT value FROM json_each(?));\
             DELETE FROM bodies WHERE id IN (SELECT value FROM json_each(?))",
        )
        .text(Arc::clone(&list))
        .text(list),
    );
}
