//! Pools.

use async_trait::async_trait;
use mongodb::bson::{Bson, doc};
use serde::Deserialize;
use zaqar_core::{
    Error, FlavorName, Page, PageLimit, Pool, PoolController, PoolName, Result, UpdatePool,
};

use crate::barrier::Place;
use crate::driver::MongoControl;
use crate::error::{Failure, NativeResult, damaged, failed};
use crate::query::Query;
use crate::schema::{META, POOLS};
use crate::step::Step;
use crate::task::Task;

use super::{from_text, to_text};

/// The lock of all changes to pools: their rules look at several at once.
const LOCK: &str = "pools";

#[derive(Debug, Deserialize)]
struct Row {
    #[serde(rename = "_id")]
    name: String,
    weight: i64,
    uri: String,
    flavor: Option<String>,
    options: String,
    capabilities: String,
}

impl Row {
    fn pool(&self) -> NativeResult<Pool> {
        let bad = |_| damaged("pool");
        Ok(Pool {
            name: PoolName::new(&self.name).map_err(bad)?,
            weight: u32::try_from(self.weight).unwrap_or(0),
            uri: self.uri.clone(),
            flavor: self.flavor.as_ref().map(FlavorName::new).transpose().map_err(bad)?,
            options: from_text(&self.options, "pool options")?,
            capabilities: from_text(&self.capabilities, "pool capabilities")?,
        })
    }
}

fn missing(name: &PoolName) -> Error {
    Error::PoolNotFound { name: name.clone() }
}

fn flavor_code(flavor: Option<&FlavorName>) -> Bson {
    flavor.map_or(Bson::Null, |flavor| Bson::from(flavor.as_str()))
}

/// Serializes with every other change of pools.
async fn lock(step: &mut Step<'_>) -> NativeResult<()> {
    let held = step.update(META, doc! { "_id": LOCK }, doc! { "$inc": { "changes": 1_i64 } });
    if held.await? == 0 {
        step.insert_one(META, doc! { "_id": LOCK, "changes": 1_i64 }).await?;
    }
    Ok(())
}

async fn find(step: &mut Step<'_>, name: &PoolName) -> NativeResult<Option<Pool>> {
    let rows: Vec<Row> = step.find(POOLS, Query::id(name.as_str())).await?;
    rows.first().map(Row::pool).transpose()
}

/// Another pool of a flavor, or without one.
async fn peer(
    step: &mut Step<'_>,
    flavor: Option<&FlavorName>,
    name: &PoolName,
) -> NativeResult<Option<Pool>> {
    let filter = doc! { "flavor": flavor_code(flavor), "_id": { "$ne": name.as_str() } };
    let query = Query::of(filter).by("by_flavor").limit(1);
    let rows: Vec<Row> = step.find(POOLS, query).await?;
    rows.first().map(Row::pool).transpose()
}

/// Stores a pool under the rules: no two share a URI, and a flavor's pools are of one ability.
async fn store(step: &mut Step<'_>, new: &Pool) -> Result<(), Failure> {
    let taken = doc! { "uri": new.uri.as_str(), "_id": { "$ne": new.name.as_str() } };
    let taken: Vec<Row> = step.find(POOLS, Query::of(taken).by("by_uri")).await?;
    if !taken.is_empty() {
        return Err(Error::PoolUriInUse.into());
    }
    if let Some(peer) = peer(step, new.flavor.as_ref(), &new.name).await?
        && peer.capabilities != new.capabilities
    {
        return Err(Error::PoolCapabilitiesMismatch.into());
    }
    let row = doc! {
        "_id": new.name.as_str(),
        "weight": i64::from(new.weight),
        "uri": new.uri.as_str(),
        "flavor": flavor_code(new.flavor.as_ref()),
        "options": to_text(&new.options)?,
        "capabilities": to_text(&new.capabilities)?,
    };
    step.put(POOLS, new.name.as_str(), row).await?;
    Ok(())
}

#[derive(Debug)]
struct Put(Pool);

#[async_trait]
impl Task for Put {
    type Output = ();
    const OPERATION: &'static str = "pool_put";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        lock(step).await?;
        store(step, &self.0).await
    }
}

#[derive(Debug)]
struct Update {
    name: PoolName,
    changes: UpdatePool,
}

#[async_trait]
impl Task for Update {
    type Output = ();
    const OPERATION: &'static str = "pool_update";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let changes = self.changes.clone();
        if changes.weight.is_none()
            && changes.uri.is_none()
            && changes.flavor.is_none()
            && changes.options.is_none()
        {
            let reason = "needs a weight, a uri, a flavor or options".to_owned();
            return Err(Error::Invalid { field: "pool", reason }.into());
        }
        lock(step).await?;
        let mut pool = find(step, &self.name).await?.ok_or_else(|| missing(&self.name))?;
        pool.weight = changes.weight.unwrap_or(pool.weight);
        pool.flavor = changes.flavor.unwrap_or(pool.flavor);
        pool.options = changes.options.unwrap_or(pool.options);
        if let Some((uri, capabilities)) = changes.uri {
            pool.uri = uri;
            pool.capabilities = capabilities;
        }
        store(step, &pool).await
    }
}

#[derive(Debug)]
struct Delete(PoolName);

#[async_trait]
impl Task for Delete {
    type Output = ();
    const OPERATION: &'static str = "pool_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        lock(step).await?;
        let Some(pool) = find(step, &self.0).await? else { return Ok(()) };
        if let Some(flavor) = pool.flavor
            && peer(step, Some(&flavor), &self.0).await?.is_none()
        {
            return Err(Error::PoolInUse { name: self.0.clone(), flavor }.into());
        }
        step.delete(POOLS, doc! { "_id": self.0.as_str() }).await?;
        Ok(())
    }
}

#[derive(Debug)]
struct DeleteAll;

#[async_trait]
impl Task for DeleteAll {
    type Output = ();
    const OPERATION: &'static str = "pool_delete_all";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        lock(step).await?;
        step.delete(POOLS, doc! {}).await?;
        Ok(())
    }
}

impl MongoControl {
    async fn read_pools(&self, operation: &'static str, query: Query) -> Result<Vec<Pool>> {
        self.handle.store.abandoned.settle(None).await;
        let view = self.handle.store.view(operation, Place::Rest).await?;
        let rows: Vec<Row> = view.find(POOLS, query).await?;
        let pools: NativeResult<Vec<_>> = rows.iter().map(Row::pool).collect();
        pools.map_err(|error| failed(operation, &error))
    }
}

#[async_trait]
impl PoolController for MongoControl {
    async fn pool_put(&self, pool: Pool) -> Result<()> {
        self.handle.run(None, Put(pool)).await
    }

    async fn pool_get(&self, name: &PoolName) -> Result<Pool> {
        let found = self.read_pools("pool_get", Query::id(name.as_str())).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        let after = marker.map(PoolName::as_str).unwrap_or_default();
        let query = Query::of(doc! { "_id": { "$gt": after } }).by("_id_").sort(doc! { "_id": 1 });
        let query = match limit {
            Some(limit) => query.limit(i64::from(limit.get())),
            None => query,
        };
        let pools = self.read_pools("pool_list", query).await?;
        Ok(Page::of(pools, |pool| pool.name.clone()))
    }

    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>> {
        let query = Query::of(doc! { "flavor": flavor_code(flavor) }).by("by_flavor");
        self.read_pools("pool_list_by_flavor", query.sort(doc! { "_id": 1 })).await
    }

    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()> {
        self.handle.run(None, Update { name: name.clone(), changes }).await
    }

    async fn pool_delete(&self, name: &PoolName) -> Result<()> {
        self.handle.run(None, Delete(name.clone())).await
    }

    async fn pool_delete_all(&self) -> Result<()> {
        self.handle.run(None, DeleteAll).await
    }
}
