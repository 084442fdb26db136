//! Garbage collection: physical removal of what has been over for the margin, in bounded steps.
//!
//! Nothing here decides what is visible; it removes what no read shows any more. Each step selects,
//! locks and deletes in one statement, so it can never act on a stale look (a message claimed since
//! is simply not selected); what another collector has in hand is passed over.

use async_trait::async_trait;
use sqlx::Row;
use zaqar_core::{GcOptions, GcReport, Result, Ttl};

use crate::error::Failure;
use crate::layout::{CLOSED, POSITION_MAX, STEP_ROWS_MAX, row_id};

use super::driver::PgData;
use super::step::Step;
use super::task::Task;

/// Messages that were retired before the margin: they keep the negated end of their life.
const RETIRED: &str = "WITH old AS MATERIALIZED (SELECT id FROM messages \
       WHERE expires < 0 AND expires >= -$1::bigint LIMIT $2 FOR UPDATE SKIP LOCKED), \
     m AS (DELETE FROM messages AS m USING old AS o WHERE m.id = o.id), \
     b AS (DELETE FROM bodies AS b USING old AS o WHERE b.id = o.id) \
     SELECT count(*) FROM old";

/// Rows of `$table` that meet a condition on `$1`, up to `$2`.
macro_rules! remove {
    ($table:literal, $condition:expr) => {
        concat!(
            "WITH gone AS (DELETE FROM ",
            $table,
            " WHERE ctid = ANY (ARRAY(SELECT ctid FROM ",
            $table,
            " WHERE ",
            $condition,
            " LIMIT $2 FOR UPDATE SKIP LOCKED)) RETURNING 1) SELECT count(*) FROM gone"
        )
    };
}

/// What ends by time: the statement takes the latest end, and K.
const ENDED: &[&str] =
    &[RETIRED, remove!("claims", "ends <= $1"), remove!("post_keys", "expires <= $1")];

/// Rows of a closed queue in `$table`. A queue that left may be back since it was looked at: each
/// statement sees for itself.
macro_rules! remove_closed {
    ($table:literal, $unless:literal) => {
        remove!(
            $table,
            concat!(
                "queue = $1 AND EXISTS \
                   (SELECT 1 FROM heads AS h WHERE h.number = $1 AND h.state = 2",
                $unless,
                ")"
            )
        )
    };
}

/// What a closed incarnation leaves behind, apart from its messages. A queue that left goes on with
/// its count of releases when it comes back, or a floor of its past could be taken for one of then.
const LEFT_BEHIND: &[&str] = &[
    remove_closed!("claims", ""),
    remove_closed!("post_keys", ""),
    remove_closed!("arrivals", ""),
    remove_closed!("transfers", ""),
    remove_closed!("subscriptions", ""),
    remove_closed!("outbox", ""),
    remove_closed!("retries", ""),
    remove_closed!("exhausted", ""),
    remove_closed!("releases", " AND NOT h.away"),
];

/// Messages of queue `$4` in a range of rows, if it is closed, as `$5` says, or purged to position
/// `$6`: a queue that left may be back since it was looked at.
const RANGE: &str = "WITH old AS MATERIALIZED (SELECT id FROM messages \
       WHERE id >= $1 AND id <= $2 AND EXISTS (SELECT 1 FROM heads AS h WHERE h.number = $4 \
         AND CASE WHEN $5 THEN h.state = 2 ELSE h.purged >= $6 END) \
       ORDER BY id LIMIT $3), \
     m AS (DELETE FROM messages AS m USING old AS o WHERE m.id = o.id), \
     b AS (DELETE FROM bodies AS b USING old AS o WHERE b.id = o.id) \
     SELECT count(*) FROM old";

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

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let latest = step.now.as_millis().saturating_sub(self.margin.as_millis());
        let delete = sqlx::query(self.statement).bind(latest).bind(self.rows_max);
        counted(step, delete).await
    }
}

async fn counted(step: &mut Step<'_>, statement: super::step::Statement) -> Result<u64, Failure> {
    let row = step.row(statement).await?.ok_or(sqlx::Error::RowNotFound)?;
    Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
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

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let select = sqlx::query(
            "SELECT number, state, purged FROM heads \
             WHERE state = 2 OR purged > reclaimed ORDER BY number LIMIT 1",
        );
        let Some(row) = step.row(select).await? else { return Ok(0) };
        let number: i64 = row.try_get(0)?;
        let closed = row.try_get::<i64, _>(1)? == CLOSED;
        let last = if closed { POSITION_MAX } else { row.try_get(2)? };
        let range = sqlx::query(RANGE)
            .bind(row_id(number, 0))
            .bind(row_id(number, last))
            .bind(self.rows_max)
            .bind(number)
            .bind(closed)
            .bind(last);
        let removed = counted(step, range).await?;
        if removed > 0 {
            return Ok(removed);
        }
        if closed {
            for statement in LEFT_BEHIND {
                let delete = sqlx::query(*statement).bind(number).bind(self.rows_max);
                let removed = counted(step, delete).await?;
                if removed > 0 {
                    return Ok(removed);
                }
            }
        }
        // The row of a closed incarnation stays as its tombstone: it must never open again, unless
        // the queue left and comes back. A queue that was closed since this step looked at it is
        // still to be reclaimed, one that is back is not.
        let done = sqlx::query(
            "UPDATE heads SET reclaimed = $2, state = CASE WHEN $3 THEN 3 ELSE state END \
             WHERE number = $1 AND CASE WHEN $3 THEN state = 2 ELSE purged >= $2 END",
        );
        step.execute(done.bind(number).bind(last).bind(closed)).await?;
        Ok(1)
    }
}

impl PgData {
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
