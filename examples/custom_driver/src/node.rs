//! What an application holds: one node's handle on a store, both planes in one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Capability, CatalogueController, ClaimController, Clock, ControlDriver,
    DataDriver, DriverInfo, Effect, Error, FlavorController, GcOptions, GcReport, Health,
    MessageController, OutboxController, PoolController, QueueController, QueueHeadController,
    Result, Retry, StoreVolume, SubscriptionController, Timestamp,
};

use crate::NAME;
use crate::registry::Lease;
use crate::state::State;
use crate::store::{Decision, Pending, Store};

/// A handle on a store: both the control and the data plane.
///
/// Dropped without [`close`](DataDriver::close), it closes all the same, but blocks its thread.
#[derive(Debug)]
pub struct Node {
    pub(crate) store: Arc<Store>,
    clock: Arc<dyn Clock>,
    capabilities: Capabilities,
    closed: AtomicBool,
    lease: Mutex<Option<Lease>>,
}

impl Node {
    /// A node on a store that somebody else ends. What it does not declare it refuses.
    #[must_use]
    pub fn new(store: Arc<Store>, clock: Arc<dyn Clock>, capabilities: Capabilities) -> Self {
        Self { store, clock, capabilities, closed: AtomicBool::new(false), lease: Mutex::new(None) }
    }

    pub(crate) fn leased(lease: Lease, clock: Arc<dyn Clock>) -> Self {
        let node = Self::new(Arc::clone(&lease.store), clock, crate::capabilities());
        Self { lease: Mutex::new(Some(lease)), ..node }
    }

    pub(crate) fn require(&self, capability: Capability, operation: &'static str) -> Result<()> {
        self.capabilities.require(capability, operation, NAME)
    }

    /// Decides and applies; what is left is to wait for the disk.
    pub(crate) fn decide<T>(
        &self,
        operation: &'static str,
        decide: impl FnOnce(&State, Timestamp) -> Decision<T>,
    ) -> Pending<T> {
        let now = || {
            if self.closed.load(Ordering::SeqCst) {
                let reason = "this node is closed";
                return Err(Error::backend(operation, Effect::None, Retry::AfterReopen, reason));
            }
            Ok(self.clock.now())
        };
        self.store.decide(operation, now, decide)
    }

    /// One operation. Nothing is awaited before it is decided and applied, so a future that is
    /// dropped was not begun, or is finished by the journal (G16).
    pub(crate) async fn step<T>(
        &self,
        operation: &'static str,
        decide: impl FnOnce(&State, Timestamp) -> Decision<T>,
    ) -> Result<T> {
        let pending = self.decide(operation, decide);
        self.store.settle(pending).await
    }

    /// One operation that changes nothing.
    pub(crate) async fn read<T>(
        &self,
        operation: &'static str,
        read: impl FnOnce(&State, Timestamp) -> Result<T>,
    ) -> Result<T> {
        self.step(operation, |state, now| Ok((Vec::new(), read(state, now)?))).await
    }

    fn describe(&self) -> DriverInfo {
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner);
        DriverInfo {
            name: NAME,
            version: env!("CARGO_PKG_VERSION"),
            backend: "a log file".into(),
            location: lease.as_ref().map_or("memory".into(), Lease::location),
        }
    }

    async fn let_go(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The last flush blocks. Where the runtime is ending the task is dropped, and the lease
        // with it, which is all that there is to do.
        tokio::task::spawn_blocking(move || drop(lease)).await.unwrap_or_default();
    }
}

#[async_trait]
impl DataDriver for Node {
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
    fn info(&self) -> DriverInfo {
        self.describe()
    }
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }
    async fn health(&self) -> Result<Health> {
        self.read("health", |_, now| Ok(Health::good(now))).await
    }
    async fn volume(&self) -> Result<StoreVolume> {
        self.read("volume", |state, now| Ok(state.volume(now))).await
    }
    /// There is nothing to do: every read asks each message whether its claim, delay or life is
    /// over.
    async fn sweep(&self) -> Result<GcReport> {
        self.read("sweep", |_, _| Ok(GcReport::default())).await
    }
    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.collect(options).await
    }
    async fn close(&self) {
        self.let_go().await;
    }
}

#[async_trait]
impl ControlDriver for Node {
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
        self.describe()
    }
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }
    async fn health(&self) -> Result<Health> {
        self.read("health", |_, now| Ok(Health::good(now))).await
    }
    async fn close(&self) {
        self.let_go().await;
    }
}
