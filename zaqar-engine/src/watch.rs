//! Watching over the stores while they are in use: are they still set up to keep what they accept
//! (G15), and what time is it there.
//!
//! A store can be made unsafe while it runs: an operator turns flushing off, a failover ends at a
//! server with other settings. From the look that finds it on, posts are refused with nothing
//! stored, until a look finds the store safe again. What was accepted before stays readable.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use zaqar_core::clock::{Discipline, DisciplinedClock};
use zaqar_core::{Effect, Error, Retry};

use crate::engine::Engine;
use crate::error::EngineResult;
use crate::health::{EngineHealth, StoreHealth};

/// What the latest look at the stores found.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    downgraded: AtomicBool,
    /// The clock that follows the data store's, if it is ours to set.
    clock: Option<Arc<DisciplinedClock>>,
}

impl Watch {
    pub(crate) fn new(clock: Option<Arc<DisciplinedClock>>) -> Self {
        Self { downgraded: AtomicBool::new(false), clock }
    }

    /// Draws the conclusions from a look at the store. One that did not answer changes nothing: its
    /// operations fail by themselves.
    pub(crate) fn note(&self, health: &StoreHealth, unreliable: bool) {
        let location = &health.driver.location;
        if health.reachable {
            let downgraded = !health.safe && !unreliable;
            let before = self.downgraded.swap(downgraded, Ordering::Relaxed);
            match (before, downgraded) {
                (false, true) => {
                    let reasons = health.warnings.join("; ");
                    tracing::error!(%location, %reasons, "the store may lose messages: posts are refused");
                }
                (true, false) => {
                    tracing::info!(%location, "the store is safe again: posts are taken");
                }
                _ => {}
            }
        }
        if let (Some(clock), Some(sample)) = (&self.clock, health.backend_now)
            && let Discipline::Rejected { offset_ms } = clock.discipline(sample)
        {
            tracing::error!(%location, offset_ms, "the store's clock jumped: kept the time, removal waits");
        }
    }

    /// Whether the store was last seen set up to lose messages.
    pub(crate) fn is_downgraded(&self) -> bool {
        self.downgraded.load(Ordering::Relaxed)
    }

    /// Whether nothing may be removed, because it is not certain what time it is.
    pub(crate) fn is_time_suspect(&self) -> bool {
        self.clock.as_ref().is_some_and(|clock| clock.is_suspect())
    }
}

impl Engine {
    /// Looks at both stores and at every pool: refuses posts from now on where they would be lost,
    /// takes them again where they would not, and sets each clock by its store's. Maintenance does so
    /// each minute; call it once before the first request.
    ///
    /// A store that does not answer changes nothing: its operations fail by themselves.
    pub async fn watch(&self) -> EngineHealth {
        let health = self.health().await;
        let unreliable = self.config().unreliable;
        self.inner().watch.note(&health.data, unreliable);
        for (pool, health) in self.pools_health().await {
            if let Some(pools) = self.pools() {
                pools.note(&pool, &health, unreliable);
            }
        }
        health
    }

    /// Refuses what would be stored by a store that may lose it.
    pub(crate) fn check_safe(&self, operation: &'static str) -> EngineResult<()> {
        if self.inner().watch.is_downgraded() {
            let reason = "the store is set up to lose messages";
            return Err(Error::backend(operation, Effect::None, Retry::Later, reason).into());
        }
        Ok(())
    }
}
