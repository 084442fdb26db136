//! What the modules that all databases share ask of one: how a transaction runs statements, how a row
//! is read, and which of several texts it understands.

use async_trait::async_trait;
use zaqar_core::Result;

use crate::error::Failure;
use crate::statement::Statement;

/// The text of a statement, where databases differ.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(all(feature = "postgres", feature = "mysql", feature = "sqlite")),
    expect(dead_code, reason = "a build without a database reads none of its texts")
)]
pub(crate) struct Text {
    pub(crate) postgres: &'static str,
    pub(crate) mysql: &'static str,
    pub(crate) sqlite: &'static str,
}

/// A database.
pub(crate) trait Dialect {
    /// The text for this one.
    fn choose(text: Text) -> &'static str;
}

/// A row of an answer.
pub(crate) trait Columns: Send + Sync {
    /// A number.
    fn int(&self, column: usize) -> Result<i64, sqlx::Error>;
    /// Yes or no.
    fn flag(&self, column: usize) -> Result<bool, sqlx::Error>;
    /// A text.
    fn text(&self, column: usize) -> Result<&str, sqlx::Error>;
    /// A text that may be missing.
    fn maybe_text(&self, column: usize) -> Result<Option<&str>, sqlx::Error>;
}

/// A number to be taken from a counter. Whoever takes one holds the counter's row to the end of the
/// transaction.
#[derive(Debug)]
#[cfg_attr(
    not(all(feature = "mysql", any(feature = "postgres", feature = "sqlite"))),
    expect(dead_code, reason = "a build without a database reads none of its statements")
)]
pub(crate) struct Counter {
    /// Counts up, and returns what it was before.
    pub(crate) take: Statement,
    /// Counts up, where that returns nothing,
    pub(crate) count: Statement,
    /// and then says what it was before.
    pub(crate) look: Statement,
}

/// A transaction, as a task in it sees it.
#[async_trait]
pub(crate) trait Steps: Dialect + Send {
    /// A row of an answer.
    type Row: Columns;

    /// Runs a statement and returns all its rows.
    async fn rows(&mut self, statement: Statement) -> Result<Vec<Self::Row>, sqlx::Error>;

    /// Runs a statement for its effect; returns how many rows it changed.
    async fn affect(&mut self, statement: Statement) -> Result<u64, sqlx::Error>;

    /// Runs a statement whose answer nobody looks at: perhaps not before the next, or the commit.
    async fn effect(&mut self, statement: Statement) -> Result<(), sqlx::Error>;

    /// Takes a number; `None`: the counter is not there.
    async fn take(&mut self, counter: Counter) -> Result<Option<i64>, sqlx::Error>;

    /// Runs a statement that returns at most one row.
    async fn first(&mut self, statement: Statement) -> Result<Option<Self::Row>, sqlx::Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }
}

/// A write that every database does in the same way, in a transaction of its own.
#[async_trait]
pub(crate) trait Task: Send + 'static {
    /// What it returns.
    type Output: Send + 'static;
    /// Its name in errors.
    const OPERATION: &'static str;

    /// Does the work. Called once for each attempt; an attempt whose transaction was rolled back
    /// left nothing.
    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<Self::Output, Failure>;
}

/// A [`Task`] as a task of the database that runs it.
#[derive(Debug)]
pub(crate) struct Shared<T>(pub(crate) T);
