//! One transaction of the writer, as the operations in it see it.
//!
//! Every execution is a hop to the connection's thread and back, and at few callers the hops decide
//! how long a batch takes. So the transaction begins with its first statement, in the same text, and
//! what is written last is deferred and goes out together with the commit: a batch of claims or of
//! deletes is two hops.

use std::sync::Arc;

use futures_util::TryStreamExt;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, Either, Execute, Executor, Row, Sqlite};
use zaqar_core::{Clock, Timestamp};

use super::heads::HeadCache;
use super::script::Script;

/// A statement under construction: text and bound values.
pub(crate) type Statement = Query<'static, Sqlite, SqliteArguments>;

/// Takes the write lock, and tells whether anybody else wrote since.
const BEGIN: &str = "BEGIN IMMEDIATE;PRAGMA data_version;";

/// The same, as the beginning of a query.
const BEGIN_AND_LOOK: &str =
    "BEGIN IMMEDIATE;SELECT (SELECT data_version FROM pragma_data_version)";

/// One write transaction, begun by its first statement.
pub(crate) struct Step<'w> {
    connection: &'w mut SqliteConnection,
    /// Queue heads, true while no other process writes.
    pub(crate) heads: &'w mut HeadCache,
    clock: &'w dyn Clock,
    /// The moment of the step, read again once it holds the write lock: a process that was paused
    /// before that must not shorten a message's life (G8).
    pub(crate) now: Timestamp,
    begun: bool,
    stale: bool,
    deferred: Script,
}

/// Where a commit failed.
pub(crate) enum CommitFailed {
    /// In a deferred write: nothing is stored.
    Before(sqlx::Error),
    /// In the commit itself: it may be stored.
    Itself(sqlx::Error),
}

impl<'w> Step<'w> {
    pub(crate) fn new(
        connection: &'w mut SqliteConnection,
        heads: &'w mut HeadCache,
        clock: &'w dyn Clock,
    ) -> Self {
        let (now, deferred) = (clock.now(), Script::default());
        Self { connection, heads, clock, now, begun: false, stale: false, deferred }
    }

    /// Whether the transaction holds the write lock.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the step failed because another process wrote since the heads were cached.
    pub(crate) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Takes the write lock now: what is computed next needs the moment after it.
    pub(crate) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        if self.begun {
            return Ok(());
        }
        let rows = sqlx::query(BEGIN).fetch_all(&mut *self.connection).await?;
        self.took_lock(rows.first())
    }

    /// Runs one prepared text, of one or more statements, and returns all their rows.
    pub(crate) async fn rows(
        &mut self,
        mut statement: Statement,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        self.flush().await?;
        if self.begun {
            return statement.fetch_all(&mut *self.connection).await;
        }
        let arguments = statement.take_arguments().map_err(sqlx::Error::Encode)?;
        let text = format!("{BEGIN}{}", statement.sql().as_str());
        let statement =
            sqlx::query_with(AssertSqlSafe(text), arguments.unwrap_or_default()).persistent(true);
        let mut rows = statement.fetch_all(&mut *self.connection).await?;
        self.took_lock(rows.first())?;
        rows.remove(0);
        Ok(rows)
    }

    /// Looks before anything is written: evaluates expressions, all in one row, because each row
    /// and each statement that is done wakes the writer. The first of them is column 1.
    pub(crate) async fn look(&mut self, expressions: Script) -> Result<SqliteRow, sqlx::Error> {
        self.flush().await?;
        let begins = !self.begun;
        let query = if begins { BEGIN_AND_LOOK } else { "SELECT 0" };
        let statement = expressions.behind(query).into_statement();
        let row = statement.fetch_one(&mut *self.connection).await?;
        if begins {
            self.took_lock(Some(&row))?;
        }
        Ok(row)
    }

    /// Runs one statement that returns at most one row.
    pub(crate) async fn row(
        &mut self,
        statement: Statement,
    ) -> Result<Option<SqliteRow>, sqlx::Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs statements for their effect; returns how many rows they changed.
    pub(crate) async fn execute(&mut self, statement: Statement) -> Result<u64, sqlx::Error> {
        self.begin().await?;
        self.flush().await?;
        Ok(statement.execute(&mut *self.connection).await?.rows_affected())
    }

    /// Writes at the end of the step, or before the next statement.
    pub(crate) fn defer(&mut self, script: Script) {
        self.deferred.append(script);
    }

    /// Commits, together with what is deferred.
    pub(crate) async fn commit(&mut self) -> Result<(), CommitFailed> {
        // Even a refusal from a cached head counts only if the cache is still true.
        self.begin().await.map_err(CommitFailed::Before)?;
        let mut script = std::mem::take(&mut self.deferred);
        script.append(Script::of("COMMIT"));
        let statements = script.statements();
        match run(self.connection, script).await {
            Ok(_) => Ok(()),
            Err((done, error)) if done + 1 < statements => Err(CommitFailed::Before(error)),
            Err((_, error)) => Err(CommitFailed::Itself(error)),
        }
    }

    async fn flush(&mut self) -> Result<(), sqlx::Error> {
        if self.deferred.is_empty() {
            return Ok(());
        }
        self.begin().await?;
        let script = std::mem::take(&mut self.deferred);
        run(self.connection, script).await.map(drop).map_err(|(_, error)| error)
    }

    fn took_lock(&mut self, version: Option<&SqliteRow>) -> Result<(), sqlx::Error> {
        self.begun = true;
        self.now = self.clock.now();
        let version = version.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        if self.heads.follow(version) {
            self.stale = true;
            return Err(sqlx::Error::Protocol("another process wrote meanwhile".into()));
        }
        Ok(())
    }
}

/// Runs a script; on failure also says how many of its statements were done.
pub(crate) async fn run(
    connection: &mut SqliteConnection,
    script: Script,
) -> Result<Vec<SqliteRow>, (usize, sqlx::Error)> {
    let (mut done, mut rows) = (0, Vec::new());
    let mut results = connection.fetch_many(script.into_statement());
    loop {
        match results.try_next().await {
            Ok(None) => return Ok(rows),
            Ok(Some(Either::Left(_))) => done += 1,
            Ok(Some(Either::Right(row))) => rows.push(row),
            Err(error) => return Err((done, error)),
        }
    }
}

/// Starts a statement from text that was put together from constants of this crate.
///
/// No caller may pass text that came from outside.
pub(crate) fn assembled(text: &Arc<str>) -> Statement {
    sqlx::query(AssertSqlSafe(Arc::clone(text)))
}
