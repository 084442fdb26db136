//! Pools.

use async_trait::async_trait;
use zaqar_core::{
    Error, FlavorName, Page, PageLimit, Pool, PoolController, PoolName, Result, UpdatePool,
};

use crate::node::Node;
use crate::record::{Pool as StoredPool, Record};
use crate::state::State;

#[async_trait]
impl PoolController for Node {
    async fn pool_put(&self, pool: Pool) -> Result<()> {
        self.step("pool_put", |state, _| Ok((vec![put(state, pool)?], ()))).await
    }

    async fn pool_get(&self, name: &PoolName) -> Result<Pool> {
        self.read("pool_get", |state, _| Ok(find(state, name)?.show(name))).await
    }

    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        self.read("pool_list", |state, _| {
            let pools = state.pools.iter();
            let after = pools.filter(|(name, _)| marker.is_none_or(|marker| *name > marker));
            let items = after.take(limit.map_or(usize::MAX, PageLimit::as_usize));
            let items = items.map(|(name, pool)| pool.show(name)).collect();
            Ok(Page::of(items, |pool: &Pool| pool.name.clone()))
        })
        .await
    }

    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>> {
        self.read("pool_list_by_flavor", |state, _| {
            let pools = state.pools.iter().filter(|(_, pool)| pool.flavor.as_ref() == flavor);
            Ok(pools.map(|(name, pool)| pool.show(name)).collect())
        })
        .await
    }

    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()> {
        self.step("pool_update", |state, _| {
            let UpdatePool { weight, uri, flavor, options, .. } = changes;
            if weight.is_none() && uri.is_none() && flavor.is_none() && options.is_none() {
                let reason = "has nothing to change".to_owned();
                return Err(Error::Invalid { field: "pool", reason });
            }
            let mut pool = find(state, name)?.show(name);
            pool.weight = weight.unwrap_or(pool.weight);
            if let Some((uri, capabilities)) = uri {
                (pool.uri, pool.capabilities) = (uri, capabilities);
            }
            pool.flavor = flavor.unwrap_or(pool.flavor);
            pool.options = options.unwrap_or(pool.options);
            Ok((vec![put(state, pool)?], ()))
        })
        .await
    }

    async fn pool_delete(&self, name: &PoolName) -> Result<()> {
        self.step("pool_delete", |state, _| {
            let Some(pool) = state.pools.get(name) else { return Ok((Vec::new(), ())) };
            let same = state.pools.values().filter(|other| other.flavor == pool.flavor);
            if let Some(flavor) = pool.flavor.clone().filter(|_| same.count() == 1) {
                return Err(Error::PoolInUse { name: name.clone(), flavor });
            }
            Ok((vec![Record::Pool(name.clone(), None)], ()))
        })
        .await
    }

    async fn pool_delete_all(&self) -> Result<()> {
        self.step("pool_delete_all", |state, _| {
            Ok((state.pools.keys().map(|name| Record::Pool(name.clone(), None)).collect(), ()))
        })
        .await
    }
}

impl StoredPool {
    fn show(&self, name: &PoolName) -> Pool {
        Pool {
            name: name.clone(),
            weight: self.weight,
            uri: self.uri.clone(),
            flavor: self.flavor.clone(),
            options: self.options.clone(),
            capabilities: self.capabilities.clone(),
        }
    }
}

fn find<'s>(state: &'s State, name: &PoolName) -> Result<&'s StoredPool> {
    state.pools.get(name).ok_or_else(|| Error::PoolNotFound { name: name.clone() })
}

/// A pool's record, if no other pool stands in its way.
fn put(state: &State, pool: Pool) -> Result<Record> {
    let Pool { name, weight, uri, flavor, options, capabilities } = pool;
    let new = StoredPool { weight, uri, flavor, options, capabilities };
    for (_, other) in state.pools.iter().filter(|(other, _)| **other != name) {
        if other.uri == new.uri {
            return Err(Error::PoolUriInUse);
        }
        if other.flavor == new.flavor && other.capabilities != new.capabilities {
            return Err(Error::PoolCapabilitiesMismatch);
        }
    }
    Ok(Record::Pool(name, Some(new)))
}
