//! The server behind a store: the way in for every operation.
//!
//! An operation waits for its turn at the gate (round robin among projects), then runs in a task of
//! its own on a connection of its own, which finishes whether or not its caller still waits (G16).
//! Nothing here repeats what may have been stored: only when the server says that a transaction
//! failed before its commit, for a reason that passes, the whole of it is run again (G3).

use std::sync::Arc;

use zaqar_core::{Clock, Error, Message, QueueRef, Result, Timestamp};
use zaqar_storage_lanes::{Gate, Party};

use crate::connections::{Connections, Held};
use crate::error::Failure;
pub(crate) use crate::work::WORK_MAX;
use crate::work::{bounded, not_sent};

use super::durable::{self, Horizon};
use super::error::{
    Broken, failed, failed_without_effect, is_about_the_server, is_passing, keeps_the_session,
};
use super::memory::Memory;
use super::row::SqlRow;
use super::session::MyDial;
use super::sql::{Script, Sql, sql};
use super::step::{Answers, Step, run};
use super::task::Task;

/// How often a transaction that failed for a passing reason is run.
const ATTEMPTS: usize = 5;

/// The server, and what this process knows of the store in it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) connections: Arc<Connections<MyDial>>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) memory: Memory,
    pub(crate) horizon: Horizon,
    /// Bytes that one statement may carry.
    pub(crate) packet_max: usize,
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
        self.transact_as(&mut task, T::OPERATION).await
    }

    /// As [`Self::transact`], under the name that the caller's operation has.
    pub(crate) async fn transact_as<T: Task>(
        &self,
        task: &mut T,
        operation: &'static str,
    ) -> Result<T::Output> {
        match self.transact_raw(task).await {
            Ok(output) => Ok(output),
            Err(TaskFailed::Refused(error)) => Err(error),
            Err(TaskFailed::Broken(broken)) => Err(broken.tell(operation)),
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

    /// As [`Self::transact_raw`], in the time that an operation may take, and with a refusal for all.
    pub(crate) async fn transact_for_many<T: Task>(
        &self,
        task: &mut T,
    ) -> Result<Result<T::Output>, Broken> {
        match tokio::time::timeout(WORK_MAX, self.transact_raw(task)).await {
            Ok(Ok(output)) => Ok(Ok(output)),
            Ok(Err(TaskFailed::Refused(refusal))) => Ok(Err(refusal)),
            Ok(Err(TaskFailed::Broken(broken))) => Err(broken),
            Err(_) => {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(Broken::committing(sqlx::Error::Io(late)))
            }
        }
    }

    async fn attempt<T: Task>(&self, task: &mut T) -> Result<T::Output, Failed> {
        let mut held = self.connections.take().await.map_err(Failed::Inside)?;
        let mut step = Step::new(held.connection(), &self.clock);
        match task.run(&mut step).await {
            Ok(output) => match step.commit(T::FENCED).await {
                Ok(()) => {
                    held.give_back();
                    Ok(output)
                }
                Err(error) => {
                    roll_back(held, &error).await;
                    Err(Failed::Committing(error))
                }
            },
            Err(Failure::Refused(error)) => {
                // If this fails the connection is dropped, and the server rolls back by itself.
                if command(&mut held, "ROLLBACK").await.is_ok() {
                    held.give_back();
                }
                Err(Failed::Refused(error))
            }
            Err(Failure::Engine(error)) => {
                roll_back(held, &error).await;
                Err(Failed::Inside(error))
            }
        }
    }

    /// Runs a statement that changes nothing.
    pub(crate) async fn read(
        &self,
        operation: &'static str,
        statement: Sql,
    ) -> Result<Vec<SqlRow>> {
        Ok(self.read_all(operation, vec![statement]).await?.take(0))
    }

    /// Runs statements that change nothing, each seeing the store at a moment of its own.
    pub(crate) async fn read_all(
        &self,
        operation: &'static str,
        statements: Vec<Sql>,
    ) -> Result<Answers> {
        let answers = self.once(Script::of(statements)).await;
        answers.map_err(|error| failed_without_effect(operation, error))
    }

    /// Runs statements that change nothing and all see the store at one moment. The answers are
    /// those of `statements`.
    pub(crate) async fn read_snapshot(
        &self,
        operation: &'static str,
        statements: Vec<Sql>,
    ) -> Result<Answers> {
        // Of this one transaction alone; the session stays as it is.
        let begin = [
            sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
            sql("START TRANSACTION WITH CONSISTENT SNAPSHOT"),
        ];
        let skipped = begin.len();
        let all = begin.into_iter().chain(statements).chain([sql("COMMIT")]);
        let answers = self.once(Script::of(all)).await;
        let answers = answers.map_err(|error| failed_without_effect(operation, error))?;
        Ok(answers.without_first(skipped))
    }

    /// Runs statements as one transaction, in one round trip. The answers are those of
    /// `statements`. If they changed nothing, whatever others changed before is on the disk.
    pub(crate) async fn write(
        &self,
        operation: &'static str,
        statements: Vec<Sql>,
    ) -> Result<Answers> {
        let all = [sql("START TRANSACTION")].into_iter().chain(statements).chain([sql("COMMIT")]);
        let script = Script::of(all).map_err(|error| failed(operation, error))?;
        let mut attempt = 1;
        loop {
            match self.once(Ok(script.clone())).await {
                Err(error) if is_passing(&error) && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(failed(operation, error)),
                Ok(answers) => {
                    if !answers.any_affected() {
                        self.pass_fence().await.map_err(|error| failed(operation, error))?;
                    }
                    return Ok(answers.without_first(1));
                }
            }
        }
    }

    /// Returns when everything that was visible before is on the disk (see [`super::durable`]).
    pub(crate) async fn pass_fence(&self) -> Result<(), sqlx::Error> {
        self.once(Script::of([durable::fence()])).await.map(drop)
    }

    /// Returns when messages that were read are on the disk, so that they may be shown.
    pub(crate) async fn make_sure(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        messages: &[Message],
    ) -> Result<()> {
        let Some(last) = self.horizon.beyond(queue, messages) else { return Ok(()) };
        let passed = self.pass_fence().await;
        passed.map_err(|error| failed_without_effect(operation, error))?;
        self.horizon.advance(queue, last);
        Ok(())
    }

    /// Runs a script that is a whole transaction, once; `script` makes it of the moment at which it
    /// is sent. After an error without effect nothing of it is open any more.
    pub(crate) async fn send_transaction(
        &self,
        script: impl FnOnce(Timestamp) -> Result<Script, sqlx::Error> + Send,
    ) -> Result<(), Broken> {
        let sent = self.once_made(|| script(self.clock.now()));
        match tokio::time::timeout(WORK_MAX, sent).await {
            Ok(done) => done.map(drop).map_err(Broken::committing),
            Err(_) => {
                let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
                Err(Broken::committing(sqlx::Error::Io(late)))
            }
        }
    }

    async fn once(&self, script: Result<Script, sqlx::Error>) -> Result<Answers, sqlx::Error> {
        let script = script?;
        self.once_made(|| Ok(script)).await
    }

    /// Runs a script that is made when there is a connection for it.
    async fn once_made(
        &self,
        script: impl FnOnce() -> Result<Script, sqlx::Error> + Send,
    ) -> Result<Answers, sqlx::Error> {
        let mut held = match self.connections.take().await {
            Ok(held) => held,
            Err(error) => {
                self.note(&error);
                // Nothing was sent: whatever it was, it certainly had no effect.
                return Err(not_sent(error));
            }
        };
        let sent = match script() {
            Ok(script) => run(held.connection(), script).await,
            Err(error) => Err(not_sent(error)),
        };
        match sent {
            Ok(answers) => {
                held.give_back();
                Ok(answers)
            }
            Err(error) => {
                roll_back(held, &error).await;
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

    /// The local number of a queue, if it has a head. Numbers never change; one is remembered once
    /// it is durable, for a server that lost it would give it to another queue.
    pub(crate) async fn find_number(&self, queue: &QueueRef) -> Result<Option<i64>, sqlx::Error> {
        if let Some(number) = self.memory.number(queue) {
            return Ok(Some(number));
        }
        let answers = self.once(Script::of([super::heads::select_number(queue)])).await?;
        let Some(row) = answers.rows(0).first() else { return Ok(None) };
        let number = row.try_get(0)?;
        self.pass_fence().await?;
        self.memory.keep_number(queue, number);
        Ok(Some(number))
    }

    fn note(&self, error: &sqlx::Error) {
        if is_about_the_server(error) {
            self.connections.distrust();
        }
    }
}

/// Ends what an error may have left open. A connection that cannot be rolled back is dropped, and
/// the server rolls back by itself.
async fn roll_back(mut held: Held<MyDial>, error: &sqlx::Error) {
    if keeps_the_session(error) && command(&mut held, "ROLLBACK").await.is_ok() {
        held.give_back();
    }
}

async fn command(held: &mut Held<MyDial>, text: &'static str) -> Result<(), sqlx::Error> {
    run(held.connection(), Script::of([sql(text)])?).await.map(drop)
}
