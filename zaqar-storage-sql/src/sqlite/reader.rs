//! Reads: WAL snapshots on connections of their own, beside the writer, on threads that may block.
//!
//! A read cannot check the queue head inside a writer's step, so it checks *after* it has read: an
//! incarnation that is open afterwards was open throughout, because closed is for ever (G11), and one
//! that left and came back had nothing in between.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::Semaphore;
use zaqar_core::{Effect, Error, Incarnation, MessageId, QueueKey, QueueRef, Result};

use crate::codes::{incarnation_code, kind_code};
use crate::error::engine_error;
use crate::layout::{check_state, gone, row_id, row_of};

use super::engine::Engine;
use super::statement::{Row, Statement, query};

/// Connections for reading.
const READERS: u32 = 4;
/// Settings of each; the page cache is given in KiB (negative, as SQLite wants it).
const SETTINGS: &str = "PRAGMA query_only = ON; PRAGMA foreign_keys = OFF; \
     PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192";

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
    connections: Arc<Connections>,
    /// One for each connection that may be in use.
    permits: Arc<Semaphore>,
    /// Numbers never change, so an entry is true for ever; the head check follows each read.
    numbers: RwLock<HashMap<Incarnation, (QueueKey, i64)>>,
}

/// The connections that nobody uses at the moment; they are opened as they are needed.
#[derive(Debug)]
struct Connections {
    path: PathBuf,
    idle: Mutex<Vec<Engine>>,
}

impl Connections {
    fn rows(&self, statement: &Statement) -> Result<Vec<Row>, sqlx::Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let engine = match idle {
            Some(engine) => engine,
            None => Engine::open(&self.path, SETTINGS)?,
        };
        // One that failed is not used again.
        let rows = engine.rows(statement)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
        Ok(rows)
    }
}

impl Reader {
    pub(crate) fn new(path: PathBuf) -> Self {
        let permits = Arc::new(Semaphore::new(READERS as usize));
        let connections = Arc::new(Connections { path, idle: Mutex::default() });
        Self { connections, permits, numbers: RwLock::default() }
    }

    /// Waits for the reads that run, and refuses all others.
    pub(crate) async fn close(&self) {
        // If that fails, it was closed before.
        if let Ok(all) = self.permits.acquire_many(READERS).await {
            self.permits.close();
            drop(all);
        }
        self.connections.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Runs statements that change nothing and returns all their rows.
    pub(crate) async fn rows(
        &self,
        operation: &'static str,
        statement: Statement,
    ) -> Result<Vec<Row>> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| failed(operation, sqlx::Error::PoolClosed))?;
        let connections = Arc::clone(&self.connections);
        // A read whose caller leaves goes on to its end and keeps its permit until then.
        let reading = tokio::task::spawn_blocking(move || {
            let rows = connections.rows(&statement);
            drop(permit);
            rows
        });
        let read = reading.await.unwrap_or(Err(sqlx::Error::WorkerCrashed));
        read.map_err(|error| failed(operation, error))
    }

    /// Runs a text that ends with [`check_head`], refuses a closed head, and returns the other rows.
    pub(crate) async fn rows_of_queue(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        statement: Statement,
    ) -> Result<Vec<Row>> {
        let mut rows = self.rows(operation, statement).await?;
        let head = rows.pop().ok_or_else(|| gone(queue))?;
        let decode = |error| failed(operation, error);
        if head.try_get::<i64>(0).map_err(decode)? != HEAD_ROW {
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
        if let Some(number) = self.known_number(queue) {
            return Ok(number);
        }
        let select = query(
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
        numbers.insert(queue.incarnation, (queue.key.clone(), number));
        Ok(number)
    }

    fn known_number(&self, queue: &QueueRef) -> Option<i64> {
        let numbers = self.numbers.read().unwrap_or_else(PoisonError::into_inner);
        let (key, number) = numbers.get(&queue.incarnation)?;
        // A reference that lies about its project finds nothing (G12).
        (*key == queue.key).then_some(*number)
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
        let select = query("SELECT id FROM arrivals WHERE queue = ? AND origin = ?")
            .bind(number)
            .bind(id.to_string());
        let rows = self.rows(operation, select).await?;
        let row = rows.first().map(|row| row.try_get(0)).transpose();
        row.map_err(|error| failed(operation, error))
    }
}

/// Rows of messages carry the row id in their second column; other rows start with a code >= 0.
fn is_purged(row: &Row, purged: i64) -> bool {
    matches!(row.try_get::<i64>(0), Ok(MESSAGE_ROW))
        && row.try_get::<i64>(1).is_ok_and(|id| id <= purged)
}

/// First column of a row that holds a message, whose columns follow.
pub(crate) const MESSAGE_ROW: i64 = 9;

/// A read that failed changed nothing.
pub(crate) fn failed(operation: &'static str, error: sqlx::Error) -> Error {
    engine_error(operation, Effect::None, &std::sync::Arc::new(error))
}
