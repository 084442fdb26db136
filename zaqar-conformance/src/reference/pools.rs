//! Pools.

use async_trait::async_trait;
use zaqar_core::{
    Error, FlavorName, Page, PageLimit, Pool, PoolController, PoolName, Result, UpdatePool,
};

use super::driver::ReferenceControl;
use super::state::State;

#[async_trait]
impl PoolController for ReferenceControl {
    async fn pool_put(&self, pool: Pool) -> Result<()> {
        self.step("pool_put", |state| state.put_pool(pool)).await
    }

    async fn pool_get(&self, name: &PoolName) -> Result<Pool> {
        self.step("pool_get", |state| state.pool(name).cloned()).await
    }

    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        self.step("pool_list", |state| {
            let after = |pool: &&Pool| marker.is_none_or(|marker| pool.name > *marker);
            let limit = limit.map_or(usize::MAX, PageLimit::as_usize);
            let items = state.pools.values().filter(after).take(limit).cloned().collect();
            Ok(Page::of(items, |pool: &Pool| pool.name.clone()))
        })
        .await
    }

    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>> {
        self.step("pool_list_by_flavor", |state| {
            let of_flavor = |pool: &&Pool| pool.flavor.as_ref() == flavor;
            Ok(state.pools.values().filter(of_flavor).cloned().collect())
        })
        .await
    }

    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()> {
        self.step("pool_update", |state| {
            let UpdatePool { weight, uri, flavor, options, .. } = changes;
            if weight.is_none() && uri.is_none() && flavor.is_none() && options.is_none() {
                let reason = "has nothing to change".to_owned();
                return Err(Error::Invalid { field: "pool", reason });
            }
            let mut pool = state.pool(name)?.clone();
            pool.weight = weight.unwrap_or(pool.weight);
            if let Some((uri, capabilities)) = uri {
                pool.uri = uri;
                pool.capabilities = capabilities;
            }
            pool.flavor = flavor.unwrap_or(pool.flavor);
            pool.options = options.unwrap_or(pool.options);
            state.put_pool(pool)
        })
        .await
    }

    async fn pool_delete(&self, name: &PoolName) -> Result<()> {
        self.step("pool_delete", |state| {
            let Some(flavor) = state.pools.get(name).map(|pool| pool.flavor.clone()) else {
                return Ok(());
            };
            let of_flavor = |pool: &&Pool| pool.flavor == flavor;
            let last = state.pools.values().filter(of_flavor).count() == 1;
            match flavor {
                Some(flavor) if last => Err(Error::PoolInUse { name: name.clone(), flavor }),
                _ => {
                    state.pools.remove(name);
                    Ok(())
                }
            }
        })
        .await
    }

    async fn pool_delete_all(&self) -> Result<()> {
        self.step("pool_delete_all", |state| {
            state.pools.clear();
            Ok(())
        })
        .await
    }
}

impl State {
    fn pool(&self, name: &PoolName) -> Result<&Pool> {
        self.pools.get(name).ok_or_else(|| Error::PoolNotFound { name: name.clone() })
    }

    fn put_pool(&mut self, pool: Pool) -> Result<()> {
        let others = || self.pools.values().filter(|other| other.name != pool.name);
        if others().any(|other| other.uri == pool.uri) {
            return Err(Error::PoolUriInUse);
        }
        let differs =
            |other: &Pool| other.flavor == pool.flavor && other.capabilities != pool.capabilities;
        if others().any(differs) {
            return Err(Error::PoolCapabilitiesMismatch);
        }
        self.pools.insert(pool.name.clone(), pool);
        Ok(())
    }
}
