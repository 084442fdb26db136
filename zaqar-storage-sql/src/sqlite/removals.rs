//! Deletes: all deletes of a batch are looked up together, decided in turn, and done together.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::Row;
use tokio::sync::oneshot;
use zaqar_core::{ClaimId, Effect, Error, MessageId, QueueRef, Result, Timestamp};

use crate::error::{Failure, damaged, engine_error};

use super::heads::Head;
use super::rows::{run_list, runs};
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

/// The deletes of a batch, on their way: found, then looked up, then decided.
pub(crate) struct Removing<'b> {
    removals: &'b mut [Removal],
    /// The rows that each of them wants gone.
    wanted: Vec<Vec<(i64, MessageId)>>,
}

/// Finds out which rows the deletes are about.
pub(crate) async fn begin<'b>(
    step: &mut Step<'_>,
    removals: &'b mut [Removal],
) -> Result<Removing<'b>, sqlx::Error> {
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
    Ok(Removing { removals, wanted })
}

/// All that is to be known of the messages in those runs, in one text: each row would wake the
/// writer once more.
const STORED: &str = "(SELECT group_concat(m.id || ',' || m.avail || ',' || m.expires || ',' \
       || coalesce(lower(hex(m.claim)), ''), ';') \
     FROM json_each(?) AS j CROSS JOIN messages AS m \
       ON m.id BETWEEN j.value ->> 0 AND j.value ->> 1)";

impl Removing<'_> {
    /// Whether there is nothing to look up.
    pub(crate) fn is_empty(&self) -> bool {
        self.wanted.iter().all(Vec::is_empty)
    }

    /// The expression that looks the messages up.
    pub(crate) fn look(&self) -> Script {
        if self.is_empty() {
            return Script::of("NULL");
        }
        let mut rows: Vec<i64> = self.wanted.iter().flatten().map(|(row, _)| *row).collect();
        rows.sort_unstable();
        rows.dedup();
        Script::of(STORED).text(run_list(&runs(rows)))
    }

    /// Decides the deletes in turn, given what [`Self::look`] found, and returns the rows that go.
    pub(crate) fn decide(
        self,
        now: Timestamp,
        found: Option<&str>,
    ) -> Result<Vec<i64>, sqlx::Error> {
        let mut stored: HashMap<i64, Stored> = match found {
            None => HashMap::new(),
            Some(packed) => packed
                .split(';')
                .map(|fields| stored(fields).ok_or_else(|| damaged("message")))
                .collect::<Result<_, _>>()?,
        };
        let mut doomed = Vec::new();
        for (removal, rows) in self.removals.iter_mut().zip(&self.wanted) {
            if removal.outcome.is_some() {
                continue;
            }
            removal.outcome = Some(decide(&removal.rule, rows, &stored, now).map(|rows| {
                for row in rows {
                    // Gone for the deletes that follow in this batch.
                    stored.remove(&row);
                    doomed.push(row);
                }
            }));
        }
        doomed.sort_unstable();
        Ok(doomed)
    }
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

/// Removes messages with their bodies, at the end of the step. The ids are sorted.
pub(crate) fn delete_rows(step: &mut Step<'_>, rows: &[i64]) {
    if rows.is_empty() {
        return;
    }
    step.defer(
        Script::of(
            "INSERT INTO removing (first, last) \
             SELECT value ->> 0, value ->> 1 FROM json_each(?)",
        )
        .text(run_list(&runs(rows.iter().copied()))),
    );
}
