//! Garbage collection: physical removal of what has been over for the margin, in bounded steps.
//!
//! Nothing here decides what is visible; it removes what no read shows any more. A step deletes
//! under the condition itself, or locks what it found before it does, so it can never act on a stale
//! look (a message claimed since is simply not found).

use async_trait::async_trait;
use zaqar_core::{GcOptions, GcReport, Result, Ttl};

use crate::error::Failure;
use crate::layout::{CLOSED, POSITION_MAX, STEP_ROWS_MAX, row_id};

use super::driver::MyData;
use super::sql::{Script, Sql, sql};
use super::step::Step;
use super::sweep::ids;
use super::take_step::delete_rows;
use super::task::Task;

/// Messages that were retired before the margin, `$1`; up to `$2`. What another collector has in
/// hand is passed over.
const RETIRED: &str = "SELECT id FROM messages FORCE INDEX (expiring) \
     WHERE queue = 0 AND expires <= $1 ORDER BY expires LIMIT $2 FOR UPDATE SKIP LOCKED";

/// What else ends by time: up to `$2` rows that ended by `$1`. The order makes the index the only
/// way.
const ENDED: &[&str] = &[
    "DELETE FROM claims WHERE ends <= $1 ORDER BY ends LIMIT $2",
    "DELETE FROM post_keys WHERE expires <= $1 ORDER BY expires LIMIT $2",
];

/// What a closed incarnation leaves behind, apart from its messages: up to `$2` rows of queue `$1`. A
/// queue that left goes on with its count of releases when it comes back, or a floor of its past could
/// be taken for one of then.
const LEFT_BEHIND: &[&str] = &[
    "DELETE FROM claims WHERE queue = $1 ORDER BY id LIMIT $2",
    "DELETE FROM post_keys WHERE queue = $1 ORDER BY post_key LIMIT $2",
    "DELETE FROM arrivals WHERE queue = $1 ORDER BY origin LIMIT $2",
    "DELETE FROM transfers WHERE queue = $1 ORDER BY id LIMIT $2",
    "DELETE FROM subscriptions WHERE queue = $1 ORDER BY number LIMIT $2",
    "DELETE FROM outbox WHERE queue = $1 ORDER BY last LIMIT $2",
    "DELETE FROM retries WHERE queue = $1 ORDER BY subscription, position LIMIT $2",
    "DELETE FROM exhausted WHERE queue = $1 ORDER BY number LIMIT $2",
    "DELETE FROM releases WHERE queue = $1 \
       AND NOT EXISTS (SELECT 1 FROM heads AS h WHERE h.number = $1 AND h.away) \
     ORDER BY queue LIMIT $2",
];

/// Up to `$3` messages of a range of rows.
const RANGE: &str = "DELETE FROM messages WHERE id >= $1 AND id <= $2 ORDER BY id LIMIT $3";

/// Removes retired messages; returns how many.
#[derive(Debug)]
struct RemoveRetired {
    margin: Ttl,
    rows_max: i64,
}

#[async_trait]
impl Task for RemoveRetired {
    type Output = u64;
    const OPERATION: &'static str = "gc";
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let select = sql(RETIRED).bind(latest(step, self.margin)).bind(self.rows_max);
        let rows = ids(&step.rows(select).await?)?;
        let removed = u64::try_from(rows.len()).unwrap_or(u64::MAX);
        if removed > 0 {
            step.later(delete_rows(rows))?;
        }
        Ok(removed)
    }
}

/// The latest end that lies before the margin.
fn latest(step: &Step<'_>, margin: Ttl) -> i64 {
    step.now.as_millis().saturating_sub(margin.as_millis())
}

/// Removes things that end by time; returns how many.
#[derive(Debug)]
struct RemoveEnded {
    statement: &'static str,
    margin: Ttl,
    rows_max: i64,
}

#[async_trait]
impl Task for RemoveEnded {
    type Output = u64;
    const OPERATION: &'static str = "gc";
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let delete = sql(self.statement).bind(latest(step, self.margin)).bind(self.rows_max);
        Ok(step.execute(delete).await?)
    }
}

/// Removes rows of one queue that was purged or closed; returns how many.
#[derive(Debug)]
struct Reclaim {
    rows_max: i64,
}

#[async_trait]
impl Task for Reclaim {
    type Output = u64;
    const OPERATION: &'static str = "gc";
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let select = sql("SELECT number, state, purged FROM heads FORCE INDEX (heads_to_reclaim) \
             WHERE reclaim = 1 ORDER BY number LIMIT 1");
        let Some(row) = step.row(select).await? else { return Ok(0) };
        let number: i64 = row.try_get(0)?;
        let closed = row.try_get::<i64>(1)? == CLOSED;
        let last = if closed { POSITION_MAX } else { row.try_get(2)? };
        let still = |text| sql(text).bind(number).bind(last).bind(closed);
        let range = sql(RANGE).bind(row_id(number, 0)).bind(row_id(number, last));
        let mut deletes: Vec<Sql> = vec![range.bind(self.rows_max)];
        if closed {
            let behind = LEFT_BEHIND.iter();
            deletes.extend(behind.map(|text| sql(text).bind(number).bind(self.rows_max)));
        }
        for delete in deletes {
            let answers = step.script(Script::of([delete, still(IS_STILL)])?).await?;
            if answers.rows(1).is_empty() {
                // It is back: what was deleted is put back.
                step.abandon();
                return Ok(0);
            }
            let removed = answers.affected(0);
            if removed > 0 {
                return Ok(removed);
            }
        }
        step.later(still(DONE))?;
        Ok(1)
    }
}

/// Whether queue `$1` still is closed, if it was (`$3`), or purged to `$2`. A queue that left may be
/// back, with rows where others were: looked at after a delete, this tells whether it was of the past.
const IS_STILL: &str = "SELECT 1 FROM heads WHERE number = $1 AND IF($3, state = 2, purged >= $2)";

/// The row of a closed incarnation stays as its tombstone: it must never open again, unless the queue
/// left and comes back. What was closed or purged since this step looked is still to be done.
const DONE: &str = "UPDATE heads SET \
       reclaim = IF($3, 0, state = 2 OR purged > $2), state = IF($3, 3, state) \
     WHERE number = $1 AND IF($3, state = 2, purged >= $2)";

impl MyData {
    /// Collects in steps until nothing is due or the budget is used up.
    pub(crate) async fn collect(&self, options: GcOptions) -> Result<GcReport> {
        // What expired in a queue that nobody visits must be retired before it can be removed.
        let swept = self.sweep_due().await?;
        let mut report = GcReport { rows: 0, more: swept.more };
        while report.rows < options.rows_max {
            let left = options.rows_max - report.rows;
            let rows = self.collect_step(options.margin, left).await?;
            if rows == 0 {
                return Ok(report);
            }
            report.rows = report.rows.saturating_add(rows);
        }
        report.more = true;
        Ok(report)
    }

    /// One step: some rows of the first kind of which there are any.
    async fn collect_step(&self, margin: Ttl, left: u64) -> Result<u64> {
        let rows_max = i64::try_from(left).unwrap_or(i64::MAX).min(STEP_ROWS_MAX);
        let retired = self.housekeep_task(RemoveRetired { margin, rows_max }).await?;
        if retired > 0 {
            return Ok(retired);
        }
        for statement in ENDED {
            let ended = self.housekeep_task(RemoveEnded { statement, margin, rows_max }).await?;
            if ended > 0 {
                return Ok(ended);
            }
        }
        let trimmed = self.collect_subscriptions(margin, rows_max).await?;
        if trimmed > 0 {
            return Ok(trimmed);
        }
        self.housekeep_task(Reclaim { rows_max }).await
    }
}
