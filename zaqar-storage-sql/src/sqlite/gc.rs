//! Garbage collection: physical removal of what has been over for the margin, in bounded steps.
//!
//! Nothing here decides what is visible; it removes what no read shows any more. Each step selects
//! and deletes in one statement, so it can never act on a stale look: a message claimed since is
//! simply not selected.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use zaqar_core::{GcOptions, GcReport, Result, Ttl};

use crate::error::Failure;
use crate::layout::{CLOSED, POSITION_MAX, row_id};

use super::driver::SqliteData;
use super::statement::query;
use super::step::Step;
use super::task::Task;

/// Rows of one turn at the writer: few enough that whoever shares the turn hardly notices.
const ROWS_PER_TURN_MAX: i64 = 250;
/// How much longer than its turn the collection rests while others use the writer.
const IDLE_FACTOR: u32 = 4;
/// The longest rest.
const IDLE_MAX: Duration = Duration::from_millis(100);

/// Things that end by time: the statement takes the latest end, and K.
const ENDED: &[&str] = &[
    "DELETE FROM claims WHERE (queue, id) IN \
       (SELECT queue, id FROM claims INDEXED BY claims_by_end WHERE ends <= ? LIMIT ?)",
    "DELETE FROM post_keys WHERE (queue, key) IN \
       (SELECT queue, key FROM post_keys INDEXED BY post_keys_by_end WHERE expires <= ? LIMIT ?)",
];

/// What a closed incarnation leaves behind, apart from its messages.
const LEFT_BEHIND: &[&str] = &[
    "DELETE FROM claims WHERE (queue, id) IN (SELECT queue, id FROM claims WHERE queue = ? LIMIT ?)",
    "DELETE FROM post_keys WHERE (queue, key) IN \
       (SELECT queue, key FROM post_keys WHERE queue = ? LIMIT ?)",
    "DELETE FROM arrivals WHERE (queue, origin) IN \
       (SELECT queue, origin FROM arrivals WHERE queue = ? LIMIT ?)",
    "DELETE FROM transfers WHERE id IN (SELECT id FROM transfers WHERE queue = ? LIMIT ?)",
    "DELETE FROM subscriptions WHERE (queue, number) IN \
       (SELECT queue, number FROM subscriptions WHERE queue = ? LIMIT ?)",
    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE queue = ? LIMIT ?)",
    "DELETE FROM retries WHERE (queue, subscription, position) IN \
       (SELECT queue, subscription, position FROM retries WHERE queue = ? LIMIT ?)",
    "DELETE FROM exhausted WHERE (queue, number) IN \
       (SELECT queue, number FROM exhausted WHERE queue = ? LIMIT ?)",
];

/// Removes messages that were retired before the margin; returns how many.
#[derive(Debug)]
struct RemoveRetired {
    margin: Ttl,
    rows_max: i64,
}

#[async_trait]
impl Task for RemoveRetired {
    type Output = u64;
    const OPERATION: &'static str = "gc";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        // Retired rows keep the negated end of their life.
        let earliest = -(step.now.as_millis() - self.margin.as_millis());
        let select = query(
            "SELECT id FROM messages INDEXED BY retired WHERE expires < 0 AND expires >= ? LIMIT ?",
        )
        .bind(earliest)
        .bind(self.rows_max);
        let rows = step.rows(select).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        super::removals::delete_rows(step, &ids)?;
        Ok(rows.len() as u64)
    }
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

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let latest = step.now.as_millis() - self.margin.as_millis();
        let delete = query(self.statement).bind(latest).bind(self.rows_max);
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

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let select = query(
            "SELECT number, state, purged FROM heads INDEXED BY heads_to_reclaim \
             WHERE state = 2 OR purged > reclaimed LIMIT 1",
        );
        let Some(row) = step.row(select).await? else { return Ok(0) };
        let number: i64 = row.try_get(0)?;
        let closed = row.try_get::<i64>(1)? == CLOSED;
        let last = if closed { POSITION_MAX } else { row.try_get(2)? };
        let removed = self.remove_range(step, row_id(number, 0), row_id(number, last)).await?;
        if removed > 0 {
            return Ok(removed);
        }
        if closed {
            for statement in LEFT_BEHIND {
                let delete = query(*statement).bind(number).bind(self.rows_max);
                let removed = step.execute(delete).await?;
                if removed > 0 {
                    return Ok(removed);
                }
            }
        }
        // The row of a closed incarnation stays as its tombstone: it must never open again, unless
        // the queue left and comes back.
        let done = query(
            "UPDATE heads SET reclaimed = ?, state = CASE state WHEN 2 THEN 3 ELSE state END \
             WHERE number = ?",
        );
        step.execute(done.bind(last).bind(number)).await?;
        Ok(1)
    }
}

impl Reclaim {
    /// Removes messages of a range of rows; returns how many.
    async fn remove_range(
        &self,
        step: &mut Step<'_>,
        first: i64,
        last: i64,
    ) -> Result<u64, sqlx::Error> {
        let select = query("SELECT id FROM messages WHERE id >= ? AND id <= ? LIMIT ?");
        let rows = step.rows(select.bind(first).bind(last).bind(self.rows_max)).await?;
        let ids: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        super::removals::delete_rows(step, &ids)?;
        Ok(rows.len() as u64)
    }
}

impl SqliteData {
    /// Collects in steps until nothing is due or the budget is used up.
    pub(crate) async fn collect(&self, options: GcOptions) -> Result<GcReport> {
        // What expired in a queue that nobody visits must be retired before it can be removed.
        let swept = self.sweep_due().await?;
        let mut report = GcReport { rows: 0, more: swept.more };
        while report.rows < options.rows_max {
            let left = options.rows_max - report.rows;
            let (asked, start) = (self.store.intake.asked(), Instant::now());
            let rows = self.collect_step(options.margin, left).await?;
            if rows == 0 {
                return Ok(report);
            }
            report.rows = report.rows.saturating_add(rows);
            if self.store.intake.asked() != asked {
                // Somebody else uses the writer: leave it most of the time.
                tokio::time::sleep((start.elapsed() * IDLE_FACTOR).min(IDLE_MAX)).await;
            }
        }
        report.more = true;
        Ok(report)
    }

    /// One turn at the writer: some rows of the first kind of which there are any.
    async fn collect_step(&self, margin: Ttl, left: u64) -> Result<u64> {
        let rows_max = i64::try_from(left).unwrap_or(i64::MAX).min(ROWS_PER_TURN_MAX);
        let retired = self.housekeep(RemoveRetired { margin, rows_max }).await?;
        if retired > 0 {
            return Ok(retired);
        }
        for statement in ENDED {
            let ended = self.housekeep(RemoveEnded { statement, margin, rows_max }).await?;
            if ended > 0 {
                return Ok(ended);
            }
        }
        let trimmed = self.collect_subscriptions(margin, rows_max).await?;
        if trimmed > 0 {
            return Ok(trimmed);
        }
        self.housekeep(Reclaim { rows_max }).await
    }
}
