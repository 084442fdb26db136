//! The sweep: what has matured becomes claimable and what has expired is retired, in steps of at
//! most K rows, for queues that no claim visits (G7).

use async_trait::async_trait;
use zaqar_core::{GcReport, Result};

use crate::error::Failure;
use crate::layout::STEP_ROWS_MAX;

use super::deal::RELEASE;
use super::driver::SqliteData;
use super::gone;
use super::reader::failed;
use super::statement::query;
use super::step::Step;
use super::task::Task;

const OPERATION: &str = "sweep";
/// Steps of one sweep; the caller comes again when it left something.
const STEPS_MAX: usize = 200;

/// Queues where something is due. The recursion jumps from queue to queue in the index, so queues
/// where nothing is due cost two look-ups each, however many messages they hold.
macro_rules! due {
    ($index:literal, $column:literal) => {
        concat!(
            "WITH RECURSIVE due (queue) AS ( \
               SELECT min(queue) FROM messages INDEXED BY ",
            $index,
            " WHERE ",
            $column,
            " > 0 UNION ALL SELECT (SELECT min(queue) FROM messages INDEXED BY ",
            $index,
            " WHERE ",
            $column,
            " > 0 AND queue > due.queue) FROM due WHERE due.queue IS NOT NULL) \
             SELECT queue FROM due WHERE queue IS NOT NULL AND EXISTS ( \
               SELECT 1 FROM messages INDEXED BY ",
            $index,
            " WHERE queue = due.queue AND ",
            $column,
            " > 0 AND ",
            $column,
            " <= ?)"
        )
    };
}

const MATURED: &str = due!("maturing", "avail");
const EXPIRED: &str = due!("expiring", "expires");

/// Releases up to K matured messages of one queue; returns how many.
#[derive(Debug)]
pub(crate) struct ReleaseMatured(i64);

impl ReleaseMatured {
    pub(crate) fn of(number: i64) -> Self {
        Self(number)
    }
}

#[async_trait]
impl Task for ReleaseMatured {
    type Output = u64;
    const OPERATION: &'static str = "release";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let now = step.now.as_millis();
        let release = query(RELEASE).bind(self.0).bind(now).bind(STEP_ROWS_MAX);
        Ok(step.execute(release).await?)
    }
}

/// Retires up to K expired messages of one queue; returns how many.
#[derive(Debug)]
struct RetireExpired(i64);

#[async_trait]
impl Task for RetireExpired {
    type Output = u64;
    const OPERATION: &'static str = "retire";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        Ok(gone::retire(step, self.0).await?)
    }
}

impl SqliteData {
    /// Does what is due, a step of each queue in turn, so that none waits for another's backlog.
    pub(crate) async fn sweep_due(&self) -> Result<GcReport> {
        let mut report = GcReport::default();
        let mut releasing = self.due_queues(MATURED).await?;
        let mut retiring = self.due_queues(EXPIRED).await?;
        for _ in 0..STEPS_MAX {
            if releasing.is_empty() && retiring.is_empty() {
                return Ok(report);
            }
            if let Some(number) = releasing.pop_front() {
                let rows = self.housekeep(ReleaseMatured(number)).await?;
                report.rows = report.rows.saturating_add(rows);
                if is_full_step(rows) {
                    releasing.push_back(number);
                }
            }
            if let Some(number) = retiring.pop_front() {
                let rows = self.housekeep(RetireExpired(number)).await?;
                report.rows = report.rows.saturating_add(rows);
                if is_full_step(rows) {
                    retiring.push_back(number);
                }
            }
        }
        report.more = true;
        Ok(report)
    }

    async fn due_queues(&self, select: &'static str) -> Result<std::collections::VecDeque<i64>> {
        let now = self.store.clock.now().as_millis();
        let rows = self.store.reader.rows(OPERATION, query(select).bind(now)).await?;
        let numbers = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>();
        numbers.map_err(|error| failed(OPERATION, error))
    }
}

/// Whether a step did as much as it may, so that there may be more.
fn is_full_step(rows: u64) -> bool {
    rows >= STEP_ROWS_MAX.unsigned_abs()
}
