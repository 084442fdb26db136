//! The two handles of a PostgreSQL store, and how operations reach its server.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, ClaimController, DataDriver, DriverInfo, GcOptions, GcReport, Health,
    MessageController, MoveController, OutboxController, QueueHeadController, QueueRef, Result,
    StoreVolume, SubscriptionController,
};
use zaqar_storage_lanes::Lanes;

use crate::capabilities::capabilities;
use crate::work::bounded;

use super::health::Watch;
use super::posts::PostLane;
use super::server::Server;
use super::stats;
use super::task::Task;

/// One store: a schema of a database.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) server: Arc<Server>,
    pub(crate) posts: Lanes<PostLane>,
    pub(crate) info: DriverInfo,
    pub(crate) watch: Arc<Watch>,
}

/// The data plane.
#[derive(Debug, Clone)]
pub(crate) struct PgData {
    pub(crate) store: Arc<Store>,
}

impl Store {
    pub(super) async fn health(&self) -> Result<Health> {
        const OPERATION: &str = "health";
        let (server, watch) = (Arc::clone(&self.server), Arc::clone(&self.watch));
        let work = async move { watch.look(&server).await };
        self.server.work(&None, OPERATION, work).await
    }

    /// Finishes what was accepted, then lets go of the server.
    pub(super) async fn close(&self) {
        self.posts.close().await;
        self.server.gate.close().await;
        self.server.connections.close().await;
    }
}

impl PgData {
    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.store.server
    }

    /// Does `work` when it is the turn of the queue's project.
    pub(crate) async fn at<T, W, F>(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        work: W,
    ) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Server>, QueueRef) -> F,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let party = Some(queue.key.project.clone());
        let work = work(Arc::clone(self.server()), queue.clone());
        self.server().work(&party, operation, work).await
    }

    /// As [`Self::at`]; what was done for a caller that left meanwhile goes to `unheard`.
    pub(crate) async fn at_heard<T, F, U>(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        work: F,
        unheard: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        U: Future<Output = ()> + Send + 'static,
    {
        let party = Some(queue.key.project.clone());
        let work = bounded(operation, work);
        self.server().gate.run_heard(&party, operation, work, unheard).await
    }

    /// Runs a task when it is the turn of the queue's project.
    pub(crate) async fn run<T: Task>(&self, queue: &QueueRef, task: T) -> Result<T::Output> {
        self.server().run(&Some(queue.key.project.clone()), task).await
    }

    /// Does `work` as housekeeping, which waits like one more project.
    pub(crate) async fn housekeep<T, W, F>(&self, operation: &'static str, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(Arc<Server>) -> F,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.server().work(&None, operation, work(Arc::clone(self.server()))).await
    }

    /// Runs a task as housekeeping.
    pub(crate) async fn housekeep_task<T: Task>(&self, task: T) -> Result<T::Output> {
        self.server().run(&None, task).await
    }
}

#[async_trait]
impl DataDriver for PgData {
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
        self.store.health().await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        self.housekeep("volume", |server| async move { stats::volume(&server).await }).await
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
