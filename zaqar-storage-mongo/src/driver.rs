//! The two handles of a store.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Capability, CatalogueController, ClaimController, ControlDriver, DataDriver,
    DriverInfo, FlavorController, GcOptions, GcReport, Health, MessageController, MoveController,
    OutboxController, PoolController, QueueController, QueueHeadController, QueueRef, Result,
    StoreVolume, SubscriptionController,
};

use crate::stats;
use crate::store::Handle;
use crate::task::Task;

/// The data plane.
#[derive(Debug, Clone)]
pub(crate) struct MongoData {
    pub(crate) handle: Arc<Handle>,
}

/// The control plane.
#[derive(Debug, Clone)]
pub(crate) struct MongoControl {
    pub(crate) handle: Arc<Handle>,
}

impl MongoData {
    /// Does a task on a queue.
    pub(crate) async fn run<T: Task>(&self, queue: &QueueRef, task: T) -> Result<T::Output> {
        self.handle.run_on(Some(queue), Some(queue.key.project.clone()), task).await
    }
}

fn capabilities() -> Capabilities {
    [
        Capability::Fifo,
        Capability::Claims,
        Capability::Durable,
        Capability::AtLeastOnce,
        Capability::HighThroughput,
        Capability::Subscriptions,
        Capability::Delay,
        Capability::DeadLetter,
        Capability::LiveMove,
        Capability::VirtualTime,
    ]
    .into_iter()
    .collect()
}

#[async_trait]
impl DataDriver for MongoData {
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
        self.handle.info.clone()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.handle.health().await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        stats::volume(&self.handle.store).await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.sweep_due().await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.collect(options).await
    }

    async fn close(&self) {
        self.handle.close().await;
    }
}

#[async_trait]
impl ControlDriver for MongoControl {
    fn queues(&self) -> &dyn QueueController {
        self
    }

    fn pools(&self) -> &dyn PoolController {
        self
    }

    fn flavors(&self) -> &dyn FlavorController {
        self
    }

    fn catalogue(&self) -> &dyn CatalogueController {
        self
    }

    fn info(&self) -> DriverInfo {
        self.handle.info.clone()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.handle.health().await
    }

    async fn close(&self) {
        self.handle.close().await;
    }
}
