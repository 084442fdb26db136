//! The server behind a store: the way in for every operation.
//!
//! An operation waits for its turn at the gate (round robin among projects), then runs in a task of
//! its own on a connection of its own, which finishes whether or not its caller still waits (G16).
//! Nothing here repeats what may have been stored: only when the server says that it rolled a
//! transaction back for a deadlock, the whole of it is run again (G3).

use std::sync::Arc;

use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{Clock, Error, QueueRef, Result};
use zaqar_storage_lanes::{Gate, Party};

use crate::connections::{Connections, Held};
use crate::error::Failure;
pub(crate) use crate::work::WORK_MAX;
use crate::work::{bounded, not_sent};

use super::error::{Broken, failed, failed_without_effect, is_about_the_server, is_passing};
use super::memory::Memory;
use super::session::{Level, PgDial};
use super::step::{Statement, Step};
use super::task::Task;

/// How often a transaction that lost a deadlock is run.
const ATTEMPTS: usize = 5;

/// The server, and what this process knows of the store in it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) connections: Arc<Connections<PgDial>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) memory: Memory,
    /// How transactions of several statements commit.
    pub(crate) level: Level,
}

/// How a task failed.
pub(crate) enum TaskFailed {
    /// It refused, and changed nothing.
    Refused(Error),
    /// The engine failed.
    Broken(Broken),
}

/// How an attempt at a transaction failed.
enum Failed {
    /// The task refused; it was rolled back.
    Refused(Error),
    /// Before the commit: the server keeps nothing of it.
    Inside(sqlx::Error),
    /// In the commit.
    Committing(sqlx::Error),
}

impl Server {
    /// Waits for a turn, then does `work` whether or not the caller still waits.
    pub(crate) async fn work<T, F>(
        &self,
        party: &Party,
        operation: &'static str,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.gate.run(party, operation, bounded(operation, work)).await
    }

    /// Runs a task in a transaction.
    pub(crate) async fn run<T: Task>(
        self: &Arc<Self>,
        party: &Party,
        task: T,
    ) -> Result<T::Output> {
        let server = Arc::clone(self);
        let work = async move { server.transact(task).await };
        self.work(party, T::OPERATION, work).await
    }

    /// Runs a task in a transaction, at a place that the caller has already.
    pub(crate) async fn transact<T: Task>(&self, mut task: T) -> Result<T::Output> {
        match self.transact_raw(&mut task).await {
            Ok(output) => Ok(output),
            Err(TaskFailed::Refused(error)) => Err(error),
            Err(TaskFailed::Broken(broken)) => Err(broken.tell(T::OPERATION)),
        }
    }

    /// As [`Self::transact`], for callers that tell several others.
    pub(crate) async fn transact_raw<T: Task>(
        &self,
        task: &mut T,
    ) -> Result<T::Output, TaskFailed> {
        let mut attempt = 1;
        loop {
            let (error, inside) = match self.attempt(task).await {
                Ok(output) => return Ok(output),
                Err(Failed::Refused(error)) => return Err(TaskFailed::Refused(error)),
                Err(Failed::Inside(error)) => (error, true),
                Err(Failed::Committing(error)) => (error, false),
            };
            if is_passing(&error) && attempt < ATTEMPTS {
                attempt += 1;
                tracing::debug!(%error, operation = T::OPERATION, "a transaction is run again");
                continue;
            }
            self.note(&error);
            let broken = if inside { Broken::inside(error) } else { Broken::committing(error) };
            return Err(TaskFailed::Broken(broken));
        }
    }

    async fn attempt<T: Task>(&self, task: &mut T) -> Result<T::Output, Failed> {
        let mut held = self.connections.take().await.map_err(Failed::Inside)?;
        command(&mut held, self.level.begin()).await.map_err(Failed::Inside)?;
        let mut step = Step::new(held.connection(), &self.clock);
        match task.run(&mut step).await {
            Ok(output) => {
                command(&mut held, "COMMIT").await.map_err(Failed::Committing)?;
                held.give_back();
                Ok(output)
            }
            Err(Failure::Refused(error)) => {
                if command(&mut held, "ROLLBACK").await.is_ok() {
                    held.give_back();
                }
                Err(Failed::Refused(error))
            }
            Err(Failure::Engine(error)) => {
                // If this fails too the connection is dropped, and the server rolls back by itself.
                if command(&mut held, "ROLLBACK").await.is_ok() {
                    held.give_back();
                }
                Err(Failed::Inside(error))
            }
        }
    }

    /// Runs a statement that changes nothing.
    pub(crate) async fn read(
        &self,
        operation: &'static str,
        statement: Statement,
    ) -> Result<Vec<PgRow>> {
        self.once(statement).await.map_err(|error| failed_without_effect(operation, error))
    }

    /// Runs a statement that is a whole transaction. `make` makes it anew for each attempt.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        make: impl Fn() -> Statement + Send + Sync,
    ) -> Result<Vec<PgRow>> {
        self.write_raw(make).await.map_err(|error| failed(operation, error))
    }

    /// As [`Self::write`], for callers that look at the error.
    pub(crate) async fn write_raw(
        &self,
        make: impl Fn() -> Statement + Send + Sync,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut attempt = 1;
        loop {
            match self.once(make()).await {
                Err(error) if is_passing(&error) && attempt < ATTEMPTS => attempt += 1,
                done => return done,
            }
        }
    }

    async fn once(&self, statement: Statement) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut held = match self.connections.take().await {
            Ok(held) => held,
            Err(error) => {
                self.note(&error);
                // Nothing was sent: whatever it was, it certainly had no effect.
                return Err(not_sent(error));
            }
        };
        match statement.fetch_all(held.connection()).await {
            Ok(rows) => {
                held.give_back();
                Ok(rows)
            }
            Err(error) => {
                // After an error that the server reported, the session is ready for the next.
                if matches!(error, sqlx::Error::Database(_)) && !is_about_the_server(&error) {
                    held.give_back();
                }
                self.note(&error);
                Err(error)
            }
        }
    }

    /// The local number of a queue; `QueueGone` if it has no head.
    pub(crate) async fn number(&self, operation: &'static str, queue: &QueueRef) -> Result<i64> {
        match self.find_number(queue).await {
            Ok(number) => number.ok_or_else(|| crate::layout::gone(queue)),
            Err(error) => Err(failed_without_effect(operation, error)),
        }
    }

    /// The local number of a queue, if it has a head. Numbers never change.
    pub(crate) async fn find_number(&self, queue: &QueueRef) -> Result<Option<i64>, sqlx::Error> {
        if let Some(number) = self.memory.number(queue) {
            return Ok(Some(number));
        }
        let rows = self.once(super::heads::select_number(queue)).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let number = row.try_get(0)?;
        self.memory.keep_number(queue, number);
        Ok(Some(number))
    }

    fn note(&self, error: &sqlx::Error) {
        if is_about_the_server(error) {
            self.connections.distrust();
        }
    }
}

async fn command(held: &mut Held<PgDial>, text: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(text).execute(held.connection()).await.map(drop)
}
