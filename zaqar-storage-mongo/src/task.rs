//! Tasks: work inside a transaction, done anew when the transaction met a conflict.

use std::time::Duration;

use async_trait::async_trait;
use mongodb::error::Error as Native;
use rand::Rng;
use tokio::time::{Instant, timeout_at};
use zaqar_core::{Effect, Error, Result};

use crate::error::{
    Failure, engine_error, is_commit_unknown, is_nobody_there, is_transient, timed_out,
};

use super::step::Step;
use super::store::Store;
use super::stuck::PATIENCE;

/// How long a transaction may take, attempts and pauses together. A change of primary takes two
/// seconds at the least; whoever waits longer than this is answered that it failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The longest first pause after a conflict.
const PAUSE_FIRST: Duration = Duration::from_millis(2);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Work inside a transaction.
#[async_trait]
pub(crate) trait Task: Send + 'static {
    /// What it returns.
    type Output: Send + 'static;
    /// Its name in errors.
    const OPERATION: &'static str;

    /// Does the work. Called once per attempt; an attempt that is not committed left nothing.
    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure>;
}

/// Pauses of growing length, each drawn from nothing to its longest ("full jitter"): rivals that
/// met once do not meet again in step.
#[derive(Debug)]
pub(crate) struct Pauses {
    longest: Duration,
    deadline: Instant,
}

impl Pauses {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { longest: PAUSE_FIRST, deadline }
    }

    /// Pauses; `false` if there is no time left for another attempt.
    pub(crate) async fn pause(&mut self) -> bool {
        let pause = self.longest.mul_f64(rand::rng().random::<f64>());
        self.longest = (self.longest * 2).min(PAUSE_MAX);
        let end = Instant::now() + pause;
        if end >= self.deadline {
            return false;
        }
        tokio::time::sleep_until(end).await;
        true
    }
}

/// How an attempt ended.
enum Attempt<T> {
    Done(T),
    Refused(Error),
    /// Nothing is stored, and another attempt may succeed.
    Again(Native),
    Failed(Effect, Native),
}

/// Does a task in a transaction of its own.
///
/// What conflicts or is cut before its commit is sent is done again: nothing of it is stored.
/// A commit whose answer is lost is sent again, which the server recognizes; if its outcome stays
/// unknown until the limit, so is the effect.
pub(crate) async fn transact<T: Task>(store: &Store, task: &mut T) -> Result<T::Output> {
    let deadline = Instant::now() + LIMIT;
    let mut pauses = Pauses::until(deadline);
    let mut patience = Instant::now() + PATIENCE;
    loop {
        match attempt(store, task, deadline, &mut pauses).await {
            Attempt::Done(output) => return Ok(output),
            Attempt::Refused(error) => return Err(error),
            Attempt::Again(error) => {
                tracing::trace!(operation = T::OPERATION, "a transaction is done again");
                if Instant::now() >= patience {
                    store.free_stuck().await;
                    patience = Instant::now() + PATIENCE;
                }
                if !pauses.pause().await {
                    return Err(engine_error(T::OPERATION, Effect::None, &error));
                }
            }
            Attempt::Failed(effect, error) => {
                return Err(engine_error(T::OPERATION, effect, &error));
            }
        }
    }
}

async fn attempt<T: Task>(
    store: &Store,
    task: &mut T,
    deadline: Instant,
    pauses: &mut Pauses,
) -> Attempt<T::Output> {
    let begun = timeout_at(deadline, Step::begin(store)).await;
    let mut step = match begun.unwrap_or_else(|_| Err(timed_out())) {
        Ok(step) => step,
        Err(error) => return Attempt::Failed(Effect::None, error),
    };
    let outcome = timeout_at(deadline, task.run(&mut step)).await;
    match outcome.unwrap_or_else(|_| Err(Failure::Engine(timed_out()))) {
        Ok(output) => match commit(&mut step, deadline, pauses).await {
            Ok(()) => Attempt::Done(output),
            Err(error) if is_transient(&error) => Attempt::Again(error),
            Err(error) => Attempt::Failed(Effect::Unknown, error),
        },
        Err(Failure::Refused(error)) => {
            // It wrote nothing that counts; if this fails, the server forgets it by itself.
            drop(timeout_at(deadline, step.session.abort_transaction()).await);
            Attempt::Refused(error)
        }
        // Dropping the session aborts what is left of the transaction.
        Err(Failure::Engine(error)) if is_transient(&error) && !is_nobody_there(&error) => {
            Attempt::Again(error)
        }
        Err(Failure::Engine(error)) => Attempt::Failed(Effect::None, error),
    }
}

/// Commits. An error that is transient says that nothing is stored; any other leaves it in doubt.
async fn commit(
    step: &mut Step<'_>,
    deadline: Instant,
    pauses: &mut Pauses,
) -> std::result::Result<(), Native> {
    loop {
        let sent = timeout_at(deadline, step.session.commit_transaction()).await;
        match sent.unwrap_or_else(|_| Err(timed_out())) {
            Ok(()) => return Ok(()),
            Err(error) if is_commit_unknown(&error) && pauses.pause().await => {}
            Err(error) => return Err(error),
        }
    }
}
