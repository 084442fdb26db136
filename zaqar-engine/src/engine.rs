//! The engine: two drivers, a clock, settings, and what it keeps in memory about queues.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;
use zaqar_core::{Capabilities, Clock, ControlDriver, DataDriver, DisciplinedClock, DriverInfo};

use crate::config::EngineConfig;
use crate::pools::{PoolOptions, Pools};
use crate::quotas::Ledger;
use crate::routing::Routes;
use crate::stages::{EncryptionStage, Stage};
use crate::statistics::SharedStats;
use crate::subscriber_check::SubscriberCheck;
use crate::waiting::hub::Hub;
use crate::watch::Watch;

/// The two planes that an engine works on.
#[derive(Debug, Clone)]
pub struct Stores {
    /// What exists, and where.
    pub control: Arc<dyn ControlDriver>,
    /// Messages, claims, subscriptions.
    pub data: Arc<dyn DataDriver>,
}

impl Stores {
    /// The two planes.
    #[must_use]
    pub fn new(control: Arc<dyn ControlDriver>, data: Arc<dyn DataDriver>) -> Self {
        Self { control, data }
    }
}

/// The service over a pair of drivers. Cloning shares it.
///
/// Every operation may be dropped at any await: what takes several steps runs in a task of its own
/// and is finished.
#[derive(Debug, Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    control: Arc<dyn ControlDriver>,
    data: Arc<dyn DataDriver>,
    pools: Option<Pools>,
    clock: Arc<dyn Clock>,
    config: EngineConfig,
    routes: Routes,
    stats: SharedStats,
    ledger: Ledger,
    hub: Hub,
    tasks: TaskTracker,
    pub(crate) subscriber_check: Option<Arc<dyn SubscriberCheck>>,
    pub(crate) posted: Arc<Notify>,
    pub(crate) watch: Watch,
}

/// Puts an [`Engine`] together.
#[derive(Debug)]
#[must_use]
pub struct EngineBuilder {
    stores: Stores,
    clock: Arc<dyn Clock>,
    disciplined: Option<Arc<DisciplinedClock>>,
    config: EngineConfig,
    pools: Option<PoolOptions>,
    stages: Vec<Arc<dyn Stage>>,
    subscriber_check: Option<Arc<dyn SubscriberCheck>>,
}

impl EngineBuilder {
    /// Sets the configuration.
    pub fn config(mut self, config: EngineConfig) -> Self {
        self.config = config;
        self
    }

    /// Lets the data store's clock set this one, which must be the builder's own.
    pub fn disciplines(mut self, clock: Arc<DisciplinedClock>) -> Self {
        self.disciplined = Some(clock);
        self
    }

    /// Lets queues live in pools, which an administrator adds; the builder's own data store holds
    /// those that the catalogue does not know.
    pub fn pools(mut self, options: PoolOptions) -> Self {
        self.pools = Some(options);
        self
    }

    /// Adds a stage. The one added first is the one that an operation meets first.
    pub fn stage(mut self, stage: Arc<dyn Stage>) -> Self {
        self.stages.push(stage);
        self
    }

    /// Says who knows where subscribers may be. Without it they may be anywhere.
    pub fn subscriber_check(mut self, check: Arc<dyn SubscriberCheck>) -> Self {
        self.subscriber_check = Some(check);
        self
    }

    /// The engine.
    #[must_use]
    pub fn build(self) -> Engine {
        let Stores { control, data } = self.stores;
        let pools = self.pools.map(|options| {
            let (control, home) = (Arc::clone(&control), Arc::clone(&data));
            Pools::new(control, home, options, &self.config)
        });
        let data = match &pools {
            Some(pools) => Arc::new(pools.clone()) as Arc<dyn DataDriver>,
            None => data,
        };
        // Next to the store, so that the stages see what clients see.
        let encryption =
            EncryptionStage::new(self.config.encryption.clone(), Arc::clone(&self.clock));
        let mut data = encryption.wrap(data);
        for stage in self.stages.iter().rev() {
            tracing::debug!(stage = stage.name(), "stage added");
            data = stage.wrap(data);
        }
        let inner = Inner {
            control,
            data,
            pools,
            clock: self.clock,
            routes: Routes::new(self.config.queue_cache_ttl),
            stats: SharedStats::new(),
            ledger: Ledger::new(),
            hub: Hub::default(),
            tasks: TaskTracker::new(),
            subscriber_check: self.subscriber_check,
            posted: Arc::default(),
            watch: Watch::new(self.disciplined),
            config: self.config,
        };
        Engine { inner: Arc::new(inner) }
    }
}

impl Engine {
    /// An engine without stages.
    ///
    /// `clock` must be the one that the drivers were opened with.
    #[must_use]
    pub fn new(stores: Stores, clock: Arc<dyn Clock>, config: EngineConfig) -> Self {
        Self::builder(stores, clock).config(config).build()
    }

    /// Starts to put an engine together.
    ///
    /// `clock` must be the one that the drivers were opened with.
    pub fn builder(stores: Stores, clock: Arc<dyn Clock>) -> EngineBuilder {
        EngineBuilder {
            stores,
            clock,
            disciplined: None,
            config: EngineConfig::default(),
            pools: None,
            stages: Vec::new(),
            subscriber_check: None,
        }
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }

    /// The clock.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// What the data driver is and what it talks to.
    #[must_use]
    pub fn data_info(&self) -> DriverInfo {
        self.inner.data.info()
    }

    /// What the control driver is and what it talks to.
    #[must_use]
    pub fn control_info(&self) -> DriverInfo {
        self.inner.control.info()
    }

    /// What the data driver can do.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        self.inner.data.capabilities()
    }

    /// The data driver with its stages, for whoever delivers what its outbox holds.
    #[must_use]
    pub fn data_driver(&self) -> Arc<dyn DataDriver> {
        Arc::clone(&self.inner.data)
    }

    /// Is notified when messages were posted through this engine, once for many of them if nobody
    /// waits.
    #[must_use]
    pub fn posted(&self) -> Arc<Notify> {
        Arc::clone(&self.inner.posted)
    }

    /// Finishes what was accepted and lets go of the stores; later calls fail with effect `None`.
    ///
    /// Stop [maintenance](crate::Maintenance::stop) first.
    pub async fn shutdown(&self) {
        self.end_waiting();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        self.inner.data.close().await;
        self.inner.control.close().await;
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn control(&self) -> &dyn ControlDriver {
        &*self.inner.control
    }

    pub(crate) fn data(&self) -> &dyn DataDriver {
        &*self.inner.data
    }

    /// Whether queues live in pools.
    #[must_use]
    pub fn has_pools(&self) -> bool {
        self.inner.pools.is_some()
    }

    pub(crate) fn pools(&self) -> Option<&Pools> {
        self.inner.pools.as_ref()
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    pub(crate) fn shared_stats(&self) -> &SharedStats {
        &self.inner.stats
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.inner.ledger
    }

    pub(crate) fn hub(&self) -> &Hub {
        &self.inner.hub
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.inner.tasks
    }
}
