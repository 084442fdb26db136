//! The list of pools, remembered for as long as routes are.

use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use zaqar_core::{Effect, Error, Pool, PoolController, PoolName, Result};

use super::Pools;

/// What is remembered of the control plane's list.
#[derive(Debug)]
pub(super) struct Listing(Cache<(), Arc<Vec<Pool>>>);

impl Listing {
    pub(super) fn new(ttl: Duration) -> Self {
        Self(Cache::builder().max_capacity(1).time_to_live(ttl).build())
    }

    /// The list; concurrent callers share one read of the control store.
    async fn get(&self, pools: &dyn PoolController) -> Result<Arc<Vec<Pool>>> {
        if let Some(known) = self.0.get(&()).await {
            return Ok(known);
        }
        let read = async { Ok(Arc::new(pools.pool_list(None, None).await?.items)) };
        self.0.try_get_with((), read).await.map_err(|error: Arc<Error>| {
            let retry = error.retry();
            Error::backend("pool_list", Effect::None, retry, error)
        })
    }

    pub(super) async fn forget(&self) {
        self.0.invalidate(&()).await;
    }
}

impl Pools {
    /// All pools, as they were a moment ago.
    pub(super) async fn all(&self) -> Result<Arc<Vec<Pool>>> {
        self.0.listing.get(self.0.control.pools()).await
    }

    /// The pool of that name, `None` if there is none.
    pub(super) async fn find(&self, name: &PoolName) -> Result<Option<Pool>> {
        if let Some(known) = self.all().await?.iter().find(|pool| pool.name == *name) {
            return Ok(Some(known.clone()));
        }
        // It may be younger than the list.
        match self.0.control.pools().pool_get(name).await {
            Ok(pool) => {
                self.0.listing.forget().await;
                Ok(Some(pool))
            }
            Err(Error::PoolNotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
