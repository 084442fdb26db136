//! Tasks: every write that is not on the hot path.
//!
//! A task runs inside the writer's transaction under a savepoint of its own, so one that is
//! refused leaves nothing behind and its neighbours untouched. It may run twice: when the engine
//! fails in a batch, the batch is rolled back and its operations are run again, each alone.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::oneshot;
use zaqar_core::{Effect, Error, Result};

use crate::error::{Failure, engine_error};

use super::statement::query;
use super::step::Step;

/// A write.
#[async_trait]
pub(crate) trait Task: Send + 'static {
    /// What it returns.
    type Output: Send;
    /// Its name in errors.
    const OPERATION: &'static str;

    /// Does the work. Called once per attempt; an attempt whose step is rolled back left nothing.
    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure>;
}

/// A task together with whoever waits for it.
#[async_trait]
pub(crate) trait WaitingTask: Send {
    /// Whether nobody waits any more: then it is not begun.
    fn is_abandoned(&self) -> bool;
    /// Runs it and keeps the result; fails only if the engine did.
    async fn attempt(&mut self, step: &mut Step<'_>) -> Result<(), sqlx::Error>;
    /// Answers with the kept result: the step was committed.
    fn settle(self: Box<Self>);
    /// Answers that the engine failed.
    fn fail(self: Box<Self>, effect: Effect, error: &Arc<sqlx::Error>);
    /// Answers with an error of ours: it was not begun.
    fn refuse(self: Box<Self>, make: &dyn Fn(&'static str) -> Error);
}

pub(crate) struct Waiting<T: Task> {
    task: T,
    outcome: Option<Result<T::Output>>,
    reply: oneshot::Sender<Result<T::Output>>,
}

impl<T: Task> Waiting<T> {
    pub(crate) fn new(task: T, reply: oneshot::Sender<Result<T::Output>>) -> Self {
        Self { task, outcome: None, reply }
    }
}

/// Hands an answer over; a caller that left does not need it.
pub(crate) fn answer<T>(reply: oneshot::Sender<Result<T>>, result: Result<T>) {
    drop(reply.send(result));
}

#[async_trait]
impl<T: Task> WaitingTask for Waiting<T> {
    fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    async fn attempt(&mut self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        step.execute(query("SAVEPOINT task")).await?;
        match self.task.run(step).await {
            Ok(output) => {
                step.execute(query("RELEASE task")).await?;
                self.outcome = Some(Ok(output));
                Ok(())
            }
            Err(Failure::Refused(error)) => {
                step.execute(query("ROLLBACK TO task; RELEASE task")).await?;
                step.heads.clear();
                self.outcome = Some(Err(error));
                Ok(())
            }
            Err(Failure::Engine(error)) => Err(error),
        }
    }

    fn settle(self: Box<Self>) {
        let lost = || Err(crate::error::closed(T::OPERATION));
        answer(self.reply, self.outcome.unwrap_or_else(lost));
    }

    fn fail(self: Box<Self>, effect: Effect, error: &Arc<sqlx::Error>) {
        answer(self.reply, Err(engine_error(T::OPERATION, effect, error)));
    }

    fn refuse(self: Box<Self>, make: &dyn Fn(&'static str) -> Error) {
        answer(self.reply, Err(make(T::OPERATION)));
    }
}
