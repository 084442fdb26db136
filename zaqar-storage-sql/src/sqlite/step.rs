//! One transaction of the writer, as the operations in it see it.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite};
use zaqar_core::Timestamp;

use super::heads::HeadCache;

/// A statement under construction: text and bound values.
pub(crate) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// One open write transaction.
///
/// `now` was read after the transaction held the write lock: a process that was paused before
/// that cannot shorten a message's life (G8).
pub(crate) struct Step<'w> {
    /// The writer's connection, inside `BEGIN IMMEDIATE`.
    pub(crate) connection: &'w mut SqliteConnection,
    /// Queue heads, true while no other process writes.
    pub(crate) heads: &'w mut HeadCache,
    /// The moment of the step.
    pub(crate) now: Timestamp,
}

impl Step<'_> {
    /// Runs one prepared text, of one or more statements, and returns all their rows.
    ///
    /// Every call is a hop to the connection's thread and back, so what can share a text does.
    pub(crate) async fn rows(
        &mut self,
        statement: Statement,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        statement.fetch_all(&mut *self.connection).await
    }

    /// Runs one statement that returns at most one row.
    pub(crate) async fn row(
        &mut self,
        statement: Statement,
    ) -> Result<Option<SqliteRow>, sqlx::Error> {
        statement.fetch_optional(&mut *self.connection).await
    }

    /// Runs statements for their effect; returns how many rows they changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(statement.execute(&mut *self.connection).await?.rows_affected())
    }
}

/// Starts a statement from text that was put together from constants of this crate.
///
/// The one audited place: no caller may pass text that came from outside.
pub(crate) fn assembled(text: &Arc<str>) -> Statement {
    sqlx::query(AssertSqlSafe(Arc::clone(text)))
}
