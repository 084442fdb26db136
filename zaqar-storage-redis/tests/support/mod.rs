//! The harness over Redis: a key prefix for each namespace.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver};
use zaqar_core::Clock;
use zaqar_storage_redis::{OpenOptions, scratch};

/// The suite on servers that other tests use too.
pub(crate) struct RedisHarness {
    uri: String,
    mode: &'static str,
}

impl RedisHarness {
    /// A harness over the servers at `uri`.
    pub(crate) fn new(uri: String, mode: &'static str) -> Self {
        Self { uri, mode }
    }
}

#[async_trait]
impl Harness for RedisHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "redis".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "Redis".into(),
            mode: self.mode.into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        // The keys are found from the namespace alone: a child process opens the same ones.
        let uri = scratch::uri(&self.uri, ns.as_str())?;
        let drivers = zaqar_storage_redis::open(&uri, OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        Ok(scratch::remove(&self.uri, ns.as_str()).await?)
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}
