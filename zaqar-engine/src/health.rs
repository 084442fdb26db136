//! How the stores are.

use zaqar_core::{DriverInfo, Error, Health, OutboxBacklog, PoolName, StoreVolume, Timestamp};

use crate::engine::Engine;
use crate::error::EngineResult;
use crate::fence::Call;

/// The state of one store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreHealth {
    /// What the driver is and what it talks to.
    pub driver: DriverInfo,
    /// Whether the store answered.
    pub reachable: bool,
    /// Whether it is still set up to keep what it accepts (G15); unknown counts as no.
    pub safe: bool,
    /// What an operator should know, a sentence each.
    pub warnings: Vec<String>,
    /// The time by the backend's own clock, if it tells.
    pub backend_now: Option<Timestamp>,
}

impl StoreHealth {
    /// A pool that cannot even be opened.
    pub(crate) fn unreachable_pool() -> Self {
        let driver = DriverInfo {
            name: "unknown",
            version: "",
            backend: String::new(),
            location: String::new(),
        };
        let warnings = vec!["the store does not answer".to_owned()];
        Self { driver, reachable: false, safe: false, warnings, backend_now: None }
    }

    pub(crate) fn new(driver: DriverInfo, answer: EngineResult<Health>) -> Self {
        match answer {
            Ok(health) => Self {
                driver,
                reachable: true,
                safe: health.safe,
                warnings: health.warnings,
                backend_now: health.backend_now,
            },
            Err(error) => {
                tracing::warn!(%error, driver = driver.name, "the store's health is not known");
                let warnings = vec!["the store does not answer".to_owned()];
                Self { driver, reachable: false, safe: false, warnings, backend_now: None }
            }
        }
    }

    /// Whether the store can be used.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.reachable && self.safe
    }
}

/// The state of both stores.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineHealth {
    /// What exists, and where.
    pub control: StoreHealth,
    /// Messages, claims, subscriptions.
    pub data: StoreHealth,
}

impl EngineHealth {
    /// Whether both stores can be used. A pool that cannot is no reason to take the whole head out
    /// of service.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.control.is_good() && self.data.is_good()
    }
}

impl Engine {
    /// Asks both stores whether they are there.
    ///
    /// # Errors
    /// The first store's that is not.
    pub async fn ping(&self) -> EngineResult<()> {
        let both = async {
            self.control().health().await?;
            self.data().health().await?;
            Ok::<(), Error>(())
        };
        self.in_time(Call::read("health"), both).await
    }

    /// Asks both stores how they are. A store that does not answer is part of the answer.
    pub async fn health(&self) -> EngineHealth {
        let call = Call::read("health");
        let control = self.in_time(call, self.control().health()).await;
        let data = self.in_time(call, self.data().health()).await;
        EngineHealth {
            control: StoreHealth::new(self.control_info(), control),
            data: StoreHealth::new(self.data_info(), data),
        }
    }

    /// Asks every pool how it is, all at once, ascending by name; none without pooling. One that
    /// does not answer is part of the answer.
    pub async fn pools_health(&self) -> Vec<(PoolName, StoreHealth)> {
        match self.pools() {
            Some(pools) => pools.health(self.config().operation_timeout).await,
            None => Vec::new(),
        }
    }

    /// Counts the live messages of the data store, of all tenants.
    ///
    /// # Errors
    /// The data store's.
    pub async fn volume(&self) -> EngineResult<StoreVolume> {
        self.in_time(Call::read("volume"), self.data().volume()).await
    }

    /// Counts what waits in the outbox of the data store, of all tenants.
    ///
    /// # Errors
    /// The data store's.
    pub async fn outbox_backlog(&self) -> EngineResult<OutboxBacklog> {
        self.in_time(Call::read("outbox_backlog"), self.data().outbox().outbox_backlog()).await
    }
}
