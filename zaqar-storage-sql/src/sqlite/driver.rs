//! The two handles of a SQLite store, and how operations reach its writer.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use zaqar_core::{
    Capabilities, ClaimController, Clock, DataDriver, DriverInfo, GcOptions, GcReport, Health,
    MessageController, MoveController, OutboxController, ProjectId, QueueHeadController, QueueRef,
    Result, StoreVolume, SubscriptionController,
};

use crate::capabilities::capabilities;
use crate::error::closed;
use crate::findings::{Finding, tell};

use super::checkpoint::Checkpoints;
use super::file::File;
use super::intake::{Intake, Lane, Operation};
use super::reader::Reader;
use super::statement::query;
use super::stats;
use super::task::{Task, Waiting};

/// One open database file.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) intake: Arc<Intake>,
    pub(crate) reader: Reader,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) info: DriverInfo,
    /// Settings of the file that do not keep what is accepted (G15).
    pub(crate) unsafe_settings: Vec<Finding>,
    pub(crate) file: File,
    pub(crate) checkpoints: Arc<Checkpoints>,
    /// Writer and checkpointer, until they are awaited by the first close.
    pub(crate) tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// The data plane.
#[derive(Debug, Clone)]
pub(crate) struct SqliteData {
    pub(crate) store: Arc<Store>,
}

impl Store {
    /// Hands a task to the writer and waits for its answer. Dropping the wait before the task began
    /// means that it is not begun; afterwards it is finished or rolled back all the same (G16).
    pub(crate) async fn run<T: Task>(&self, lane: Lane, task: T) -> Result<T::Output> {
        let (reply, answer) = oneshot::channel();
        self.intake.push(lane, Operation::Task(Box::new(Waiting::new(task, reply))));
        answer.await.unwrap_or_else(|_| Err(closed(T::OPERATION)))
    }

    /// Serves what was accepted, then lets go of the file.
    pub(super) async fn close(&self) {
        self.intake.close();
        self.reader.close().await;
        let tasks: Vec<_> =
            self.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        let mut tasks = tasks.into_iter();
        // The writer first: the checkpointer then copies all that it wrote.
        if let Some(writer) = tasks.next() {
            report_panic(writer.await);
        }
        self.checkpoints.stop();
        for task in tasks {
            report_panic(task.await);
        }
    }

    pub(super) fn health(&self) -> Health {
        let mut health = Health::good(self.clock.now());
        tell(&self.unsafe_settings, &mut health);
        self.file.report(&mut health);
        health
    }
}

impl Drop for Store {
    /// A store that nobody closed lets go of the file all the same: writer and checkpointer end.
    fn drop(&mut self) {
        self.intake.close();
        self.checkpoints.stop();
    }
}

fn report_panic(ended: std::result::Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a task of the store did not end well");
    }
}

impl SqliteData {
    /// Runs a task in the lane of a project.
    pub(crate) async fn run<T: Task>(&self, project: &ProjectId, task: T) -> Result<T::Output> {
        self.store.run(Some(project.clone()), task).await
    }

    /// Runs a task in the lane of housekeeping.
    pub(crate) async fn housekeep<T: Task>(&self, task: T) -> Result<T::Output> {
        self.store.run(None, task).await
    }

    /// Hands a hot operation to the writer and waits for its answer.
    pub(crate) async fn hand_over<T>(
        &self,
        name: &'static str,
        queue: &QueueRef,
        operation: Operation,
        answer: oneshot::Receiver<Result<T>>,
    ) -> Result<T> {
        self.store.intake.push(Some(queue.key.project.clone()), operation);
        answer.await.unwrap_or_else(|_| Err(closed(name)))
    }
}

#[async_trait]
impl DataDriver for SqliteData {
    fn heads(&self) -> &dyn QueueHeadController {
        self
    }

    fn messages(&self) -> &dyn MessageController {
        self
    }

    fn claims(&self) -> &dyn ClaimController {
        self
    }

    fn subscriptions(&self) -> &dyn SubscriptionController {
        self
    }

    fn outbox(&self) -> &dyn OutboxController {
        self
    }

    fn moves(&self) -> &dyn MoveController {
        self
    }

    fn info(&self) -> DriverInfo {
        self.store.info.clone()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.store.reader.rows("health", query("SELECT 1 FROM heads LIMIT 1")).await?;
        Ok(self.store.health())
    }

    async fn volume(&self) -> Result<StoreVolume> {
        stats::volume(&self.store).await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.sweep_due().await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.collect(options).await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
