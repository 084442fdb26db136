//! What is due: leases and delays that ended are released, lives that ended are retired, in steps of
//! at most K rows; by claims where they meet it, and by the sweep for queues that no claim visits
//! (G7).

use std::collections::VecDeque;

use async_trait::async_trait;
use zaqar_core::{GcReport, Result};

use crate::error::Failure;
use crate::layout::STEP_ROWS_MAX;

use super::driver::MyData;
use super::error::Broken;
use super::row::SqlRow;
use super::rows::unclaimed;
use super::server::Server;
use super::sql::{Script, sql};
use super::step::Step;
use super::task::Task;
use super::told::Told;

const OPERATION: &str = "sweep";
/// Steps of one sweep; the caller comes again when it left something.
const STEPS_MAX: usize = 200;

/// Up to `$3` rows of queue `$1` whose lease or delay is over at `$2`. What somebody else has in hand
/// is passed over, here and below.
pub(super) const MATURED: &str = "SELECT id FROM messages FORCE INDEX (claimable) \
     WHERE queue = $1 AND avail > 0 AND avail <= $2 AND expires > $2 \
     ORDER BY avail LIMIT $3 FOR UPDATE SKIP LOCKED";

/// Up to `$3` rows of queue `$1` whose life is over at `$2`.
pub(super) const EXPIRED: &str = "SELECT id FROM messages FORCE INDEX (expiring) \
     WHERE queue = $1 AND expires <= $2 ORDER BY expires LIMIT $3 FOR UPDATE SKIP LOCKED";

/// Assigned from left to right: the claim that is over stays known, for a dead letter tells it.
const FREE: &str = concat!(
    "UPDATE messages FORCE INDEX (PRIMARY) SET last_claim = NULLIF(claim, ",
    unclaimed!(),
    "), avail = 0, claim = ",
    unclaimed!(),
    " WHERE id IN ($1)"
);

/// A retired row belongs to no queue any more: it leaves the stretches of both indexes that
/// operations walk, and stands at queue 0 in the order in which it is to be removed.
const RETIRE: &str = concat!(
    "UPDATE messages FORCE INDEX (PRIMARY) SET queue = 0, avail = -1, claim = ",
    unclaimed!(),
    " WHERE id IN ($1)"
);

/// Queues where something matured by `$1`. The server jumps from queue to queue in the index, so a
/// queue costs two look-ups, however many messages it holds.
pub(super) const QUEUES_MATURED: &str = "SELECT queue FROM messages FORCE INDEX (claimable) \
     WHERE avail > 0 GROUP BY queue HAVING MIN(avail) <= $1";

/// Queues where something expired by `$1`, found in the same way.
pub(super) const QUEUES_EXPIRED: &str = "SELECT queue FROM messages FORCE INDEX (expiring) \
     WHERE queue > 0 GROUP BY queue HAVING MIN(expires) <= $1";

/// One step over what is due in a queue; returns how many rows it changed.
#[derive(Debug)]
struct Settle {
    number: i64,
}

#[async_trait]
impl Task for Settle {
    type Output = u64;
    const OPERATION: &'static str = OPERATION;
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let bind =
            |text| sql(text).bind(self.number).bind(step.now.as_millis()).bind(STEP_ROWS_MAX);
        let script = Script::of([bind(MATURED), bind(EXPIRED)])?;
        let answers = step.script(script).await?;
        let (free, over) = (ids(answers.rows(0))?, ids(answers.rows(1))?);
        let rows = free.len().saturating_add(over.len());
        if !free.is_empty() {
            step.later(sql(FREE).bind(free))?;
            // For claims that start at a floor.
            let tell = sql("UPDATE releases SET count = count + 1 WHERE queue = $1");
            step.later(tell.bind(self.number))?;
        }
        if !over.is_empty() {
            step.later(sql(RETIRE).bind(over))?;
        }
        Ok(u64::try_from(rows).unwrap_or(u64::MAX))
    }
}

/// The first column of all rows.
pub(crate) fn ids(rows: &[SqlRow]) -> Result<Vec<i64>, sqlx::Error> {
    rows.iter().map(|row| row.try_get(0)).collect()
}

/// Does one step over what is due in a queue; returns how many rows it changed.
pub(crate) async fn settle_due(
    server: &Server,
    number: i64,
    operation: &'static str,
) -> Result<u64> {
    server.transact_as(&mut Settle { number }, operation).await
}

/// As [`settle_due`], for callers that tell several others.
pub(crate) async fn settle_rows(server: &Server, number: i64) -> Result<u64, Broken> {
    Ok(server.transact_for_many(&mut Settle { number }).await?.unwrap_or(0))
}

impl MyData {
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
            let look = vec![sql(QUEUES_MATURED).bind(now), sql(QUEUES_EXPIRED).bind(now)];
            let answers = server.read_all(OPERATION, look).await?;
            let mut queues = ids(answers.rows(0)).told(OPERATION)?;
            queues.extend(ids(answers.rows(1)).told(OPERATION)?);
            queues.sort_unstable();
            queues.dedup();
            Ok(queues.into())
        })
        .await
    }
}
