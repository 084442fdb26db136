//! A driver, begun: it hands out incarnations, and the rest is not written yet.

pub(crate) mod not_yet;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Capability, CatalogueController, ClaimController, Clock, ControlDriver, Created,
    DataDriver, DriverInfo, FlavorController, GcOptions, GcReport, Health, Incarnation, JsonObject,
    ListQueues, MessageController, OutboxController, Page, PageLimit, PoolController, ProjectId,
    QueueController, QueueHeadController, QueueKey, QueueKind, QueueName, QueueRecord, QueueRef,
    Result, StoreVolume, SubscriptionController,
};

use not_yet::{NotYet, not_yet};

/// What is stored; nodes on the same data share it.
#[derive(Debug, Default)]
pub struct Store {
    allocated: AtomicU64,
}

/// One node's handle on a store, both planes in one.
#[derive(Debug)]
pub struct Driver {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
}

impl Driver {
    /// A node on that store, which takes all time from `clock`.
    #[must_use]
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    fn describe(&self) -> DriverInfo {
        DriverInfo {
            name: "my-driver",
            version: env!("CARGO_PKG_VERSION"),
            backend: "memory".into(),
            location: "this process".into(),
        }
    }

    /// Nothing but that time is taken from the clock: this is what the driver can do so far.
    fn declared() -> Capabilities {
        [Capability::VirtualTime].into_iter().collect()
    }
}

#[async_trait]
impl QueueController for Driver {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        let number = self.store.allocated.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(Incarnation::new(number)?)
    }
    async fn queue_insert(&self, _: &QueueRef, _: &JsonObject) -> Result<Created<QueueRecord>> {
        not_yet("queue_insert")
    }
    async fn queue_find(&self, _: &QueueKey) -> Result<Option<QueueRecord>> {
        not_yet("queue_find")
    }
    async fn queue_set_metadata(
        &self,
        _: &QueueRef,
        _: u64,
        _: &JsonObject,
    ) -> Result<QueueRecord> {
        not_yet("queue_set_metadata")
    }
    async fn queue_mark_deleting(&self, _: &QueueRef) -> Result<()> {
        not_yet("queue_mark_deleting")
    }
    async fn queue_remove(&self, _: &QueueRef) -> Result<()> {
        not_yet("queue_remove")
    }
    async fn queue_list(
        &self,
        _: &ProjectId,
        _: QueueKind,
        _: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>> {
        not_yet("queue_list")
    }
    async fn queue_count(&self, _: &ProjectId, _: QueueKind) -> Result<u64> {
        not_yet("queue_count")
    }
    async fn queue_list_deleting(&self, _: PageLimit) -> Result<Vec<QueueRecord>> {
        not_yet("queue_list_deleting")
    }
}

#[async_trait]
impl ControlDriver for Driver {
    fn queues(&self) -> &dyn QueueController {
        self
    }
    fn pools(&self) -> &dyn PoolController {
        &NotYet
    }
    fn flavors(&self) -> &dyn FlavorController {
        &NotYet
    }
    fn catalogue(&self) -> &dyn CatalogueController {
        &NotYet
    }
    fn info(&self) -> DriverInfo {
        self.describe()
    }
    fn capabilities(&self) -> Capabilities {
        Self::declared()
    }
    async fn health(&self) -> Result<Health> {
        Ok(Health::good(self.clock.now()))
    }
    async fn close(&self) {}
}

#[async_trait]
impl DataDriver for Driver {
    fn heads(&self) -> &dyn QueueHeadController {
        &NotYet
    }
    fn messages(&self) -> &dyn MessageController {
        &NotYet
    }
    fn claims(&self) -> &dyn ClaimController {
        &NotYet
    }
    fn subscriptions(&self) -> &dyn SubscriptionController {
        &NotYet
    }
    fn outbox(&self) -> &dyn OutboxController {
        &NotYet
    }
    fn info(&self) -> DriverInfo {
        self.describe()
    }
    fn capabilities(&self) -> Capabilities {
        Self::declared()
    }
    async fn health(&self) -> Result<Health> {
        Ok(Health::good(self.clock.now()))
    }
    async fn volume(&self) -> Result<StoreVolume> {
        not_yet("volume")
    }
    async fn sweep(&self) -> Result<GcReport> {
        not_yet("sweep")
    }
    async fn gc(&self, _: GcOptions) -> Result<GcReport> {
        not_yet("gc")
    }
    async fn close(&self) {}
}
