//! Reads: WAL snapshots on connections of their own, beside the writer.
//!
//! A read cannot check the queue head inside a writer's step, so it checks *after* it has read: an
//! incarnation that is open afterwards was open throughout, because closed is for ever (G11).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sqlx::Row;
use sqlx::sqlite::{SqlitePool, SqliteRow};
use zaqar_core::{Effect, Error, MessageId, QueueRef, Result};

use crate::error::engine_error;

use super::heads::{check_state, gone, incarnation_code, kind_code};
use super::step::Statement;
use super::tables::{row_id, row_of};

/// Queue numbers that the cache keeps at most; beyond it, it starts afresh.
const NUMBERS_CACHED_MAX: usize = 100_000;

/// First column of the row that [`CHECK_HEAD`] returns.
const HEAD_ROW: i64 = -1;

/// Reads the head; put last into a text, it is read after everything else.
macro_rules! check_head {
    () => {
        "; SELECT -1, state, epoch, purged FROM heads WHERE number = ?"
    };
}
pub(crate) use check_head;

/// The position up to which a queue was purged, as a row id, for a comparison.
macro_rules! purged_row {
    () => {
        "(SELECT (number << 35) | purged FROM heads WHERE number = ?)"
    };
}
pub(crate) use purged_row;

/// The reading side of a store.
#[derive(Debug)]
pub(crate) struct Reader {
    pool: SqlitePool,
    /// Numbers never change, so an entry is true for ever; the head check follows each read.
    numbers: RwLock<HashMap<QueueRef, i64>>,
}

impl Reader {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool, numbers: RwLock::default() }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs statements that change nothing and returns all their rows.
    pub(crate) async fn rows(
        &self,
        operation: &'static str,
        statement: Statement,
    ) -> Result<Vec<SqliteRow>> {
        statement.fetch_all(&self.pool).await.map_err(|error| failed(operation, error))
    }

    /// Runs a text that ends with [`check_head`], refuses a closed head, and returns the other rows.
    pub(crate) async fn rows_of_queue(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        statement: Statement,
    ) -> Result<Vec<SqliteRow>> {
        let mut rows = self.rows(operation, statement).await?;
        let head = rows.pop().ok_or_else(|| gone(queue))?;
        let decode = |error| failed(operation, error);
        if head.try_get::<i64, _>(0).map_err(decode)? != HEAD_ROW {
            return Err(gone(queue));
        }
        let state = head.try_get(1).map_err(decode)?;
        check_state(queue, state, head.try_get(2).map_err(decode)?, false)?;
        // A purge that was acknowledged while this read ran may hide what was read; never show it.
        let purged: i64 = head.try_get(3).map_err(decode)?;
        let number = self.number(operation, queue).await?;
        rows.retain(|row| !is_purged(row, row_id(number, purged)));
        Ok(rows)
    }

    /// The local number of a queue; `QueueGone` if it has no head.
    pub(crate) async fn number(&self, operation: &'static str, queue: &QueueRef) -> Result<i64> {
        let known = self.numbers.read().unwrap_or_else(PoisonError::into_inner).get(queue).copied();
        if let Some(number) = known {
            return Ok(number);
        }
        let select = sqlx::query(
            "SELECT number FROM heads \
             WHERE incarnation = ? AND project = ? AND kind = ? AND name = ?",
        )
        .bind(incarnation_code(queue.incarnation))
        .bind(queue.key.project.to_string())
        .bind(kind_code(queue.key.kind))
        .bind(queue.key.name.to_string());
        let rows = self.rows(operation, select).await?;
        let row = rows.first().ok_or_else(|| gone(queue))?;
        let number = row.try_get(0).map_err(|error| failed(operation, error))?;
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        if numbers.len() >= NUMBERS_CACHED_MAX {
            numbers.clear();
        }
        numbers.insert(queue.clone(), number);
        Ok(number)
    }

    /// The row that holds, or held, a message; `None` if this queue never held it.
    pub(crate) async fn row_of_message(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        number: i64,
        id: MessageId,
    ) -> Result<Option<i64>> {
        if id.incarnation() == queue.incarnation {
            return Ok(row_of(number, id.sequence()));
        }
        let select = sqlx::query("SELECT id FROM arrivals WHERE queue = ? AND origin = ?")
            .bind(number)
            .bind(id.to_string());
        let rows = self.rows(operation, select).await?;
        let row = rows.first().map(|row| row.try_get(0)).transpose();
        row.map_err(|error| failed(operation, error))
    }
}

/// Rows of messages carry the row id in their second column; other rows start with a code >= 0.
fn is_purged(row: &SqliteRow, purged: i64) -> bool {
    matches!(row.try_get::<i64, _>(0), Ok(MESSAGE_ROW))
        && row.try_get::<i64, _>(1).is_ok_and(|id| id <= purged)
}

/// First column of a row that holds a message, whose columns follow.
pub(crate) const MESSAGE_ROW: i64 = 9;

/// A read that failed changed nothing.
pub(crate) fn failed(operation: &'static str, error: sqlx::Error) -> Error {
    engine_error(operation, Effect::None, &std::sync::Arc::new(error))
}
