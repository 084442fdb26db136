//! The writer: one task that commits many callers' operations in one transaction.
//!
//! A flush costs 0.2 ms and a row 10 µs, so sharing the flush is everything. There is no timer: a
//! batch is what gathered while the last one was being written, and a lone caller waits for nobody.
//!
//! Isolation of neighbours: operations look before they write, and tasks have savepoints, so a
//! refusal leaves nothing behind. If the *engine* fails, the batch is rolled back and each of its
//! operations is run again alone; only the one at fault fails. If the commit itself fails, all of
//! the batch is in doubt (`Effect::Unknown`) and nothing is repeated (G3).

use std::sync::Arc;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use zaqar_core::{Clock, Effect};

use crate::error::Refusal;

use super::checkpoint::Checkpoints;
use super::deal::Dealer;
use super::heads::HeadCache;
use super::intake::{Intake, Operation};
use super::posts::{self, Post};
use super::removals::{self, Removal};
use super::step::{CommitFailed, Step, run};
use super::takes::{self, Take};
use super::task::WaitingTask;

/// The writer's state; [`Writer::run`] is its life.
pub(crate) struct Writer {
    pub(crate) connection: SqliteConnection,
    pub(crate) intake: Arc<Intake>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) heads: HeadCache,
    pub(crate) checkpoints: Arc<Checkpoints>,
}

/// Where an attempt at a batch failed.
enum Failed {
    /// Before the transaction began: nothing was tried.
    ToBegin(sqlx::Error),
    /// Inside: it was rolled back.
    Inside(sqlx::Error),
    /// While committing: it may be stored.
    ToCommit(sqlx::Error),
}

/// A batch, sorted by kind. Callers wait in parallel, so any order among them is a true one.
#[derive(Default)]
struct Batch {
    posts: Vec<Post>,
    takes: Vec<Take>,
    removals: Vec<Removal>,
    tasks: Vec<Box<dyn WaitingTask>>,
}

impl Writer {
    /// Serves the intake until it is closed and empty, then lets go of the file.
    pub(crate) async fn run(mut self) {
        while let Some(operations) = self.intake.next_batch().await {
            let mut batch = Batch::default();
            for operation in operations {
                // Nobody's pop destroys a message for a client that left (G16).
                if !operation.is_abandoned() {
                    batch.add(operation);
                }
            }
            self.serve(batch).await;
            self.checkpoints.help(&mut self.connection).await;
        }
        let closing = sqlx::Connection::close(self.connection).await;
        if let Err(error) = closing {
            tracing::warn!(%error, "closing the database failed");
        }
    }

    async fn serve(&mut self, mut batch: Batch) {
        if batch.len() == 0 {
            return;
        }
        match self.attempt(&mut batch).await {
            Ok(()) => self.settle(batch),
            Err(Failed::Inside(_)) if batch.len() > 1 => {
                for mut single in batch.split() {
                    match self.attempt(&mut single).await {
                        Ok(()) => self.settle(single),
                        Err(failed) => fail(single, failed),
                    }
                }
            }
            Err(failed) => fail(batch, failed),
        }
    }

    async fn attempt(&mut self, batch: &mut Batch) -> Result<(), Failed> {
        if batch.is_posts_alone() {
            match self.post_at_once(&mut batch.posts).await {
                Some(result) => return result,
                None => tracing::trace!("these posts need more than one execution"),
            }
        }
        match self.attempt_step(batch).await {
            // The heads were forgotten with the first attempt; nothing was done.
            Err(Attempted::Stale) => self.attempt_step(batch).await.map_err(Failed::from),
            attempted => attempted.map_err(Failed::from),
        }
    }

    async fn attempt_step(&mut self, batch: &mut Batch) -> Result<(), Attempted> {
        let clock = Arc::clone(&self.clock);
        let mut step = Step::new(&mut self.connection, &mut self.heads, &*clock);
        let executed = batch.execute(&mut step).await.map_err(CommitFailed::Before);
        let committed = match executed {
            Ok(()) => step.commit().await,
            failed => failed,
        };
        let (begun, stale) = (step.has_begun(), step.is_stale());
        let Err(failed) = committed else { return Ok(()) };
        self.roll_back().await;
        Err(match failed {
            _ if stale => Attempted::Stale,
            CommitFailed::Before(error) if !begun => Attempted::Failed(Failed::ToBegin(error)),
            CommitFailed::Before(error) => Attempted::Failed(Failed::Inside(error)),
            CommitFailed::Itself(error) => Attempted::Failed(Failed::ToCommit(error)),
        })
    }

    /// The commonest batch in a single execution; `None` if it is not of that kind, or if the store
    /// is not as the cached head says: nothing was done then.
    async fn post_at_once(&mut self, posts: &mut [Post]) -> Option<Result<(), Failed>> {
        let now = self.clock.now();
        let at_once = posts::AtOnce::plan(&self.heads, posts, now)?;
        match run(&mut self.connection, at_once.script(posts)).await {
            Ok(_) => {}
            Err((_, error)) => {
                self.heads.clear();
                return match Refusal::of(&error) {
                    Refusal::Aborted => None,
                    Refusal::NotBegun => Some(Err(Failed::ToBegin(error))),
                    // Statement and commit are one: it cannot be told which of them failed.
                    Refusal::InDoubt => Some(Err(Failed::ToCommit(error))),
                };
            }
        }
        at_once.settle(&mut self.heads, posts);
        // The lives were computed before the lock was taken: make up for a pause in between (G8).
        let late_ms = self.clock.now().as_millis() - now.as_millis();
        if late_ms > posts::AtOnce::LATE_MS_MAX
            && let Err((_, error)) = run(&mut self.connection, at_once.prolong(late_ms)).await
        {
            return Some(Err(Failed::ToCommit(error)));
        }
        Some(Ok(()))
    }

    /// Rolls back what is open. SQLite may have done so itself, so a refusal is no news.
    async fn roll_back(&mut self) {
        self.heads.clear();
        if let Err(error) = sqlx::query("ROLLBACK").execute(&mut self.connection).await {
            tracing::debug!(%error, "nothing was left to roll back");
        }
    }

    fn settle(&self, batch: Batch) {
        for post in batch.posts {
            post.settle();
        }
        for take in batch.takes {
            take.settle(&self.intake);
        }
        for removal in batch.removals {
            removal.settle();
        }
        for task in batch.tasks {
            task.settle();
        }
    }
}

/// How an attempt ended.
enum Attempted {
    /// Another process wrote since the heads were cached: nothing was done, try again.
    Stale,
    /// It failed.
    Failed(Failed),
}

impl From<Attempted> for Failed {
    fn from(attempted: Attempted) -> Self {
        match attempted {
            // Only a cache that was filled before the lock can be stale, so a second one cannot.
            Attempted::Stale => Self::ToBegin(sqlx::Error::WorkerCrashed),
            Attempted::Failed(failed) => failed,
        }
    }
}

impl Batch {
    fn add(&mut self, operation: Operation) {
        match operation {
            Operation::Post(post) => self.posts.push(*post),
            Operation::Take(take) => self.takes.push(*take),
            Operation::Removal(removal) => self.removals.push(*removal),
            Operation::Task(task) => self.tasks.push(task),
        }
    }

    fn is_posts_alone(&self) -> bool {
        self.posts.len() == self.len()
    }

    fn len(&self) -> usize {
        self.posts.len() + self.takes.len() + self.removals.len() + self.tasks.len()
    }

    async fn execute(&mut self, step: &mut Step<'_>) -> Result<(), sqlx::Error> {
        for task in &mut self.tasks {
            task.attempt(step).await?;
        }
        let removing = removals::begin(step, &mut self.removals).await?;
        let dealers = takes::by_queue(step, &mut self.takes).await?;
        // One look for all of them, then posts, then what was seen is decided and written.
        let mut looks = removing.look();
        for dealer in &dealers {
            looks.append_expressions(dealer.look(step));
        }
        let looked = match removing.is_empty() && dealers.is_empty() {
            true => None,
            false => Some(step.look(looks).await?),
        };
        posts::execute(step, &mut self.posts).await?;
        let stored = looked.as_ref().map(|row| row.try_get(1)).transpose()?.flatten();
        // The deletes come first: what they remove is not handed out any more.
        let doomed = removing.decide(step.now, stored)?;
        removals::delete_rows(step, &doomed);
        let Some(row) = looked else { return Ok(()) };
        for (column, dealer) in (2..).step_by(Dealer::COLUMNS).zip(dealers) {
            dealer.deal(step, &row, column, &doomed).await?;
        }
        Ok(())
    }

    fn split(self) -> impl Iterator<Item = Batch> {
        let posts = self.posts.into_iter().map(|post| Operation::Post(Box::new(post)));
        let takes = self.takes.into_iter().map(|take| Operation::Take(Box::new(take)));
        let removals =
            self.removals.into_iter().map(|removal| Operation::Removal(Box::new(removal)));
        let tasks = self.tasks.into_iter().map(Operation::Task);
        posts.chain(takes).chain(removals).chain(tasks).map(|operation| {
            let mut batch = Batch::default();
            batch.add(operation);
            batch
        })
    }
}

fn fail(batch: Batch, failed: Failed) {
    let (effect, error) = match failed {
        Failed::ToBegin(error) | Failed::Inside(error) => (Effect::None, error),
        Failed::ToCommit(error) => (Effect::Unknown, error),
    };
    tracing::error!(%error, ?effect, operations = batch.len(), "a batch failed in the engine");
    let error = Arc::new(error);
    for post in batch.posts {
        post.fail(effect, &error);
    }
    for take in batch.takes {
        take.fail(effect, &error);
    }
    for removal in batch.removals {
        removal.fail(effect, &error);
    }
    for task in batch.tasks {
        task.fail(effect, &error);
    }
}
