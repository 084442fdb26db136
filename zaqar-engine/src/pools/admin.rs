//! What an administrator does with pools.

use zaqar_core::{
    Capabilities, DataDriver, Error, FlavorName, JsonObject, Page, PageLimit, Pool, PoolName,
    UpdatePool,
};

use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;

use super::Pools;
use super::opener::PoolAddress;

/// A pool as an administrator asks for it.
#[derive(Debug, Clone)]
pub struct NewPool {
    /// Its name.
    pub name: PoolName,
    /// Where its data store is.
    pub uri: String,
    /// Its share of new queues; 0: none.
    pub weight: u32,
    /// The flavor it belongs to.
    pub flavor: Option<FlavorName>,
    /// Options of its driver.
    pub options: JsonObject,
}

/// What an administrator changes of a pool; `None` leaves it as it is.
#[derive(Debug, Clone, Default)]
pub struct ChangePool {
    /// Another place.
    pub uri: Option<String>,
    /// Another weight.
    pub weight: Option<u32>,
    /// Another flavor; `Some(None)` clears it.
    pub flavor: Option<Option<FlavorName>>,
    /// Other options, as a whole.
    pub options: Option<JsonObject>,
}

impl Engine {
    /// The pools; `Unsupported` without.
    pub(super) fn pools_required(&self) -> EngineResult<&Pools> {
        self.pools().ok_or(EngineError::NoPooling)
    }

    /// Stores a pool, replacing one of the same name, once its data store was opened.
    ///
    /// # Errors
    /// `PoolUnreachable` if the store cannot be opened, `PoolHoldsQueues` if a pool of that name
    /// holds queues that are not found at the new place; `PoolUriInUse`,
    /// `PoolCapabilitiesMismatch`; `NoPooling`; the control store's.
    pub async fn pool_put(&self, pool: NewPool) -> EngineResult<()> {
        let pools = self.pools_required()?.clone();
        let call = Call::write("pool_put");
        self.detached(call, async move {
            let NewPool { name, uri, weight, flavor, options } = pool;
            let address = PoolAddress { uri: uri.clone(), options: options.clone() };
            let before = pools.pool(&name).await?;
            let capabilities = pools.probe(&name, before.as_ref(), &address).await?;
            let pool = Pool { name, weight, uri, flavor, options, capabilities };
            pools.0.control.pools().pool_put(pool).await?;
            pools.renew().await;
            Ok(())
        })
        .await
    }

    /// Reads a pool.
    ///
    /// # Errors
    /// `PoolNotFound`; `NoPooling`; the control store's.
    pub async fn pool_get(&self, name: &PoolName) -> EngineResult<Pool> {
        let pools = self.pools_required()?.0.control.pools();
        self.in_time(Call::read("pool_get"), pools.pool_get(name)).await
    }

    /// Lists pools, ascending by name.
    ///
    /// # Errors
    /// `NoPooling`; the control store's.
    pub async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: PageLimit,
    ) -> EngineResult<Page<Pool, PoolName>> {
        let pools = self.pools_required()?.0.control.pools();
        self.in_time(Call::read("pool_list"), pools.pool_list(marker, Some(limit))).await
    }

    /// Changes a pool and returns it as it is then.
    ///
    /// # Errors
    /// `PoolNotFound`, and as for [`Engine::pool_put`]; `Invalid` if nothing is to change.
    pub async fn pool_update(&self, name: &PoolName, changes: ChangePool) -> EngineResult<Pool> {
        let (pools, name) = (self.pools_required()?.clone(), name.clone());
        self.detached(Call::write("pool_update"), async move {
            let before = pools.0.control.pools().pool_get(&name).await?;
            let ChangePool { uri, weight, flavor, options } = changes;
            let mut update = UpdatePool::new();
            if uri.is_some() || options.is_some() {
                let address = PoolAddress {
                    uri: uri.clone().unwrap_or_else(|| before.uri.clone()),
                    options: options.clone().unwrap_or_else(|| before.options.clone()),
                };
                let capabilities = pools.probe(&name, Some(&before), &address).await?;
                update.uri = uri.map(|uri| (uri, capabilities));
            }
            (update.weight, update.flavor, update.options) = (weight, flavor, options);
            pools.0.control.pools().pool_update(&name, update).await?;
            pools.renew().await;
            Ok(pools.0.control.pools().pool_get(&name).await?)
        })
        .await
    }

    /// Removes a pool that holds no queue; silent if it is not there. Its data store is left alone.
    ///
    /// # Errors
    /// `PoolHoldsQueues`; `PoolInUse` if it is the last of its flavor; `NoPooling`; the control
    /// store's.
    pub async fn pool_delete(&self, name: &PoolName) -> EngineResult<()> {
        let (pools, name) = (self.pools_required()?.clone(), name.clone());
        self.detached(Call::write("pool_delete"), async move { pools.remove(&name).await }).await
    }
}

impl Pools {
    async fn pool(&self, name: &PoolName) -> EngineResult<Option<Pool>> {
        match self.0.control.pools().pool_get(name).await {
            Ok(pool) => Ok(Some(pool)),
            Err(Error::PoolNotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the store at `address` to see what it can do, and lets go of it again. If the pool is
    /// at another place now, its queues must be found there: a new name of the same store is fine.
    async fn probe(
        &self,
        name: &PoolName,
        before: Option<&Pool>,
        address: &PoolAddress,
    ) -> EngineResult<Capabilities> {
        let opened = self.0.connections.opener().open(address).await;
        let opened = opened.map_err(|error| {
            tracing::warn!(pool = %name, %error, "the store of a pool cannot be opened");
            EngineError::PoolUnreachable
        })?;
        let moves =
            before.is_some_and(|pool| pool.uri != address.uri || pool.options != address.options);
        let found = if moves { self.has_queues(name, &*opened.data).await } else { Ok(true) };
        let capabilities = opened.data.capabilities();
        opened.data.close().await;
        if found? { Ok(capabilities) } else { Err(holds_queues(name)) }
    }

    /// Whether the first queues of a pool are in this store.
    async fn has_queues(&self, name: &PoolName, data: &dyn DataDriver) -> EngineResult<bool> {
        let held = self.0.control.catalogue();
        let held = held.catalogue_list_by_pool(name, None, PageLimit::default()).await?;
        for entry in held.items {
            match data.heads().head_get(&entry.queue).await {
                Ok(_) => {}
                Err(Error::QueueGone { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// The pool goes first and its queues are looked for afterwards; whoever places a queue does it
    /// the other way round, so that one of the two notices.
    async fn remove(&self, name: &PoolName) -> EngineResult<()> {
        let Some(pool) = self.pool(name).await? else { return Ok(()) };
        if self.holds_queues(name).await? {
            return Err(holds_queues(name));
        }
        self.0.control.pools().pool_delete(name).await?;
        if self.holds_queues(name).await? {
            self.0.control.pools().pool_put(pool).await?;
            return Err(holds_queues(name));
        }
        self.renew().await;
        self.0.connections.forget(name).await;
        Ok(())
    }

    pub(super) async fn holds_queues(&self, name: &PoolName) -> EngineResult<bool> {
        let catalogue = self.0.control.catalogue();
        let one = PageLimit::new(1).map_err(Error::from)?;
        if !catalogue.catalogue_list_by_pool(name, None, one).await?.items.is_empty() {
            return Ok(true);
        }
        let mut marker = None;
        loop {
            let page = catalogue.catalogue_list_moving(marker, PageLimit::default()).await?;
            if page.items.iter().any(|entry| entry.source.as_ref() == Some(name)) {
                return Ok(true);
            }
            if page.items.is_empty() {
                return Ok(false);
            }
            marker = page.next;
        }
    }

    /// Lets this head see at once what it changed; others do within the life of what they remember.
    async fn renew(&self) {
        self.0.listing.forget().await;
        self.0.places.invalidate_all();
    }
}

fn holds_queues(name: &PoolName) -> EngineError {
    EngineError::PoolHoldsQueues { name: name.clone() }
}
