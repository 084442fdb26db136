//! The conformance suite over my driver.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use my_driver::{Driver, Store};
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::Clock;

/// A store for each namespace.
#[derive(Default)]
pub(crate) struct MyHarness {
    stores: Mutex<BTreeMap<Namespace, Arc<Store>>>,
}

#[async_trait::async_trait]
impl Harness for MyHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "my-driver".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "memory".into(),
            mode: "default".into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let store = Arc::clone(stores.entry(ns.clone()).or_default());
        let driver = Arc::new(Driver::new(store, clock));
        Ok(Drivers { control: Arc::<Driver>::clone(&driver), data: driver })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner).remove(ns);
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

zaqar_conformance::main!(MyHarness::default);
