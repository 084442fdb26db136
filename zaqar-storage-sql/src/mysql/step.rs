//! One transaction, as a task in it sees it.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlArguments, MySqlConnection};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Either, MySql};
use zaqar_core::{Clock, Timestamp};

use super::durable;
use super::row::SqlRow;
use super::sql::{Script, Sql, sql};

/// A statement with bound values: rows of a post.
pub(crate) type Prepared<'q> = Query<'q, MySql, MySqlArguments>;

/// What one statement of a script answered.
#[derive(Default)]
pub(crate) struct Answer {
    /// Its rows.
    pub(crate) rows: Vec<SqlRow>,
    /// How many rows it changed, or met and left as they were; 0 if it only reads.
    pub(crate) affected: u64,
}

/// The answers of a script, in the order of its statements.
#[derive(Default)]
pub(crate) struct Answers(Vec<Answer>);

impl Answers {
    /// The rows of the statement at that place, counted from zero.
    pub(crate) fn rows(&self, place: usize) -> &[SqlRow] {
        self.0.get(place).map_or(&[], |answer| &answer.rows)
    }

    /// How many rows that statement changed.
    pub(crate) fn affected(&self, place: usize) -> u64 {
        self.0.get(place).map_or(0, |answer| answer.affected)
    }

    /// Whether any statement changed a row.
    pub(crate) fn any_affected(&self) -> bool {
        self.0.iter().any(|answer| answer.affected > 0)
    }

    /// The rows of the last statement.
    pub(crate) fn last_rows(&self) -> &[SqlRow] {
        self.0.last().map_or(&[], |answer| &answer.rows)
    }

    /// The rows of the last statement but one.
    pub(crate) fn rows_before_last(&self) -> &[SqlRow] {
        self.rows(self.0.len().saturating_sub(2))
    }

    /// Takes the rows of that statement.
    pub(crate) fn take(&mut self, place: usize) -> Vec<SqlRow> {
        self.0.get_mut(place).map(|answer| std::mem::take(&mut answer.rows)).unwrap_or_default()
    }

    /// The answers after the first `count`.
    pub(crate) fn without_first(mut self, count: usize) -> Self {
        self.0.drain(..count.min(self.0.len()));
        self
    }

    fn last(self) -> Answer {
        self.0.into_iter().next_back().unwrap_or_default()
    }
}

/// Runs a script; after the first statement that fails the server runs none.
pub(crate) async fn run(
    connection: &mut MySqlConnection,
    script: Script,
) -> Result<Answers, sqlx::Error> {
    let mut answers = Vec::with_capacity(script.len());
    let (text, changes) = script.into_parts();
    let text: Arc<str> = text.into();
    let mut changes = changes.into_iter();
    let mut rows = Vec::new();
    // All values in the text are digits or hexadecimal, see `sql`.
    let mut stream = sqlx::raw_sql(AssertSqlSafe(text)).fetch_many(connection);
    while let Some(part) = stream.try_next().await? {
        match part {
            Either::Right(row) => rows.push(SqlRow::from(row)),
            Either::Left(done) => {
                let rows = std::mem::take(&mut rows);
                let changes = changes.next().unwrap_or(false);
                let affected = if changes { done.rows_affected() } else { 0 };
                answers.push(Answer { rows, affected });
            }
        }
    }
    Ok(Answers(answers))
}

/// A transaction, begun together with its first statement.
pub(crate) struct Step<'c> {
    connection: &'c mut MySqlConnection,
    clock: &'c Arc<dyn Clock>,
    begun: bool,
    /// Nothing of it is to be kept.
    abandoned: bool,
    /// Whether a statement changed a row, as far as the answers tell.
    changed: bool,
    /// What is left for the round trip of the commit.
    tail: Script,
    /// The moment of the step. Read again once it holds the lock that decides (see
    /// [`Self::refresh_now`]): a process that was paused before that must not shorten a message's
    /// life (G8).
    pub(crate) now: Timestamp,
}

impl<'c> Step<'c> {
    pub(crate) fn new(connection: &'c mut MySqlConnection, clock: &'c Arc<dyn Clock>) -> Self {
        Self {
            connection,
            clock,
            begun: false,
            abandoned: false,
            changed: false,
            tail: Script::new(),
            now: clock.now(),
        }
    }

    /// Looks at the clock again: the step holds its lock now.
    pub(crate) fn refresh_now(&mut self) {
        self.now = self.clock.now();
    }

    /// Runs statements in one round trip.
    pub(crate) async fn script(&mut self, script: Script) -> Result<Answers, sqlx::Error> {
        // In their order: nothing overtakes what was left for later.
        let mut whole = Script::new();
        if !self.begun {
            whole.add(&sql("START TRANSACTION"))?;
        }
        whole.append(&std::mem::take(&mut self.tail));
        let before = whole.len();
        whole.append(&script);
        self.begun = true;
        let answers = run(self.connection, whole).await?;
        self.changed |= answers.any_affected();
        Ok(answers.without_first(before))
    }

    /// Runs a statement and returns all its rows.
    pub(crate) async fn rows(&mut self, statement: Sql) -> Result<Vec<SqlRow>, sqlx::Error> {
        Ok(self.script(Script::of([statement])?).await?.last().rows)
    }

    /// Runs a statement that returns at most one row.
    pub(crate) async fn row(&mut self, statement: Sql) -> Result<Option<SqlRow>, sqlx::Error> {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs a statement for its effect; returns how many rows it changed.
    pub(crate) async fn execute(&mut self, statement: Sql) -> Result<u64, sqlx::Error> {
        Ok(self.script(Script::of([statement])?).await?.last().affected)
    }

    /// Runs a statement with bound values for its effect.
    pub(crate) async fn execute_prepared(
        &mut self,
        statement: Prepared<'_>,
    ) -> Result<(), sqlx::Error> {
        if !self.begun || !self.tail.is_empty() {
            self.script(Script::new()).await?;
        }
        let done = statement.execute(&mut *self.connection).await?;
        self.changed |= done.rows_affected() > 0;
        Ok(())
    }

    /// Leaves a statement whose answer nobody looks at for the round trip of the next ones, or of
    /// the commit.
    pub(crate) fn later(&mut self, statement: Sql) -> Result<(), sqlx::Error> {
        self.tail.add(&statement)
    }

    /// Keeps nothing of what was done: it is rolled back where it would be committed.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Commits, with what was left for later. If nothing was changed and it is `fenced`, what
    /// others changed before is on the disk when this returns (see [`super::durable`]).
    pub(super) async fn commit(self, fenced: bool) -> Result<(), sqlx::Error> {
        let mut script = Script::new();
        if self.abandoned {
            if self.begun {
                script.add(&sql("ROLLBACK"))?;
                run(self.connection, script).await?;
            }
            return Ok(());
        }
        if !self.begun {
            if self.tail.is_empty() {
                return Ok(());
            }
            script.add(&sql("START TRANSACTION"))?;
        }
        script.append(&self.tail);
        if fenced && self.tail.is_empty() && !self.changed {
            script.add(&durable::fence())?;
        }
        script.add(&sql("COMMIT"))?;
        run(self.connection, script).await.map(drop)
    }
}
