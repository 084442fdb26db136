//! What an administrator asks of moves.

use zaqar_core::{
    Capability, CatalogueEntry, Error, Incarnation, Page, PageLimit, Pool, PoolName, QueueKey,
    QueueRef, QueueState, moves::MOVE_SUBSCRIPTIONS_MAX,
};

use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;

use super::super::placement::{choose, eligible};
use super::super::{ChangePool, Pools};

/// Where a queue lives.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct QueuePlace {
    /// The pool that takes its posts; `None`: the engine's own data store, which is no pool.
    pub pool: Option<PoolName>,
    /// The pool that it is being moved out of.
    pub source: Option<PoolName>,
    /// How often it was moved.
    pub moves: u64,
    /// Messages that are still at the source.
    pub left: Option<u64>,
}

/// A queue on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MovingQueue {
    /// The queue.
    pub key: QueueKey,
    /// Where it is. What is [left](QueuePlace::left) is `None` if its source cannot be asked now.
    pub place: QueuePlace,
}

/// What one look at a pool that is to be emptied came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DrainReport {
    /// Moves that were begun.
    pub begun: u64,
    /// Whether the pool still holds queues, or parts of some.
    pub more: bool,
}

impl Engine {
    /// Where a queue lives; `None` if there is no such queue.
    ///
    /// # Errors
    /// `NoPooling`; the stores'.
    pub async fn queue_place(&self, key: &QueueKey) -> EngineResult<Option<QueuePlace>> {
        let pools = self.pools_required()?;
        self.in_time(Call::read("queue_place"), async {
            match self.living(key).await? {
                Some(queue) => pools.whereabouts(&queue).await.map(Some),
                None => Ok(None),
            }
        })
        .await
    }

    /// The moves that are going on, of all projects and pools, strictly after the marker.
    ///
    /// # Errors
    /// `NoPooling`; the control store's.
    pub async fn moves_list(
        &self,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> EngineResult<Page<MovingQueue, Incarnation>> {
        let pools = self.pools_required()?;
        self.in_time(Call::read("moves_list"), async {
            let catalogue = self.control().catalogue();
            let page = catalogue.catalogue_list_moving(marker, limit).await?;
            let found = page.items.into_iter().map(|entry| pools.moving(entry));
            let items = futures_util::future::join_all(found).await;
            EngineResult::Ok(Page { items, next: page.next })
        })
        .await
    }

    /// Begins to move a queue to another pool; nothing is done if it lives there or is on its way
    /// there. [`Engine::moves_carry_on`] does the rest, here or at any other head.
    ///
    /// # Errors
    /// `PoolNotFound`, `QueueNotFound`; `Rejected` if the queue is on its way to another pool, or
    /// cannot live in this one; `NoPooling`; the stores'.
    pub async fn queue_move(&self, key: &QueueKey, pool: &PoolName) -> EngineResult<QueuePlace> {
        let (engine, pools) = (self.clone(), self.pools_required()?.clone());
        let (key, pool) = (key.clone(), pool.clone());
        self.detached(Call::write("queue_move"), async move {
            let Some(queue) = engine.living(&key).await? else {
                return Err(Error::QueueNotFound { project: key.project, name: key.name }.into());
            };
            pools.move_begin(&queue, &pool).await?;
            pools.whereabouts(&queue).await
        })
        .await
    }

    /// Takes a pool out of use: no new queue is placed in it, and up to `limit` of its queues begin
    /// to move to other pools of its flavor, by their weights. To be called until there are no more.
    ///
    /// # Errors
    /// `PoolNotFound`; `Rejected` if there is no pool to move to; `NoPooling`; the stores'.
    pub async fn pool_drain(&self, name: &PoolName, limit: PageLimit) -> EngineResult<DrainReport> {
        let pools = self.pools_required()?.clone();
        let pool = self.pool_get(name).await?;
        if pool.weight > 0 {
            let change = ChangePool { weight: Some(0), ..ChangePool::default() };
            self.pool_update(name, change).await?;
        }
        self.detached(Call::write("pool_drain"), async move { pools.drain(&pool, limit).await })
            .await
    }

    /// The present life of a queue.
    async fn living(&self, key: &QueueKey) -> EngineResult<Option<QueueRef>> {
        let record = self.control().queues().queue_find(key).await?;
        let living = record.filter(|record| record.state == QueueState::Active);
        Ok(living.map(|record| record.queue_ref()))
    }
}

impl Pools {
    async fn whereabouts(&self, queue: &QueueRef) -> EngineResult<QueuePlace> {
        let entry = match self.0.control.catalogue().catalogue_get(queue).await {
            Ok(entry) => entry,
            Err(Error::QueueNotMapped { .. }) => {
                return Ok(QueuePlace { pool: None, source: None, moves: 0, left: None });
            }
            Err(error) => return Err(error.into()),
        };
        let left = match &entry.source {
            Some(source) => Some(self.left(&entry, source).await?),
            None => None,
        };
        let CatalogueEntry { pool, source, epoch, .. } = entry;
        Ok(QueuePlace { pool: Some(pool), source, moves: epoch, left })
    }

    /// One that cannot be asked is an entry of the list nevertheless: it is what holds the move up.
    async fn moving(&self, entry: CatalogueEntry) -> MovingQueue {
        let left = match &entry.source {
            Some(source) => self.left(&entry, source).await.inspect_err(|error| {
                tracing::debug!(%error, pool = %source, "a pool does not tell what is left in it");
            }),
            None => Ok(0),
        };
        let CatalogueEntry { queue, pool, source, epoch, .. } = entry;
        let place = QueuePlace { pool: Some(pool), source, moves: epoch, left: left.ok() };
        MovingQueue { key: queue.key, place }
    }

    async fn left(&self, entry: &CatalogueEntry, source: &PoolName) -> EngineResult<u64> {
        let (source, _) = self.ends(&entry.pool, source).await?;
        let queue = entry.queue.at_epoch(entry.epoch);
        match source.data.messages().message_stats(&queue).await {
            Ok(stats) => Ok(stats.total()),
            Err(Error::QueueGone { .. }) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    async fn move_begin(&self, queue: &QueueRef, pool: &PoolName) -> EngineResult<()> {
        let target = self.0.control.pools().pool_get(pool).await?;
        let entry = self.entry_or_adopt(queue).await?;
        if entry.pool == *pool {
            if entry.source.is_some() {
                // Whoever asks again need not wait until it stood still for long enough.
                self.0.watched.take(queue.incarnation, entry.epoch);
            }
            return Ok(());
        }
        if entry.source.is_some() {
            let pool = &entry.pool;
            return Err(EngineError::rejected(format!("The queue is being moved to pool {pool}.")));
        }
        self.check_can_live_in(&entry, &target).await?;
        let catalogue = self.0.control.catalogue();
        let epoch = entry.epoch.saturating_add(1);
        match catalogue.catalogue_move(queue, pool, epoch).await {
            Err(Error::QueueMoved { .. }) => {
                return Err(EngineError::rejected("The queue was moved by another meanwhile."));
            }
            answer => answer?,
        }
        self.0.watched.take(queue.incarnation, epoch);
        self.forget(queue).await;
        Ok(())
    }

    /// Refuses a target that could not hold the queue as the source does.
    async fn check_can_live_in(&self, entry: &CatalogueEntry, target: &Pool) -> EngineResult<()> {
        let (source, target_now) = self.ends(&target.name, &entry.pool).await?;
        let flavor = self.find(&entry.pool).await?.and_then(|pool| pool.flavor);
        if flavor != target.flavor {
            let (from, to) = (&entry.pool, &target.name);
            let text = format!("Pool {to} is not of the flavor of pool {from}.");
            return Err(EngineError::rejected(text));
        }
        for (name, data) in [(&entry.pool, &source.data), (&target.name, &target_now.data)] {
            if !data.capabilities().has(Capability::LiveMove) {
                let text = format!("Queues cannot be moved into or out of pool {name}.");
                return Err(EngineError::rejected(text));
            }
        }
        let most = PageLimit::new(u32::try_from(MOVE_SUBSCRIPTIONS_MAX).unwrap_or(u32::MAX));
        let most = most.map_err(Error::from)?;
        let subscriptions = source.data.subscriptions();
        let queue = entry.queue.at_epoch(entry.epoch);
        let page = subscriptions.subscription_list(&queue, None, most).await?;
        if page.items.len() == most.as_usize()
            && !subscriptions.subscription_list(&queue, page.next, most).await?.items.is_empty()
        {
            let text = format!(
                "A queue of more than {MOVE_SUBSCRIPTIONS_MAX} subscriptions cannot be moved."
            );
            return Err(EngineError::rejected(text));
        }
        Ok(())
    }

    /// The place of a queue. One that lives in the engine's own data store is found in the pool that
    /// is the same store, if there is one, and remembered to live there.
    async fn entry_or_adopt(&self, queue: &QueueRef) -> EngineResult<CatalogueEntry> {
        let catalogue = self.0.control.catalogue();
        match catalogue.catalogue_get(queue).await {
            Err(Error::QueueNotMapped { .. }) => {}
            entry => return Ok(entry?),
        }
        for pool in self.all().await?.iter() {
            let Ok(connection) = self.0.connections.get(pool).await else { continue };
            if connection.data.heads().head_get(queue).await.is_ok() {
                catalogue.catalogue_put(queue, &pool.name).await?;
                return Ok(catalogue.catalogue_get(queue).await?);
            }
        }
        Err(EngineError::rejected(
            "The queue lives in the server's own data store, which is none of the pools.",
        ))
    }

    async fn drain(&self, pool: &Pool, limit: PageLimit) -> EngineResult<DrainReport> {
        let page = self.0.control.catalogue().catalogue_list_by_pool(&pool.name, None, limit);
        let held = page.await?.items;
        let all = self.all().await?;
        let mut report = DrainReport::default();
        for entry in &held {
            if entry.source.is_some() {
                continue; // It is on its way here still, and moves on once it has arrived.
            }
            let others =
                eligible(&all, pool.flavor.as_ref()).filter(|other| other.name != pool.name);
            let below = |total| rand::Rng::random_range(&mut rand::rng(), 0..total);
            let Some(target) = choose(others, below) else {
                let text = format!("There is no other pool for the queues of pool {}.", pool.name);
                return Err(EngineError::rejected(text));
            };
            self.move_begin(&entry.queue, &target.name).await?;
            report.begun += 1;
        }
        report.more = self.holds_queues(&pool.name).await?;
        Ok(report)
    }
}
