//! Statistics, shared among callers: counting a long queue is work, and dashboards ask often.
//!
//! An answer is shared for at most a second. While this process knows of no change to the queue it
//! is shared for all of it; once there was one, only as long as keeps counting to a tenth of the
//! time, and only if the count was slow. So a short queue is counted anew after each change, and a
//! client sees what it just did.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Mutex;
use zaqar_core::{QueueRef, QueueStats, Timestamp};

use crate::engine::Engine;
use crate::error::EngineResult;
use crate::routing::Route;

const QUEUES_MAX: u64 = 10_000;
const IDLE_MAX: Duration = Duration::from_secs(10);
const SHARED_MS_MAX: i64 = 1_000;
/// A faster count is never shared once the queue has changed: a client sees what it just did.
const SLOW_COUNT_MS: i64 = 50;
/// An answer that took t is shared for this many times t although the queue has changed.
const SHARED_PER_COST: i64 = 10;

#[derive(Debug)]
struct Answer {
    stats: QueueStats,
    route: Arc<Route>,
    changes: u64,
    /// When the count began: what it shows is no older.
    asked_at: Timestamp,
    cost_ms: i64,
}

impl Answer {
    fn holds(&self, route: &Arc<Route>, now: Timestamp) -> bool {
        let age_ms = now.as_millis() - self.asked_at.as_millis();
        let unchanged = Arc::ptr_eq(&self.route, route) && self.changes == route.changes();
        let shared_ms = match unchanged {
            true => SHARED_MS_MAX,
            false if self.cost_ms < SLOW_COUNT_MS => 0,
            false => self.cost_ms.saturating_mul(SHARED_PER_COST),
        };
        age_ms < shared_ms.min(SHARED_MS_MAX)
    }
}

type Slot = Arc<Mutex<Option<Answer>>>;

/// The latest answers, by incarnation.
#[derive(Debug)]
pub(crate) struct SharedStats {
    slots: Cache<QueueRef, Slot>,
}

impl SharedStats {
    pub(crate) fn new() -> Self {
        Self { slots: Cache::builder().max_capacity(QUEUES_MAX).time_to_idle(IDLE_MAX).build() }
    }
}

impl Engine {
    /// Statistics of a queue. Whoever comes while somebody counts waits for that count and takes it
    /// if it holds.
    pub(crate) async fn stats_shared(&self, route: &Arc<Route>) -> EngineResult<QueueStats> {
        let slots = &self.shared_stats().slots;
        let slot = slots.get_with_by_ref(&route.queue, async { Slot::default() }).await;
        let mut latest = slot.lock().await;
        let asked_at = self.clock().now();
        if let Some(answer) = &*latest
            && answer.holds(route, asked_at)
        {
            return Ok(answer.stats);
        }
        // Read before the count: a change during it makes the answer count as changed.
        let changes = route.changes();
        let stats = self.data().messages().message_stats(&route.queue).await?;
        let cost_ms = self.clock().now().as_millis() - asked_at.as_millis();
        let route = Arc::clone(route);
        *latest = Some(Answer { stats, route, changes, asked_at, cost_ms });
        Ok(stats)
    }
}
