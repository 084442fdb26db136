//! One transaction, as a task in it sees it.

use std::sync::Arc;

use sqlx::Postgres;
use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::query::Query;
use zaqar_core::{Clock, Timestamp};

/// A statement under construction: text and bound values.
pub(crate) type Statement = Query<'static, Postgres, PgArguments>;

/// A transaction that has begun.
pub(crate) struct Step<'c> {
    connection: &'c mut PgConnection,
    clock: &'c Arc<dyn Clock>,
    /// The moment of the step. Read again once it holds the lock that decides (see
    /// [`Self::refresh_now`]): a process that was paused before that must not shorten a message's
    /// life (G8).
    pub(crate) now: Timestamp,
}

impl<'c> Step<'c> {
    pub(crate) fn new(connection: &'c mut PgConnection, clock: &'c Arc<dyn Clock>) -> Self {
        Self { connection, clock, now: clock.now() }
    }

    /// Looks at the clock again: the step holds its lock now.
    pub(crate) fn refresh_now(&mut self) {
        self.now = self.clock.now();
    }

    /// Runs a statement and returns all its rows.
    pub(crate) async fn rows(&mut self, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        statement.fetch_all(&mut *self.connection).await
    }

    /// Runs a statement that returns at most one row.
    pub(crate) async fn row(&mut self, statement: Statement) -> Result<Option<PgRow>, sqlx::Error> {
        statement.fetch_optional(&mut *self.connection).await
    }

    /// Runs a statement for its effect; returns how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        Ok(statement.execute(&mut *self.connection).await?.rows_affected())
    }
}
