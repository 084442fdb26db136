//! From an incarnation to the store that it lives in.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use zaqar_core::{DataDriver, Effect, Error, QueueRef, Result, Retry};

use super::Pools;
use super::connections::Connection;

/// Where a queue lives.
#[derive(Debug)]
pub(super) enum Store {
    /// In the engine's own data store.
    Home(Arc<dyn DataDriver>),
    /// In a pool.
    Pool(Arc<Connection>),
}

impl Store {
    pub(super) fn data(&self) -> &dyn DataDriver {
        match self {
            Self::Home(data) => &**data,
            Self::Pool(connection) => &*connection.data,
        }
    }

    /// Refuses what a pool may lose. For the home store the engine does it.
    fn check_safe(&self, operation: &'static str) -> Result<()> {
        match self {
            Self::Pool(connection) if connection.watch.is_downgraded() => {
                let reason = format!("pool {} is set up to lose messages", connection.pool);
                Err(Error::backend(operation, Effect::None, Retry::Later, reason))
            }
            _ => Ok(()),
        }
    }

    /// Whether nothing may be removed from it now.
    pub(super) fn keeps_everything(&self) -> bool {
        match self {
            Self::Home(_) => false,
            Self::Pool(connection) => {
                connection.watch.is_downgraded() || connection.watch.is_time_suspect()
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Home(_) => "home",
            Self::Pool(connection) => connection.pool.as_str(),
        }
    }
}

impl Pools {
    /// The store of a queue. Cost: a look at a cache, or two reads of the control store.
    pub(super) async fn store(&self, queue: &QueueRef) -> Result<Arc<Store>> {
        if let Some(known) = self.0.mappings.get(&queue.incarnation).await {
            return Ok(known);
        }
        let store = match self.0.control.catalogue().catalogue_get(queue).await {
            Ok(entry) => Store::Pool(self.connect(&entry.pool).await?),
            Err(Error::QueueNotMapped { .. }) => Store::Home(Arc::clone(&self.0.home)),
            Err(error) => return Err(error),
        };
        let store = Arc::new(store);
        self.0.mappings.insert(queue.incarnation, Arc::clone(&store)).await;
        Ok(store)
    }

    async fn connect(&self, name: &zaqar_core::PoolName) -> Result<Arc<Connection>> {
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
        self.0.mappings.invalidate(&queue.incarnation).await;
    }

    /// Runs `work` on the store of a queue. A refusal of its head says that it may not live there
    /// any more: nothing was done, and the next attempt asks the catalogue again.
    pub(super) async fn on<T, F, W>(&self, queue: &QueueRef, work: F) -> Result<T>
    where
        F: FnOnce(Arc<Store>) -> W,
        W: Future<Output = Result<T>>,
    {
        let answer = work(self.store(queue).await?).await;
        if let Err(Error::QueueGone { .. } | Error::QueueMoved { .. }) = &answer {
            self.forget(queue).await;
        }
        answer
    }

    /// The same for what must not be lost.
    pub(super) async fn on_safe<T, F, W>(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        work: F,
    ) -> Result<T>
    where
        F: FnOnce(Arc<Store>) -> W,
        W: Future<Output = Result<T>>,
    {
        self.on(queue, |store| async move {
            store.check_safe(operation)?;
            work(store).await
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
