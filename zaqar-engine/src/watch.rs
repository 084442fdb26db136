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
use crate::health::EngineHealth;

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

    /// Whether nothing may be removed, because it is not certain what time it is.
    pub(crate) fn is_time_suspect(&self) -> bool {
        self.clock.as_ref().is_some_and(|clock| clock.is_suspect())
    }
}

impl Engine {
    /// Looks at both stores: refuses posts from now on if the data store would lose them, takes them
    /// again if it would not, and sets the clock by the data store's. Maintenance does so each
    /// minute; call it once before the first request.
    ///
    /// A store that does not answer changes nothing: its operations fail by themselves.
    pub async fn watch(&self) -> EngineHealth {
        let health = self.health().await;
        let watch = &self.inner().watch;
        if health.data.reachable {
            let downgraded = !health.data.safe && !self.config().unreliable;
            let before = watch.downgraded.swap(downgraded, Ordering::Relaxed);
            match (before, downgraded) {
                (false, true) => {
                    let reasons = health.data.warnings.join("; ");
                    tracing::error!(%reasons, "the store may lose messages: posts are refused");
                }
                (true, false) => tracing::info!("the store is safe again: posts are taken"),
                _ => {}
            }
        }
        if let (Some(clock), Some(sample)) = (&watch.clock, health.data.backend_now)
            && let Discipline::Rejected { offset_ms } = clock.discipline(sample)
        {
            tracing::error!(offset_ms, "the store's clock jumped: kept the time, removal waits");
        }
        health
    }

    /// Refuses what would be stored by a store that may lose it.
    pub(crate) fn check_safe(&self, operation: &'static str) -> EngineResult<()> {
        if self.inner().watch.downgraded.load(Ordering::Relaxed) {
            let reason = "the store is set up to lose messages";
            return Err(Error::backend(operation, Effect::None, Retry::Later, reason).into());
        }
        Ok(())
    }
}
