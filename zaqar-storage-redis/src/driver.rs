//! The two handles of a store.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Capability, CatalogueController, ClaimController, ControlDriver, DataDriver,
    DriverInfo, FlavorController, GcOptions, GcReport, Health, MessageController, MoveController,
    OutboxController, PoolController, QueueController, QueueHeadController, Result, StoreVolume,
    SubscriptionController,
};

use crate::error::closed;
use crate::store::Store;

/// The data plane.
#[derive(Debug, Clone)]
pub(crate) struct RedisData {
    pub(crate) store: Arc<Store>,
}

/// The control plane.
#[derive(Debug, Clone)]
pub(crate) struct RedisControl {
    pub(crate) store: Arc<Store>,
}

impl Store {
    /// Asks every server, and the store's own record.
    async fn health(&self) -> Result<Health> {
        const OPERATION: &str = "health";
        let _pass = self.gate.enter(OPERATION, None).await?;
        let mut health = Health::good(self.clock.now());
        for master in self.topology.masters() {
            let findings = match master.examine(&self.checks).await {
                Ok(findings) => findings,
                Err(failure) => {
                    // A server that may lose data is not used: nothing more can be asked of it.
                    let Some(text) = failure.unsafe_setting() else {
                        return Err(failure.into_error(OPERATION, false));
                    };
                    health.safe = false;
                    health.warnings.push(text);
                    return Ok(health);
                }
            };
            if !findings.wrong.is_empty() {
                health.safe = false;
            }
            // The servers of a cluster keep one time among them; the first one's counts.
            health.backend_now = health.backend_now.or(findings.now);
            health.warnings.extend(findings.wrong.iter().map(ToString::to_string));
            health.warnings.extend(findings.warnings);
        }
        if let Some(lost) = self.check_identity().await? {
            tracing::error!(location = %self.info.location, "{lost}");
            health.safe = false;
            health.warnings.push(lost);
        }
        health.warnings.sort();
        health.warnings.dedup();
        Ok(health)
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
impl DataDriver for RedisData {
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
        self.store.info.clone()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        self.count_volume().await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.store
            .shield("sweep", None, |store, caller| async move {
                if caller.left() {
                    return Err(closed("sweep"));
                }
                store.sweep_due(Some(&caller)).await
            })
            .await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.store
            .shield("gc", None, move |store, caller| async move {
                store.collect(options, &caller).await
            })
            .await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

#[async_trait]
impl ControlDriver for RedisControl {
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
        self.store.info.clone()
    }

    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.store.health().await
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
