//! Pools.

use async_trait::async_trait;

use zaqar_core::{
    Error, FlavorName, Page, PageLimit, Pool, PoolController, PoolName, Result, UpdatePool,
};

use crate::error::{Failure, damaged};
use crate::mysql::driver::MyControl;
use crate::mysql::row::SqlRow;
use crate::mysql::sql::{Sql, sql};
use crate::mysql::step::Step;
use crate::mysql::task::Task;
use crate::mysql::told::Told;

use super::{from_text, to_text};

const SELECT_ONE: &str =
    "SELECT name, weight, uri, flavor, options, capabilities FROM pools WHERE name = $1";

fn pool(row: &SqlRow) -> Result<Pool, sqlx::Error> {
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
    let select = sql(SELECT_ONE).bind(name.to_string());
    step.row(select).await?.map(|row| pool(&row)).transpose()
}

/// Pools are few and rarely changed: one change at a time, so that the rules hold among them all.
async fn lock(step: &mut Step<'_>) -> Result<(), sqlx::Error> {
    step.row(sql("SELECT 1 FROM store WHERE only_one = 1 FOR UPDATE")).await.map(drop)
}

/// Stores a pool under the rules: no two share a URI, and a flavor's pools are of one ability.
async fn store(step: &mut Step<'_>, new: &Pool) -> Result<(), Failure> {
    lock(step).await?;
    let taken = sql("SELECT 1 FROM pools WHERE uri = $1 AND name <> $2")
        .bind(new.uri.clone())
        .bind(new.name.to_string());
    if step.row(taken).await?.is_some() {
        return Err(Error::PoolUriInUse.into());
    }
    let flavor = new.flavor.as_ref().map(ToString::to_string);
    let peer = sql(
        "SELECT capabilities FROM pools WHERE flavor <=> $1 AND name <> $2 ORDER BY name LIMIT 1",
    )
    .bind(flavor.clone())
    .bind(new.name.to_string());
    if let Some(row) = step.row(peer).await? {
        let theirs: zaqar_core::Capabilities = from_text(row.try_get(0)?, "pool capabilities")?;
        if theirs != new.capabilities {
            return Err(Error::PoolCapabilitiesMismatch.into());
        }
    }
    let put = sql("INSERT INTO pools (name, weight, uri, flavor, options, capabilities) \
         VALUES ($1, $2, $3, $4, $5, $6) ON DUPLICATE KEY UPDATE \
           weight = VALUES(weight), uri = VALUES(uri), flavor = VALUES(flavor), \
           options = VALUES(options), capabilities = VALUES(capabilities)")
    .bind(new.name.to_string())
    .bind(i64::from(new.weight))
    .bind(new.uri.clone())
    .bind(flavor)
    .bind(to_text(&new.options)?)
    .bind(to_text(&new.capabilities)?);
    step.later(put)?;
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
        if let Some(flavor) = pool.flavor {
            let peer = sql("SELECT 1 FROM pools WHERE flavor = $1 AND name <> $2")
                .bind(flavor.to_string())
                .bind(self.0.to_string());
            if step.row(peer).await?.is_none() {
                return Err(Error::PoolInUse { name: self.0.clone(), flavor }.into());
            }
        }
        let delete = sql("DELETE FROM pools WHERE name = $1").bind(self.0.to_string());
        step.later(delete)?;
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
        step.later(sql("DELETE FROM pools"))?;
        Ok(())
    }
}

impl MyControl {
    async fn read_pools(&self, operation: &'static str, select: Sql) -> Result<Vec<Pool>> {
        let rows = self.rows(operation, None, select).await?;
        rows.iter().map(pool).collect::<Result<_, _>>().told(operation)
    }
}

#[async_trait]
impl PoolController for MyControl {
    async fn pool_put(&self, pool: Pool) -> Result<()> {
        self.run(None, Put(pool)).await
    }

    async fn pool_get(&self, name: &PoolName) -> Result<Pool> {
        let select = sql(SELECT_ONE).bind(name.to_string());
        let found = self.read_pools("pool_get", select).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        let select = sql("SELECT name, weight, uri, flavor, options, capabilities FROM pools \
             WHERE name > $1 ORDER BY name LIMIT $2")
        .bind(marker.map(ToString::to_string).unwrap_or_default())
        .bind(limit.map_or(i64::MAX, |limit| i64::from(limit.get())));
        let pools = self.read_pools("pool_list", select).await?;
        Ok(Page::of(pools, |pool| pool.name.clone()))
    }

    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>> {
        let select = sql("SELECT name, weight, uri, flavor, options, capabilities FROM pools \
             WHERE flavor <=> $1 ORDER BY name")
        .bind(flavor.map(ToString::to_string));
        self.read_pools("pool_list_by_flavor", select).await
    }

    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()> {
        self.run(None, Update { name: name.clone(), changes }).await
    }

    async fn pool_delete(&self, name: &PoolName) -> Result<()> {
        self.run(None, Delete(name.clone())).await
    }

    async fn pool_delete_all(&self) -> Result<()> {
        self.run(None, DeleteAll).await
    }
}
