//! Upkeep in the background: what time makes due, and what a crash left half done.
//!
//! Every web head may run it at once: the steps may be repeated, and leases keep two heads from
//! doing the same transfer.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::{CancellationToken, DropGuard};
use zaqar_core::{Error, GcOptions, GcReport, PageLimit};

use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};

/// Messages whose claim or delay has ended are claimable within two seconds (G7).
const SWEEP_PERIOD: Duration = Duration::from_secs(1);
const INTERRUPTED_PERIOD: Duration = Duration::from_secs(3);
const MOVES_PERIOD: Duration = Duration::from_secs(1);
const GC_PERIOD: Duration = Duration::from_secs(30);
/// A store that was made unsafe takes no posts after a minute at most (G15).
const WATCH_PERIOD: Duration = Duration::from_secs(60);

/// What [`Engine::finish_interrupted`] found and finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct InterruptedReport {
    /// Queue deletions that were finished.
    pub deletions: u64,
    /// Dead letters that arrived.
    pub transfers: u64,
    /// Deletions and dead letters that could not be finished now.
    pub failed: u64,
}

/// The background tasks of an engine. They end when this is stopped or dropped; only
/// [`Maintenance::stop`] waits until they have.
#[derive(Debug)]
#[must_use = "dropping it ends the maintenance"]
pub struct Maintenance {
    tasks: JoinSet<()>,
    stopping: DropGuard,
}

impl Maintenance {
    /// Lets every task finish the step that it is at, and waits for that.
    pub async fn stop(self) {
        let Self { mut tasks, stopping } = self;
        drop(stopping);
        while let Some(ended) = tasks.join_next().await {
            if let Err(died) = ended {
                tracing::error!(%died, "a maintenance task had died");
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Duty {
    Sweep,
    Interrupted,
    Garbage,
    Moves,
    Watch,
}

impl Duty {
    const ALL: [Self; 5] =
        [Self::Sweep, Self::Interrupted, Self::Garbage, Self::Moves, Self::Watch];

    fn period(self) -> Duration {
        match self {
            Self::Sweep => SWEEP_PERIOD,
            Self::Interrupted => INTERRUPTED_PERIOD,
            Self::Garbage => GC_PERIOD,
            Self::Moves => MOVES_PERIOD,
            Self::Watch => WATCH_PERIOD,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Sweep => "sweep",
            Self::Interrupted => "finish_interrupted",
            Self::Garbage => "gc",
            Self::Moves => "moves_carry_on",
            Self::Watch => "watch",
        }
    }
}

impl Engine {
    /// Starts the background tasks. Must be called within a tokio runtime.
    pub fn spawn_maintenance(&self) -> Maintenance {
        let token = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for duty in Duty::ALL {
            tasks.spawn(perform(self.clone(), duty, token.clone()));
        }
        Maintenance { tasks, stopping: token.drop_guard() }
    }

    /// Makes claimable what has matured, and hides what has expired: one bounded step.
    ///
    /// # Errors
    /// The data store's.
    pub async fn sweep(&self) -> EngineResult<GcReport> {
        Ok(self.data().sweep().await?)
    }

    /// Removes what has been over for a while: one bounded step. Nothing is removed while the store
    /// is not [safe](zaqar_core::Health::safe), unless that was [accepted](crate::EngineConfig), or
    /// while its clock is not to be believed.
    ///
    /// # Errors
    /// The data store's.
    pub async fn gc(&self, options: GcOptions) -> EngineResult<GcReport> {
        let safe = self.config().unreliable || self.data().health().await?.safe;
        if safe && !self.inner().watch.is_time_suspect() {
            Ok(self.data().gc(options).await?)
        } else {
            Ok(GcReport::default())
        }
    }

    /// Finishes queue deletions and moves of dead letters that were interrupted, up to a bound.
    ///
    /// # Errors
    /// The stores'. What fails for one queue or message is counted in the report.
    pub async fn finish_interrupted(&self) -> EngineResult<InterruptedReport> {
        let mut report = InterruptedReport::default();
        let records = self.control().queues().queue_list_deleting(PageLimit::default()).await?;
        for record in records {
            match self.deletion_finish(&record.queue_ref()).await {
                Ok(()) => report.deletions += 1,
                Err(error) => {
                    tracing::warn!(%error, "an interrupted queue deletion could not be finished");
                    report.failed += 1;
                }
            }
        }
        let moved = self.dead_letters_move(None).await?;
        report.transfers = moved.moved;
        report.failed += moved.failed;
        Ok(report)
    }

    /// One round of a duty; `true` if more is due at once.
    async fn perform_once(&self, duty: Duty) -> EngineResult<bool> {
        match duty {
            Duty::Sweep => Ok(self.sweep().await?.more),
            Duty::Moves => Ok(self.moves_carry_on().await?.got_on()),
            Duty::Garbage => Ok(self.gc(GcOptions::new()).await?.more),
            Duty::Watch => {
                self.watch().await;
                Ok(false)
            }
            Duty::Interrupted => {
                let done = self.finish_interrupted().await?;
                let full = u64::from(PageLimit::default().get());
                Ok(done.failed == 0 && (done.deletions >= full || done.transfers >= full))
            }
        }
    }
}

async fn perform(engine: Engine, duty: Duty, stopping: CancellationToken) {
    let mut ticks = tokio::time::interval(duty.period());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        loop {
            let more = match engine.perform_once(duty).await {
                Ok(more) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!(duty = duty.name(), "maintenance works again");
                    }
                    more
                }
                Err(error) => {
                    complain(duty, &error, failing);
                    failing = true;
                    false
                }
            };
            if !more || stopping.is_cancelled() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// Says once that a duty fails; while it goes on failing each second, the log is spared.
fn complain(duty: Duty, error: &EngineError, again: bool) {
    if again {
        tracing::debug!(%error, duty = duty.name(), "maintenance still fails");
    } else if matches!(error, EngineError::Store(Error::Unsupported { .. })) {
        tracing::debug!(%error, duty = duty.name(), "the driver needs no such maintenance");
    } else {
        tracing::warn!(%error, duty = duty.name(), "maintenance fails");
    }
}
