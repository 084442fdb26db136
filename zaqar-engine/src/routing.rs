//! From a queue's name to its present incarnation and attributes, cached.
//!
//! What is cached may be stale: the queue's head in the data store refuses a closed incarnation,
//! and the [fence](crate::fence) resolves the name again. That there is no queue is never cached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::{Mutex, OwnedMutexGuard};
use zaqar_core::{Effect, Error, QueueKey, QueueRecord, QueueRef, QueueState};

use crate::attributes::QueueAttributes;
use crate::engine::Engine;

/// Queues whose routes are kept; beyond it the least used are dropped.
const ROUTES_MAX: u64 = 100_000;
/// The longest that a route is kept, whatever the configuration says.
const ROUTE_TTL_MAX: Duration = Duration::from_secs(24 * 3_600);
/// How long a queue's turn-taking is remembered after its last use.
const MAKING_IDLE_MAX: Duration = Duration::from_secs(10);

/// What operations need to know about a queue.
#[derive(Debug)]
pub(crate) struct Route {
    /// The present incarnation.
    pub(crate) queue: QueueRef,
    /// The queue's reserved attributes.
    pub(crate) attributes: QueueAttributes,
    revision: u64,
    changes: AtomicU64,
}

impl Route {
    pub(crate) fn new(record: &QueueRecord) -> Self {
        Self {
            queue: record.queue_ref(),
            attributes: QueueAttributes::of(&record.metadata),
            revision: record.revision,
            changes: AtomicU64::new(0),
        }
    }

    /// Notes that this process changed the queue's messages, so that shared statistics are renewed.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many changes were noted.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }
}

/// Why no route could be loaded. Shared by all callers that waited for the same load.
#[derive(Debug, thiserror::Error)]
enum Miss {
    #[error("there is no such queue")]
    Absent,
    #[error(transparent)]
    Failed(Error),
}

/// The cache of routes.
#[derive(Debug)]
pub(crate) struct Routes {
    cache: Cache<QueueKey, Arc<Route>>,
    making: Cache<QueueKey, Arc<Mutex<()>>>,
}

impl Routes {
    pub(crate) fn new(ttl: Duration) -> Self {
        let cache = Cache::builder().max_capacity(ROUTES_MAX);
        let making = Cache::builder().max_capacity(ROUTES_MAX).time_to_idle(MAKING_IDLE_MAX);
        let cache = cache.time_to_live(ttl.min(ROUTE_TTL_MAX)).build();
        Self { cache, making: making.build() }
    }

    /// Lets one task of this process at a time make the queue, so that a thousand first posts to it
    /// make one. Only a courtesy: the stores decide who makes it.
    pub(crate) async fn making(&self, key: &QueueKey) -> OwnedMutexGuard<()> {
        let turn = self.making.get_with_by_ref(key, async { Arc::default() }).await;
        turn.lock_owned().await
    }

    /// Drops the entry of a route that turned out stale, unless it was renewed meanwhile.
    pub(crate) async fn forget(&self, route: &Arc<Route>) {
        let key = &route.queue.key;
        if let Some(cached) = self.cache.get(key).await
            && Arc::ptr_eq(&cached, route)
        {
            self.cache.invalidate(key).await;
        }
    }

    /// Drops the entry of an incarnation that is gone.
    pub(crate) async fn forget_incarnation(&self, queue: &QueueRef) {
        if let Some(cached) = self.cache.get(&queue.key).await
            && cached.queue.incarnation == queue.incarnation
        {
            self.cache.invalidate(&queue.key).await;
        }
    }

    /// Drops the entry of a name.
    pub(crate) async fn forget_name(&self, key: &QueueKey) {
        self.cache.invalidate(key).await;
    }

    /// Keeps what was just stored or found, so that this process sees its own changes at once;
    /// unless what is kept is as new already.
    pub(crate) async fn keep(&self, record: &QueueRecord) {
        if let Some(kept) = self.cache.get(&record.key).await
            && kept.queue.incarnation == record.incarnation
            && kept.revision >= record.revision
        {
            return;
        }
        self.cache.insert(record.key.clone(), Arc::new(Route::new(record))).await;
    }
}

impl Engine {
    /// The route of a queue, `None` if there is no such queue. Cost: a cache look-up, or one read of
    /// the control store, which concurrent callers share.
    pub(crate) async fn route(&self, key: &QueueKey) -> Result<Option<Arc<Route>>, Error> {
        let cache = &self.routes().cache;
        if let Some(route) = cache.get(key).await {
            return Ok(Some(route));
        }
        match cache.try_get_with_by_ref(key, self.load_route(key)).await {
            Ok(route) => Ok(Some(route)),
            Err(miss) => match Arc::try_unwrap(miss) {
                Ok(Miss::Absent) => Ok(None),
                Ok(Miss::Failed(error)) => Err(error),
                Err(shared) => match &*shared {
                    Miss::Absent => Ok(None),
                    Miss::Failed(error) => {
                        let retry = error.retry();
                        Err(Error::backend("queue_find", Effect::None, retry, shared))
                    }
                },
            },
        }
    }

    async fn load_route(&self, key: &QueueKey) -> Result<Arc<Route>, Miss> {
        let found = self.control().queues().queue_find(key).await.map_err(Miss::Failed)?;
        match found {
            Some(record) if record.state == QueueState::Active => Ok(Arc::new(Route::new(&record))),
            Some(deleting) => {
                // It reads as missing whether or not the deletion can be finished now.
                if let Err(error) = Box::pin(self.deletion_steps(&deleting.queue_ref())).await {
                    tracing::warn!(%error, "an interrupted queue deletion could not be finished");
                }
                Err(Miss::Absent)
            }
            None => Err(Miss::Absent),
        }
    }
}
