//! The loop: asks the store for work whenever there may be some, and hands it to workers.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use uuid::Uuid;
use zaqar_core::{Delivery, Error, LeaseDeliveries, LeaseId, PageLimit};

use crate::meters::Meters;
use crate::notifier::Shared;
use crate::worker::{self, Worker};

/// Messages of one subscription that are taken at a time. With the number of workers it bounds what
/// is held in memory.
const MESSAGES_MAX: u32 = 16;
/// The least time between two questions of which the first was in vain; it doubles up to the
/// greatest. So a flood of posts that nobody subscribes to costs the store little.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(64);
/// The longest time between two questions while the store fails.
const FAILING_MAX: Duration = Duration::from_secs(10);

/// Runs until the notifier is stopped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let meters = Meters::new();
    let mut rounds = Rounds {
        worker: Arc::new(Worker::new(Arc::clone(&shared), meters.clone())),
        shared,
        meters,
        workers: JoinSet::new(),
        pace: Pace::default(),
    };
    if rounds.shared.config.workers_max == 0 {
        rounds.shared.stopping.cancelled().await;
        return;
    }
    rounds.turn().await;
    rounds.finish().await;
}

struct Rounds {
    shared: Arc<Shared>,
    worker: Arc<Worker>,
    meters: Meters,
    workers: JoinSet<()>,
    pace: Pace,
}

impl Rounds {
    async fn turn(&mut self) {
        let mut ticks = interval(self.shared.config.poll);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => return,
                // What a worker left in the outbox, or was posted meanwhile, is due now.
                Some(ended) = self.workers.join_next() => self.ended(ended),
                () = shared.posted.notified() => {}
                _ = ticks.tick() => {}
            }
            while let Some(ended) = self.workers.try_join_next() {
                self.ended(ended);
            }
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => return,
                () = sleep_until(self.pace.not_before) => {}
            }
            while !shared.stopping.is_cancelled() && self.take().await {}
        }
    }

    /// Takes work for idle workers; `true` if there may be more, and workers for it.
    async fn take(&mut self) -> bool {
        let room = self.room();
        let Ok(subscriptions) = PageLimit::new(room) else { return false };
        let messages = PageLimit::new(MESSAGES_MAX).unwrap_or_default();
        let lease = LeaseId::from_u128(Uuid::new_v4().as_u128());
        let options = LeaseDeliveries::new(lease, self.shared.config.lease)
            .subscriptions_max(subscriptions)
            .messages_max(messages)
            .owner(self.shared.schemes.owner());
        match self.shared.data.outbox().delivery_lease(options).await {
            Ok(deliveries) => {
                self.pace.answered(!deliveries.is_empty());
                let full = deliveries.len() >= subscriptions.as_usize();
                for delivery in deliveries {
                    self.start(delivery);
                }
                full && self.room() > 0
            }
            Err(error) => {
                self.pace.failed(&error);
                false
            }
        }
    }

    /// How many workers are idle.
    fn room(&self) -> u32 {
        let busy = u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        self.shared.config.workers_max.saturating_sub(busy)
    }

    fn start(&mut self, delivery: Delivery) {
        self.meters.deliveries.increment(1.0);
        let worker = Arc::clone(&self.worker);
        self.workers.spawn(async move { worker.work(delivery).await });
    }

    fn ended(&mut self, ended: Result<(), JoinError>) {
        self.meters.deliveries.decrement(1.0);
        if let Err(died) = ended {
            // Its lease runs out, and the work is handed out again.
            tracing::error!(%died, "a delivery had died");
        }
    }

    /// Waits for the workers, which finish their attempts and record them.
    async fn finish(&mut self) {
        let grace = self.shared.config.grace;
        let all = async { while self.workers.join_next().await.is_some() {} };
        if timeout(grace, all).await.is_err() {
            tracing::info!(
                left = self.workers.len(),
                "deliveries were cut off; they are made again when their leases end"
            );
        }
        self.workers.abort_all();
        self.meters.deliveries.set(0.0);
    }
}

/// When the store may be asked again.
#[derive(Debug)]
struct Pace {
    not_before: Instant,
    pause: Duration,
    failing: bool,
}

impl Default for Pace {
    fn default() -> Self {
        Self { not_before: Instant::now(), pause: Duration::ZERO, failing: false }
    }
}

impl Pace {
    fn answered(&mut self, found: bool) {
        if std::mem::take(&mut self.failing) {
            tracing::info!("the outbox can be read again");
            self.pause = Duration::ZERO;
        }
        self.pause =
            if found { Duration::ZERO } else { (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX) };
        self.not_before = Instant::now() + self.pause;
    }

    fn failed(&mut self, error: &Error) {
        if std::mem::replace(&mut self.failing, true) {
            tracing::debug!(%error, "the outbox still cannot be read");
        } else if matches!(error, Error::Unsupported { .. }) {
            tracing::warn!(%error, "nothing is delivered to subscribers");
        } else {
            tracing::warn!(error = %worker::chain(error), "the outbox cannot be read; tried again");
        }
        self.pause = (self.pause * 2).clamp(PAUSE_MAX, FAILING_MAX);
        self.not_before = Instant::now() + self.pause;
    }
}
