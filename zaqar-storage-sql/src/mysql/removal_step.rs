//! One transaction of deletes: two round trips, however many deletes there are.
//!
//! The first locks the rows in the order of their ids, so that deletes wait for each other and never
//! in a circle, and shows whose they are; the second removes those that may go and commits. Each
//! delete is decided for as if it came alone, after those before it.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{ClaimId, Error, MessageId, QueueRef, Result};

use crate::error::Failure;
use crate::layout::row_id;

use super::heads::{check_state_row, state};
use super::removals::{Removal, Rule};
use super::row::SqlRow;
use super::rows::{UNCLAIMED, claim_id};
use super::sql::{Script, sql};
use super::step::Step;
use super::take_step::delete_rows;
use super::task::Task;

/// Locks the rows `$1`.
macro_rules! lock {
    ($wait:literal) => {
        concat!(
            "SELECT m.id, m.avail, m.claim, m.expires FROM messages AS m FORCE INDEX (PRIMARY) \
             WHERE m.id IN ($1) ORDER BY m.id FOR UPDATE",
            $wait
        )
    };
}

/// Locks the rows of a delete that is alone.
pub(super) const LOCK: &str = lock!("");
/// Locks the rows of several deletes. None waits for a row that another one wants: the transaction
/// fails, and each is alone.
const LOCK_AT_ONCE: &str = lock!(" NOWAIT");

/// `avail` of a message that belongs to the dead-letter queue already.
const PARKED: i64 = -2;

/// A message that is there: not expired, not purged.
#[derive(Debug, Clone, Copy)]
struct Standing {
    parked: bool,
    /// Whether it is on its way to another store, or from one.
    still: bool,
    /// Who holds it at this moment.
    holder: Option<ClaimId>,
}

/// What became of deletes.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Removed {
    /// All that was there is gone.
    All,
    /// Nothing was removed: this message broke the rule, and is held by that claim.
    Refused(MessageId, Option<ClaimId>),
    /// Nothing was removed: something of it is on its way.
    Still,
}

/// One transaction of deletes from a queue.
#[derive(Debug)]
pub(crate) struct RemovalStep {
    pub(crate) queue: QueueRef,
    pub(crate) number: i64,
    pub(crate) removals: Arc<[Removal]>,
}

#[async_trait]
impl Task for RemovalStep {
    type Output = Vec<Removed>;
    const OPERATION: &'static str = "message_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Vec<Removed>, Failure> {
        let all = self.removals.iter().flat_map(|removal| &removal.places);
        let mut rows: Vec<i64> = all.map(|(row, _)| *row).collect();
        rows.sort_unstable();
        rows.dedup();
        let lock = if self.removals.len() > 1 { LOCK_AT_ONCE } else { LOCK };
        let script = Script::of([sql(lock).bind(rows), state(self.number)])?;
        let answers = step.script(script).await?;
        let head = check_state_row(answers.last_rows(), &self.queue)?;
        let place = |column| Ok::<_, sqlx::Error>(row_id(self.number, head.try_get(column)?));
        let (base, frozen) = (place(2)?, place(3)?..place(4)?);
        // The locks are held now: whatever ended while they were waited for has ended.
        step.refresh_now();
        let mut there = HashMap::new();
        for row in answers.rows_before_last() {
            if let Some((id, standing)) = read(row, base, step.now.as_millis())? {
                let still = frozen.contains(&id) && !standing.parked;
                there.insert(id, Standing { still, ..standing });
            }
        }
        let mut gone = Vec::new();
        let decide = |removal: &Removal| decide(removal, &mut there, &mut gone);
        let removed = self.removals.iter().map(decide).collect();
        if !gone.is_empty() {
            step.later(delete_rows(gone))?;
        }
        Ok(removed)
    }
}

fn read(row: &SqlRow, base: i64, now: i64) -> Result<Option<(i64, Standing)>, sqlx::Error> {
    let (id, avail): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let (claim, expires): (&[u8], i64) = (row.try_get(2)?, row.try_get(3)?);
    let parked = avail == PARKED;
    if id <= base || (expires <= now && !parked) {
        return Ok(None);
    }
    let held = avail > now && claim != UNCLAIMED;
    let holder = if held { Some(claim_id(claim)?) } else { None };
    Ok(Some((id, Standing { parked, still: false, holder })))
}

/// Decides about one delete: all that is there goes, or nothing.
fn decide(removal: &Removal, there: &mut HashMap<i64, Standing>, gone: &mut Vec<i64>) -> Removed {
    for (row, id) in &removal.places {
        match there.get(row) {
            Some(standing) if standing.still => return Removed::Still,
            Some(standing) if !removal.rule.allows(standing.parked, standing.holder) => {
                return Removed::Refused(*id, standing.holder);
            }
            _ => {}
        }
    }
    for (row, _) in &removal.places {
        if there.get(row).is_some_and(|standing| !standing.parked) {
            there.remove(row);
            gone.push(*row);
        }
    }
    Removed::All
}

impl Rule {
    /// Whether a message may go, or may be passed over because it is parked.
    fn allows(&self, parked: bool, holder: Option<ClaimId>) -> bool {
        match self {
            Self::Free => holder.is_none() && !parked,
            Self::HeldBy(claim) => holder == Some(*claim),
            Self::Any => true,
            Self::AllHeldBy(claims) => {
                parked || holder.is_some_and(|holder| claims.contains(&holder))
            }
        }
    }

    /// Why a message that broke the rule may not go.
    pub(crate) fn refusal(&self, id: MessageId, holder: Option<ClaimId>) -> Error {
        let named = match self {
            Self::HeldBy(claim) => Some(*claim),
            Self::AllHeldBy(claims) => claims.first().copied(),
            Self::Free | Self::Any => return Error::MessageClaimed { id },
        };
        match (holder, named) {
            (Some(_), Some(claim)) => Error::MessageNotClaimedBy { id, claim },
            _ => Error::MessageNotClaimed { id },
        }
    }
}
