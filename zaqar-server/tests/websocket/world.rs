//! A service to talk to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{Clock, ManualClock, ProjectId, QueueKey, QueueName};
use zaqar_engine::{Engine, EngineConfig, StoreOptions, Stores, registry};
use zaqar_server::limits::{RateLimits, RateSettings};
use zaqar_server::websocket::{WebSocketConfig, WebSockets};

use crate::client::{Client, Format, PROJECT};

/// What keeps the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Reference,
    Sqlite,
}

/// A service with an empty store of its own, on a port of its own.
pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) sockets: WebSockets,
    pub(crate) address: SocketAddr,
    /// The store itself, without the engine's stages.
    pub(crate) stores: Stores,
    clock: Arc<ManualClock>,
    server: JoinHandle<std::io::Result<()>>,
    _folder: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    /// With the defaults, over the reference driver.
    pub(crate) async fn new() -> Self {
        Self::with(Store::Reference, WebSocketConfig::default(), EngineConfig::default()).await
    }

    /// With what `change` makes of the defaults, over the reference driver.
    pub(crate) async fn changed(change: impl FnOnce(&mut WebSocketConfig)) -> Self {
        let mut config = WebSocketConfig::default();
        change(&mut config);
        Self::with(Store::Reference, config, EngineConfig::default()).await
    }

    pub(crate) async fn with(store: Store, config: WebSocketConfig, engine: EngineConfig) -> Self {
        Self::at(Arc::new(ManualClock::default()), store, config, engine).await
    }

    /// With limits on how often projects may ask, and what else knows of them.
    pub(crate) async fn limited(rates: RateSettings, engine: EngineConfig) -> (Self, RateLimits) {
        let clock = Arc::new(ManualClock::default());
        let rates = RateLimits::new(rates, Arc::<ManualClock>::clone(&clock));
        let mut config = WebSocketConfig::default();
        config.rates = rates.clone();
        (Self::at(clock, Store::Reference, config, engine).await, rates)
    }

    async fn at(
        clock: Arc<ManualClock>,
        store: Store,
        config: WebSocketConfig,
        engine: EngineConfig,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let stores = match store {
            Store::Reference => {
                let store = ReferenceStore::new();
                let control = Arc::new(store.control(Arc::clone(&time)));
                Stores::new(control, Arc::new(store.data(Arc::clone(&time))))
            }
            Store::Sqlite => {
                let uri = format!("sqlite:{}", folder.path().join("zaqar.db").display());
                registry::open(&uri, &StoreOptions::new(Arc::clone(&time))).await.unwrap()
            }
        };
        let engine = Engine::new(stores.clone(), time, engine);
        let sockets = WebSockets::new(engine.clone(), config);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = sockets.own_port(address);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Self { engine, sockets, address, stores, clock, server, _folder: folder }
    }

    /// A connection that speaks JSON.
    pub(crate) async fn client(&self) -> Client {
        Client::open(self.address, Format::Json).await
    }

    /// Lets time pass.
    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

/// A queue of the usual project.
pub(crate) fn key(name: &str) -> QueueKey {
    QueueKey::queue(ProjectId::new(PROJECT).unwrap(), QueueName::new(name).unwrap())
}

/// Runs a test over every store, in every encoding.
pub(crate) async fn everywhere(test: impl AsyncFn(&World, &mut Client)) {
    for store in [Store::Reference, Store::Sqlite] {
        for format in [Format::Json, Format::MessagePack] {
            let config = WebSocketConfig::default();
            let world = World::with(store, config, EngineConfig::default()).await;
            let mut client = Client::open(world.address, format).await;
            test(&world, &mut client).await;
        }
    }
}
