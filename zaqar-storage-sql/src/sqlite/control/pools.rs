//! Pools.

use async_trait::async_trait;
use zaqar_core::{
    Error, FlavorName, Page, PageLimit, Pool, PoolController, PoolName, Result, UpdatePool,
};

use crate::error::{Failure, damaged};
use crate::sqlite::driver::SqliteControl;
use crate::sqlite::reader::failed;
use crate::sqlite::statement::{Row, Statement, query};
use crate::sqlite::step::Step;
use crate::sqlite::task::Task;

use super::{from_text, to_text};

const SELECT_ONE: &str =
    "SELECT name, weight, uri, flavor, options, capabilities FROM pools WHERE name = ?";

fn pool(row: &Row) -> Result<Pool, sqlx::Error> {
    let bad = |_| damaged("pool");
    let flavor: Option<&str> = row.try_get(3)?;
    Ok(Pool {
        name: PoolName::new(row.try_get::<&str>(0)?).map_err(bad)?,
        weight: u32::try_from(row.try_get::<i64>(1)?).unwrap_or(0),
        uri: row.try_get(2)?,
        flavor: flavor.map(FlavorName::new).transpose().map_err(bad)?,
        options: from_text(row.try_get(4)?, "pool options")?,
        capabilities: from_text(row.try_get(5)?, "pool capabilities")?,
    })
}

fn missing(name: &PoolName) -> Error {
    Error::PoolNotFound { name: name.clone() }
}

async fn find(step: &mut Step<'_>, name: &PoolName) -> Result<Option<Pool>, sqlx::Error> {
    let select = query(SELECT_ONE).bind(name.to_string());
    step.row(select).await?.map(|row| pool(&row)).transpose()
}

/// Stores a pool under the rules: no two share a URI, and a flavor's pools are of one ability.
async fn store(step: &mut Step<'_>, new: &Pool) -> Result<(), Failure> {
    let taken = query("SELECT 1 FROM pools WHERE uri = ? AND name <> ?")
        .bind(new.uri.clone())
        .bind(new.name.to_string());
    if step.row(taken).await?.is_some() {
        return Err(Error::PoolUriInUse.into());
    }
    let flavor = new.flavor.as_ref().map(ToString::to_string);
    let peer = query(
        "SELECT capabilities FROM pools WHERE flavor IS ? AND name <> ? ORDER BY name LIMIT 1",
    )
    .bind(flavor.clone())
    .bind(new.name.to_string());
    if let Some(row) = step.row(peer).await? {
        let theirs: zaqar_core::Capabilities = from_text(row.try_get(0)?, "pool capabilities")?;
        if theirs != new.capabilities {
            return Err(Error::PoolCapabilitiesMismatch.into());
        }
    }
    let put = query(
        "INSERT OR REPLACE INTO pools (name, weight, uri, flavor, options, capabilities) \
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(new.name.to_string())
    .bind(i64::from(new.weight))
    .bind(new.uri.clone())
    .bind(flavor)
    .bind(to_text(&new.options)?)
    .bind(to_text(&new.capabilities)?);
    step.execute(put).await?;
    Ok(())
}

#[derive(Debug)]
struct Put(Pool);

#[async_trait]
impl Task for Put {
    type Output = ();
    const OPERATION: &'static str = "pool_put";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
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
        let Some(pool) = find(step, &self.0).await? else { return Ok(()) };
        if let Some(flavor) = pool.flavor {
            let peer = query("SELECT 1 FROM pools WHERE flavor = ? AND name <> ?")
                .bind(flavor.to_string())
                .bind(self.0.to_string());
            if step.row(peer).await?.is_none() {
                return Err(Error::PoolInUse { name: self.0.clone(), flavor }.into());
            }
        }
        let delete = query("DELETE FROM pools WHERE name = ?").bind(self.0.to_string());
        step.execute(delete).await?;
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
        step.execute(query("DELETE FROM pools")).await?;
        Ok(())
    }
}

impl SqliteControl {
    async fn read_pools(&self, operation: &'static str, select: Statement) -> Result<Vec<Pool>> {
        let rows = self.store.reader.rows(operation, select).await?;
        let pools: Result<Vec<_>, _> = rows.iter().map(pool).collect();
        pools.map_err(|error| failed(operation, error))
    }
}

#[async_trait]
impl PoolController for SqliteControl {
    async fn pool_put(&self, pool: Pool) -> Result<()> {
        self.store.run(None, Put(pool)).await
    }

    async fn pool_get(&self, name: &PoolName) -> Result<Pool> {
        let select = query(SELECT_ONE).bind(name.to_string());
        let found = self.read_pools("pool_get", select).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        let select = query(
            "SELECT name, weight, uri, flavor, options, capabilities FROM pools \
             WHERE name > ? ORDER BY name LIMIT ?",
        )
        .bind(marker.map(ToString::to_string).unwrap_or_default())
        // A negative limit is no limit.
        .bind(limit.map_or(-1, |limit| i64::from(limit.get())));
        let pools = self.read_pools("pool_list", select).await?;
        Ok(Page::of(pools, |pool| pool.name.clone()))
    }

    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>> {
        let select = query(
            "SELECT name, weight, uri, flavor, options, capabilities FROM pools \
             WHERE flavor IS ? ORDER BY name",
        )
        .bind(flavor.map(ToString::to_string));
        self.read_pools("pool_list_by_flavor", select).await
    }

    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()> {
        self.store.run(None, Update { name: name.clone(), changes }).await
    }

    async fn pool_delete(&self, name: &PoolName) -> Result<()> {
        self.store.run(None, Delete(name.clone())).await
    }

    async fn pool_delete_all(&self) -> Result<()> {
        self.store.run(None, DeleteAll).await
    }
}
