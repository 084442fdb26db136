//! What is due: leases and delays that ended are released, lives that ended are retired, in steps of
//! at most K rows; by claims where they meet it, and by the sweep for queues that no claim visits
//! (G7).

use std::collections::VecDeque;

use sqlx::Row;
use zaqar_core::{GcReport, Result};

use crate::layout::STEP_ROWS_MAX;

use super::driver::PgData;
use super::server::Server;
use super::told::Told;

const OPERATION: &str = "sweep";
/// Steps of one sweep; the caller comes again when it left something.
const STEPS_MAX: usize = 200;

/// Releases and retires up to `$3` rows each of queue `$1` that are due at `$2`. What somebody else
/// has in hand is passed over. The last claim of what is released stays known: a dead letter tells it. A release counts up `releases`, for claims that start at a floor.
pub(crate) const SETTLE: &str = "WITH due AS MATERIALIZED (SELECT id FROM messages \
       WHERE queue = $1 AND avail > 0 AND avail <= $2 AND expires > $2 \
       ORDER BY avail LIMIT $3 FOR UPDATE SKIP LOCKED), \
     freed AS (UPDATE messages AS m SET avail = 0 FROM due AS d WHERE m.id = d.id), \
     told AS (UPDATE releases SET count = count + 1 \
       WHERE queue = $1 AND EXISTS (SELECT 1 FROM due)), \
     over AS MATERIALIZED (SELECT id FROM messages \
       WHERE queue = $1 AND expires > 0 AND expires <= $2 \
       ORDER BY expires LIMIT $3 FOR UPDATE SKIP LOCKED), \
     retired AS (UPDATE messages AS m SET avail = -1, claim = NULL, expires = -m.expires \
       FROM over AS o WHERE m.id = o.id) \
     SELECT (SELECT count(*) FROM due), (SELECT count(*) FROM over)";

/// Queues where something is due at `$1`. The recursion jumps from queue to queue in the index, so
/// queues where nothing is due cost two look-ups each, however many messages they hold.
macro_rules! due {
    ($column:literal) => {
        concat!(
            "WITH RECURSIVE due (queue) AS ( \
               (SELECT queue FROM messages WHERE ",
            $column,
            " > 0 ORDER BY queue LIMIT 1) UNION ALL SELECT (SELECT m.queue FROM messages AS m \
                 WHERE m.",
            $column,
            " > 0 AND m.queue > due.queue ORDER BY m.queue LIMIT 1) \
               FROM due WHERE due.queue IS NOT NULL) \
             SELECT queue FROM due WHERE queue IS NOT NULL AND EXISTS ( \
               SELECT 1 FROM messages AS m WHERE m.queue = due.queue AND m.",
            $column,
            " > 0 AND m.",
            $column,
            " <= $1)"
        )
    };
}

const DUE: &str = concat!(due!("avail"), " UNION (", due!("expires"), ")");

/// Does one step over what is due in a queue; returns how many rows it changed.
pub(crate) async fn settle_due(
    server: &Server,
    number: i64,
    operation: &'static str,
) -> Result<u64> {
    let now = server.clock.now().as_millis();
    let make = || sqlx::query(SETTLE).bind(number).bind(now).bind(STEP_ROWS_MAX);
    let rows = server.write(operation, make).await?;
    let Some(row) = rows.first() else { return Ok(0) };
    let count = |column: usize| row.try_get::<i64, _>(column).told(operation);
    Ok(count(0)?.unsigned_abs().saturating_add(count(1)?.unsigned_abs()))
}

impl PgData {
    /// Does what is due, a step of each queue in turn, so that none waits for another's backlog.
    pub(crate) async fn sweep_due(&self) -> Result<GcReport> {
        let mut report = GcReport::default();
        let mut queues = self.due_queues().await?;
        for _ in 0..STEPS_MAX {
            let Some(number) = queues.pop_front() else { return Ok(report) };
            let step = self.housekeep(OPERATION, move |server| async move {
                settle_due(&server, number, OPERATION).await
            });
            let rows = step.await?;
            report.rows = report.rows.saturating_add(rows);
            // It did as much as it may of one kind at least, so there may be more.
            if rows >= STEP_ROWS_MAX.unsigned_abs() {
                queues.push_back(number);
            }
        }
        report.more = !queues.is_empty();
        Ok(report)
    }

    async fn due_queues(&self) -> Result<VecDeque<i64>> {
        self.housekeep(OPERATION, |server| async move {
            let now = server.clock.now().as_millis();
            let rows = server.read(OPERATION, sqlx::query(DUE).bind(now)).await?;
            rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().told(OPERATION)
        })
        .await
    }
}
