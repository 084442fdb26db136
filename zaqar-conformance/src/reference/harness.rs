//! The reference driver under its own suite.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zaqar_core::{Capability, Clock};

use super::driver::ReferenceStore;
use super::quirks::{Quirk, Quirks};
use super::state::NAME;
use crate::harness::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};

/// Opens [`ReferenceStore`]s, one for each namespace.
#[derive(Debug, Default)]
pub struct ReferenceHarness {
    quirks: Quirks,
    withheld: Vec<Capability>,
    stores: Mutex<BTreeMap<Namespace, ReferenceStore>>,
}

impl ReferenceHarness {
    /// The reference driver as it is meant.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The reference driver with a planted bug.
    #[must_use]
    pub fn with_quirk(quirk: Quirk) -> Self {
        Self { quirks: Quirks(Some(quirk)), ..Self::default() }
    }

    /// The reference driver without a capability: it refuses what would need it.
    #[must_use]
    pub fn without(mut self, capability: Capability) -> Self {
        self.withheld.push(capability);
        self
    }
}

#[async_trait]
impl Harness for ReferenceHarness {
    fn subject(&self) -> Subject {
        let sound = self.quirks == Quirks::default() && self.withheld.is_empty();
        Subject {
            driver: NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "memory".into(),
            mode: if sound { "default" } else { "altered" }.into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || ReferenceStore::with(self.quirks, &self.withheld);
        let store = stores.entry(ns.clone()).or_insert_with(make);
        let data = Arc::new(store.data(Arc::clone(&clock)));
        Ok(Drivers { control: Arc::new(store.control(clock)), data })
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
