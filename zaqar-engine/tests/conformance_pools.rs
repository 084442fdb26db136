//! The conformance suite over the pools stage: the reference driver twice, behind one engine.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zaqar_conformance::reference::ReferenceStore;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::{Clock, JsonObject, OpenError, PoolName};
use zaqar_engine::pools::{OpenedPool, PoolAddress, PoolOpener};
use zaqar_engine::{Engine, EngineConfig, NewPool, PoolOptions, Stores};

/// The stores of a namespace.
#[derive(Debug, Default, Clone)]
struct Shelf {
    /// The control plane that the suite works on: its cases make pools of their own.
    examined: ReferenceStore,
    /// The control plane of the installation, and its home store.
    home: ReferenceStore,
    pools: [ReferenceStore; 2],
}

/// Opens the pools of a shelf by their number.
#[derive(Debug)]
struct ShelfOpener {
    shelf: Shelf,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl PoolOpener for ShelfOpener {
    async fn open(&self, address: &PoolAddress) -> Result<OpenedPool, OpenError> {
        let number: Option<usize> = address.uri.parse().ok();
        let store = number.and_then(|number| self.shelf.pools.get(number));
        let store = store.ok_or_else(|| OpenError::InvalidUri { reason: address.uri.clone() })?;
        Ok(OpenedPool { data: Arc::new(store.data(Arc::clone(&self.clock))), clock: None })
    }
}

#[derive(Debug, Default)]
struct PoolsHarness(Mutex<BTreeMap<Namespace, Shelf>>);

#[async_trait]
impl Harness for PoolsHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "pools".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "memory".into(),
            mode: "two pools".into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let shelf = {
            let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            shelves.entry(ns.clone()).or_default().clone()
        };
        let home = Stores::new(
            Arc::new(shelf.home.control(Arc::clone(&clock))),
            Arc::new(shelf.home.data(Arc::clone(&clock))),
        );
        let control = Arc::new(shelf.examined.control(Arc::clone(&clock)));
        let opener = Arc::new(ShelfOpener { shelf, clock: Arc::clone(&clock) });
        let builder = Engine::builder(home, clock).config(EngineConfig::default());
        let engine = builder.pools(PoolOptions::new(opener)).build();
        for (number, name) in ["left", "right"].into_iter().enumerate() {
            let pool = NewPool {
                name: PoolName::new(name)?,
                uri: number.to_string(),
                weight: 1,
                flavor: None,
                options: JsonObject::new(),
            };
            engine.pool_put(pool).await?;
        }
        Ok(Drivers { control, data: engine.data_driver() })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ns);
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

zaqar_conformance::main!(PoolsHarness::default);
