//! One transaction of the writer, as the operations in it see it.
//!
//! Its methods never wait for anybody: they are futures because the operations are written as such.

use rusqlite::CachedStatement;
use zaqar_core::{Clock, Timestamp};

use super::engine::Engine;
use super::head_cache::HeadCache;
use super::statement::{Row, Statement, query};

/// One write transaction. It holds the write lock.
pub(crate) struct Step<'w> {
    engine: &'w mut Engine,
    /// Queue heads, true while no other process writes.
    pub(crate) heads: &'w mut HeadCache,
    /// The moment of the step, read once it holds the lock: a process that was paused before that
    /// must not shorten a message's life (G8).
    pub(crate) now: Timestamp,
}

impl<'w> Step<'w> {
    /// Takes the write lock, and forgets the heads if anybody else wrote since.
    pub(crate) fn begin(
        engine: &'w mut Engine,
        heads: &'w mut HeadCache,
        clock: &dyn Clock,
    ) -> Result<Self, sqlx::Error> {
        let rows = engine.rows(&query("BEGIN IMMEDIATE; PRAGMA data_version"))?;
        let version = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        heads.follow(version.try_get(0)?);
        Ok(Self { engine, heads, now: clock.now() })
    }

    /// Runs a text of one or more statements and returns all their rows.
    pub(crate) async fn rows(&mut self, statement: Statement) -> Result<Vec<Row>, sqlx::Error> {
        self.engine.rows(&statement)
    }

    /// Runs one statement that returns at most one row.
    pub(crate) async fn row(&mut self, statement: Statement) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs statements for their effect; returns how many rows they changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        self.engine.execute(&statement)
    }

    /// One statement of the hot path, to be run for many rows.
    pub(crate) fn prepare(&self, text: &'static str) -> Result<CachedStatement<'_>, sqlx::Error> {
        self.engine.prepare(text)
    }

    /// Commits. If that fails, it may be stored all the same.
    pub(crate) fn commit(self) -> Result<(), sqlx::Error> {
        self.engine.execute(&query("COMMIT")).map(drop)
    }
}
