//! One pool by itself, to see whether it works.

use std::sync::Arc;

use zaqar_core::{Error, PoolName};

use crate::engine::{Engine, Stores};
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;
use crate::health::StoreHealth;

impl Engine {
    /// The names of all pools, ascending, as the control store has them now.
    ///
    /// # Errors
    /// `NoPooling`; the control store's.
    pub async fn pool_names(&self) -> EngineResult<Vec<PoolName>> {
        let pools = self.pools_required()?.0.control.pools();
        let page = self.in_time(Call::read("pool_list"), pools.pool_list(None, None)).await?;
        Ok(page.items.into_iter().map(|pool| pool.name).collect())
    }

    /// An engine that works in one pool alone, whatever its weight and its flavor: to try the pool.
    /// It has no stages, and what its store may lose it refuses as every engine does.
    ///
    /// The catalogue learns nothing of its queues, so that one left behind does not keep the pool
    /// from being removed; no other engine finds them. It must not be shut down: the stores belong
    /// to this one.
    ///
    /// # Errors
    /// `PoolNotFound`; `PoolUnreachable` if its store does not answer; `NoPooling`; the control
    /// store's.
    pub async fn in_pool(&self, name: &PoolName) -> EngineResult<Self> {
        let pools = self.pools_required()?;
        let Some(pool) = self.in_time(Call::read("pool_get"), pools.find(name)).await? else {
            return Err(Error::PoolNotFound { name: name.clone() }.into());
        };
        let connection = pools.0.connections.get(&pool);
        let opened = self.in_time(Call::read("pool_open"), connection).await;
        let connection = opened.map_err(|_told_already| EngineError::PoolUnreachable)?;
        let answer = self.in_time(Call::read("health"), connection.data.health()).await;
        let health = StoreHealth::new(connection.data.info(), answer);
        if !health.reachable {
            return Err(EngineError::PoolUnreachable);
        }
        let stores = Stores::new(Arc::clone(&pools.0.control), Arc::clone(&connection.data));
        let alone = Self::new(stores, Arc::clone(self.clock()), self.config().clone());
        alone.inner().watch.note(&health, self.config().unreliable);
        Ok(alone)
    }
}
