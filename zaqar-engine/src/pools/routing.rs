//! From an incarnation to the store that it lives in.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use zaqar_core::{
    CatalogueEntry, DataDriver, Effect, Error, PoolName, QueueKey, QueueRef, Result, Retry,
};

use super::Pools;
use super::connections::Connection;
use super::joined::Joined;

/// How often the catalogue is asked for one operation. Each refusal is another move that came
/// between.
const ATTEMPTS_MAX: u32 = 32;

/// Where a queue lives.
#[derive(Debug)]
pub(super) enum Store {
    /// In the engine's own data store.
    Home(Arc<dyn DataDriver>),
    /// In a pool.
    Pool(Arc<Connection>),
    /// In two pools, from one of which it is being moved to the other.
    Moving(Joined),
}

/// Where a queue lives, and since which move.
#[derive(Debug)]
pub(super) struct Place {
    /// Whose place it is: an incarnation under another name or tenant has none (G12).
    key: QueueKey,
    pub(super) store: Arc<Store>,
    epoch: u64,
}

impl Place {
    /// Whether nothing changed between this look at the catalogue and that one.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        let moving = |place: &Self| matches!(*place.store, Store::Moving(_));
        (self.epoch, moving(self)) == (other.epoch, moving(other))
    }

    /// The queue for that store, to one who knows of this move at least.
    pub(super) fn queue(&self, queue: &QueueRef) -> QueueRef {
        queue.at_epoch(self.epoch.max(queue.epoch))
    }
}

impl Store {
    pub(super) fn data(&self) -> &dyn DataDriver {
        match self {
            Self::Home(data) => &**data,
            Self::Pool(connection) => &*connection.data,
            Self::Moving(joined) => joined,
        }
    }

    /// Refuses what a pool may lose. For the home store the engine does it.
    fn check_safe(&self, operation: &'static str) -> Result<()> {
        match self {
            Self::Pool(connection) if connection.watch.is_downgraded() => {
                let reason = format!("pool {} is set up to lose messages", connection.pool);
                Err(Error::backend(operation, Effect::None, Retry::Later, reason))
            }
            Self::Moving(joined) => joined.target.check_safe(operation),
            _ => Ok(()),
        }
    }

    /// Whether nothing may be removed from it now.
    pub(super) fn keeps_everything(&self) -> bool {
        match self {
            Self::Home(_) => false,
            Self::Moving(joined) => joined.target.keeps_everything(),
            Self::Pool(connection) => connection.keeps_everything(),
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Home(_) => "home".to_owned(),
            Self::Pool(connection) => connection.pool.to_string(),
            Self::Moving(joined) => format!("{} to {}", joined.source.name(), joined.target.name()),
        }
    }
}

impl Pools {
    /// Where a queue lives. Cost: a look at a cache, or two reads of the control store.
    pub(super) async fn place_of(&self, queue: &QueueRef) -> Result<Arc<Place>> {
        match self.0.places.get(&queue.incarnation).await {
            Some(known) if known.key == queue.key => Ok(known),
            _ => self.place_now(queue).await,
        }
    }

    /// Where the catalogue says that a queue lives, whatever is remembered: what another task read
    /// before a change may be remembered after it. An incarnation of another queue lives nowhere: at
    /// the target of a move, which does not know it yet, it would be taken for the reference's.
    pub(super) async fn place_now(&self, queue: &QueueRef) -> Result<Arc<Place>> {
        let place = match self.0.control.catalogue().catalogue_get(queue).await {
            Ok(entry) if entry.queue.key != queue.key => {
                return Err(Error::QueueGone { name: queue.key.name.clone() });
            }
            Ok(entry) => self.mapped(&entry).await?,
            Err(Error::QueueNotMapped { .. }) => {
                let store = Arc::new(Store::Home(Arc::clone(&self.0.home)));
                Place { key: queue.key.clone(), store, epoch: 0 }
            }
            Err(error) => return Err(error),
        };
        let place = Arc::new(place);
        self.0.places.insert(queue.incarnation, Arc::clone(&place)).await;
        Ok(place)
    }

    async fn mapped(&self, entry: &CatalogueEntry) -> Result<Place> {
        let target = Store::Pool(self.connect(&entry.pool).await?);
        let store = match &entry.source {
            None => target,
            Some(source) => {
                let source = Arc::new(Store::Pool(self.connect(source).await?));
                Store::Moving(Joined::new(source, Arc::new(target)))
            }
        };
        let key = entry.queue.key.clone();
        Ok(Place { key, store: Arc::new(store), epoch: entry.epoch })
    }

    /// The connections to both ends of a move.
    pub(super) async fn ends(
        &self,
        target: &PoolName,
        source: &PoolName,
    ) -> Result<(Arc<Connection>, Arc<Connection>)> {
        Ok((self.connect(source).await?, self.connect(target).await?))
    }

    async fn connect(&self, name: &PoolName) -> Result<Arc<Connection>> {
        match self.find(name).await? {
            Some(pool) => self.0.connections.get(&pool).await,
            None => {
                let reason = format!("pool {name} holds the queue and is not known");
                Err(Error::backend("pool_get", Effect::None, Retry::Later, reason))
            }
        }
    }

    /// Forgets where a queue lives.
    pub(super) async fn forget(&self, queue: &QueueRef) {
        self.0.places.invalidate(&queue.incarnation).await;
    }

    /// Runs `work` on the store of a queue, with the reference that the store knows it by. A refusal
    /// of its head says that nothing was done and that it may not live there any more: if the
    /// catalogue says so too, the work is done where it lives now.
    pub(super) async fn on<T, F, W>(&self, queue: &QueueRef, work: F) -> Result<T>
    where
        F: Fn(Arc<Store>, QueueRef) -> W,
        W: Future<Output = Result<T>>,
    {
        let mut place = self.place_of(queue).await?;
        for _ in 1..ATTEMPTS_MAX {
            let answer = work(Arc::clone(&place.store), place.queue(queue)).await;
            if !matches!(answer, Err(Error::QueueGone { .. } | Error::QueueMoved { .. })) {
                return answer;
            }
            let now = self.place_now(queue).await?;
            if now.is_as(&place) && matches!(answer, Err(Error::QueueGone { .. })) {
                return answer;
            }
            place = now;
        }
        work(Arc::clone(&place.store), place.queue(queue)).await
    }

    /// The same for what must not be lost.
    pub(super) async fn on_safe<T, F, W>(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        work: F,
    ) -> Result<T>
    where
        F: Fn(Arc<Store>, QueueRef) -> W,
        W: Future<Output = Result<T>>,
    {
        let work = &work;
        self.on(queue, |store, queue| async move {
            store.check_safe(operation)?;
            work(store, queue).await
        })
        .await
    }

    /// Every store, the home store among them, beginning with another one each time. Pools that
    /// cannot be opened are left out; they were complained about.
    pub(super) async fn stores(&self) -> Result<Vec<Arc<Store>>> {
        let pools = self.all().await?;
        let opening = pools.iter().map(|pool| self.0.connections.get(pool));
        let opened = futures_util::future::join_all(opening).await;
        let mut stores = vec![Arc::new(Store::Home(Arc::clone(&self.0.home)))];
        stores.extend(opened.into_iter().flatten().map(Store::Pool).map(Arc::new));
        let turn = self.0.turn.fetch_add(1, Ordering::Relaxed) % stores.len();
        stores.rotate_left(turn);
        Ok(stores)
    }

    /// Runs `work` on every store at once, and returns the first failure beside what the others
    /// answered.
    pub(super) async fn on_all<T, F, W>(&self, work: F) -> Result<(Vec<T>, Option<Error>)>
    where
        F: Fn(Arc<Store>) -> W,
        W: Future<Output = Result<T>>,
    {
        let (mut good, mut failed) = (Vec::new(), None);
        for answer in at_once(&self.stores().await?, work).await {
            match answer {
                Ok(answer) => good.push(answer),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        Ok((good, failed))
    }
}

/// Runs `work` on each of these stores at once: one that fails takes nothing from the others.
pub(super) async fn at_once<T, F, W>(stores: &[Arc<Store>], work: F) -> Vec<Result<T>>
where
    F: Fn(Arc<Store>) -> W,
    W: Future<Output = Result<T>>,
{
    let answers = futures_util::future::join_all(stores.iter().cloned().map(work)).await;
    for (store, answer) in stores.iter().zip(&answers) {
        if let Err(error) = answer {
            tracing::debug!(%error, pool = store.name(), "a store failed in the background");
        }
    }
    answers
}
