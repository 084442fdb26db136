//! How many messages have left a queue: what is deleted or retired is counted in the queue head, in
//! the step that does it, so that the living need not be counted one by one.
//!
//! A position behind the purged ones is either *alive* (its row is in `messages` with `expires > 0`)
//! or *gone*. Rows that are removed when they are gone already, by `gc`, count no second time.
//!
//! A queue that comes from another store begins here with all positions before its start gone; a part
//! that arrives brings its messages back from there, one that is removed sends them.

use crate::layout::STEP_ROWS_MAX;

use super::engine::native;
use super::statement::query;
use super::step::Step;
use super::tables::number_of;

const RECORD: &str = "UPDATE heads SET gone = gone + ? WHERE number = ?";

/// Takes what has expired out of circulation.
const RETIRE: &str = "UPDATE messages SET avail = -1, claim = NULL, expires = -expires WHERE id IN \
     (SELECT id FROM messages INDEXED BY expiring \
      WHERE queue = ? AND expires > 0 AND expires <= ? ORDER BY expires LIMIT ?) RETURNING id";
const PURGED: &str = "SELECT (number << 35) | purged FROM heads WHERE number = ?";

/// How many living messages went, by queue.
#[derive(Debug, Default)]
pub(crate) struct Gone(Vec<(i64, i64)>);

impl Gone {
    /// Living messages, behind what was purged, of which none is there any more.
    pub(crate) fn of(rows: &[i64]) -> Self {
        let mut gone = Self::default();
        gone.add(rows);
        gone
    }

    /// Adds further ones.
    pub(crate) fn add(&mut self, rows: &[i64]) {
        for row in rows {
            let number = number_of(*row);
            match self.0.iter_mut().find(|(known, _)| *known == number) {
                Some((_, count)) => *count += 1,
                None => self.0.push((number, 1)),
            }
        }
    }

    /// Counts them in the heads. It belongs to the step in which they went.
    pub(crate) fn record(&self, step: &Step<'_>) -> Result<(), sqlx::Error> {
        let mut record = step.prepare(RECORD)?;
        for (number, count) in &self.0 {
            record.execute([count, number]).map_err(native)?;
        }
        Ok(())
    }
}

/// Retires up to K expired messages of a queue; returns how many.
pub(crate) async fn retire(step: &mut Step<'_>, number: i64) -> Result<u64, sqlx::Error> {
    let now = step.now.as_millis();
    let retired = step.rows(query(RETIRE).bind(number).bind(now).bind(STEP_ROWS_MAX)).await?;
    if retired.is_empty() {
        return Ok(0);
    }
    let Some(purged) = step.row(query(PURGED).bind(number)).await? else { return Ok(0) };
    let purged: i64 = purged.try_get(0)?;
    // What was purged was given up for gone then.
    let rows: Result<Vec<i64>, _> = retired.iter().map(|row| row.try_get(0)).collect();
    let behind: Vec<i64> = rows?.into_iter().filter(|row| *row > purged).collect();
    Gone::of(&behind).record(step)?;
    Ok(retired.len() as u64)
}
