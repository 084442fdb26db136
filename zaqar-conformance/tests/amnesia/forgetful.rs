//! The reference driver, lying about its durability.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver};
use zaqar_core::{
    Capabilities, Capability, ClaimController, Clock, DataDriver, DriverInfo, GcOptions, GcReport,
    Health, MessageController, MoveController, OutboxController, QueueHeadController, Result,
    StoreVolume, SubscriptionController,
};

/// Keeps everything in memory and declares that it survives the loss of its process.
#[derive(Default)]
pub(crate) struct Forgetful {
    inner: ReferenceHarness,
}

#[async_trait]
impl Harness for Forgetful {
    fn subject(&self) -> Subject {
        self.inner.subject()
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let Drivers { control, data } = self.inner.open(ns, clock).await?;
        Ok(Drivers { control, data: Arc::new(Boastful(data)) })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.inner.wipe(ns).await
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

#[derive(Debug)]
struct Boastful(Arc<dyn DataDriver>);

#[async_trait]
impl DataDriver for Boastful {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities().iter().chain([Capability::Durable]).collect()
    }

    fn heads(&self) -> &dyn QueueHeadController {
        self.0.heads()
    }

    fn messages(&self) -> &dyn MessageController {
        self.0.messages()
    }

    fn claims(&self) -> &dyn ClaimController {
        self.0.claims()
    }

    fn subscriptions(&self) -> &dyn SubscriptionController {
        self.0.subscriptions()
    }

    fn outbox(&self) -> &dyn OutboxController {
        self.0.outbox()
    }

    fn moves(&self) -> &dyn MoveController {
        self.0.moves()
    }

    fn info(&self) -> DriverInfo {
        self.0.info()
    }

    async fn health(&self) -> Result<Health> {
        self.0.health().await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        self.0.volume().await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.0.sweep().await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.0.gc(options).await
    }

    async fn close(&self) {
        self.0.close().await;
    }
}
