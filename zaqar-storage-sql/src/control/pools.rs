//! Pools.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Error, FlavorName, Page, PageLimit, Pool, PoolController, PoolName, Result,
    UpdatePool,
};

use crate::dialect::{Columns, Steps, Task, Text};
use crate::error::{Failure, damaged};
use crate::statement::statement;

use super::{Control, ControlStore, from_text, to_text};

const SELECT_ONE: &str =
    "SELECT name, weight, uri, flavor, options, capabilities FROM pools WHERE name = $1";

/// Pools are few and rarely changed: one change at a time, so that the rules hold among them all.
/// SQLite has one writer anyway.
const LOCK: Text = Text {
    postgres: "LOCK TABLE pools IN SHARE ROW EXCLUSIVE MODE",
    mysql: "SELECT 1 FROM store WHERE only_one = 1 FOR UPDATE",
    sqlite: "SELECT 1",
};

/// Another pool of a flavor, or of none.
const SELECT_PEER: Text = Text {
    postgres: "SELECT capabilities FROM pools WHERE flavor IS NOT DISTINCT FROM $1 AND name <> $2 \
         ORDER BY name LIMIT 1",
    mysql: "SELECT capabilities FROM pools WHERE flavor <=> $1 AND name <> $2 ORDER BY name LIMIT 1",
    sqlite: "SELECT capabilities FROM pools WHERE flavor IS $1 AND name <> $2 ORDER BY name LIMIT 1",
};

macro_rules! put {
    ($or_else:literal) => {
        concat!(
            "INSERT INTO pools (name, weight, uri, flavor, options, capabilities) \
             VALUES ($1, $2, $3, $4, $5, $6) ",
            $or_else
        )
    };
}

const PUT: Text = Text {
    postgres: put!(
        "ON CONFLICT (name) DO UPDATE SET weight = excluded.weight, uri = excluded.uri, \
           flavor = excluded.flavor, options = excluded.options, \
           capabilities = excluded.capabilities"
    ),
    mysql: put!(
        "ON DUPLICATE KEY UPDATE weight = VALUES(weight), uri = VALUES(uri), \
           flavor = VALUES(flavor), options = VALUES(options), capabilities = VALUES(capabilities)"
    ),
    sqlite: put!(
        "ON CONFLICT (name) DO UPDATE SET weight = excluded.weight, uri = excluded.uri, \
           flavor = excluded.flavor, options = excluded.options, \
           capabilities = excluded.capabilities"
    ),
};

const LIST_BY_FLAVOR: Text = Text {
    postgres: "SELECT name, weight, uri, flavor, options, capabilities FROM pools \
         WHERE flavor IS NOT DISTINCT FROM $1 ORDER BY name",
    mysql: "SELECT name, weight, uri, flavor, options, capabilities FROM pools \
         WHERE flavor <=> $1 ORDER BY name",
    sqlite: "SELECT name, weight, uri, flavor, options, capabilities FROM pools \
         WHERE flavor IS $1 ORDER BY name",
};

fn pool(row: &impl Columns) -> Result<Pool, sqlx::Error> {
    let bad = |_| damaged("pool");
    Ok(Pool {
        name: PoolName::new(row.text(0)?).map_err(bad)?,
        weight: u32::try_from(row.int(1)?).unwrap_or(0),
        uri: row.text(2)?.to_owned(),
        flavor: row.maybe_text(3)?.map(FlavorName::new).transpose().map_err(bad)?,
        options: from_text(row.text(4)?, "pool options")?,
        capabilities: from_text(row.text(5)?, "pool capabilities")?,
    })
}

fn missing(name: &PoolName) -> Error {
    Error::PoolNotFound { name: name.clone() }
}

async fn lock<S: Steps>(step: &mut S) -> Result<(), sqlx::Error> {
    step.rows(statement(S::choose(LOCK))).await.map(drop)
}

async fn find<S: Steps>(step: &mut S, name: &PoolName) -> Result<Option<Pool>, sqlx::Error> {
    let select = statement(SELECT_ONE).bind(name.as_str());
    step.first(select).await?.map(|row| pool(&row)).transpose()
}

/// Stores a pool under the rules: no two share a URI, and a flavor's pools are of one ability.
async fn store<S: Steps>(step: &mut S, new: &Pool) -> Result<(), Failure> {
    let taken = statement("SELECT 1 FROM pools WHERE uri = $1 AND name <> $2")
        .bind(new.uri.as_str())
        .bind(new.name.as_str());
    if step.first(taken).await?.is_some() {
        return Err(Error::PoolUriInUse.into());
    }
    let flavor = new.flavor.as_ref().map(ToString::to_string);
    let peer = statement(S::choose(SELECT_PEER)).bind(flavor.clone()).bind(new.name.as_str());
    if let Some(row) = step.first(peer).await? {
        let theirs: Capabilities = from_text(row.text(0)?, "pool capabilities")?;
        if theirs != new.capabilities {
            return Err(Error::PoolCapabilitiesMismatch.into());
        }
    }
    let put = statement(S::choose(PUT))
        .bind(new.name.as_str())
        .bind(i64::from(new.weight))
        .bind(new.uri.as_str())
        .bind(flavor)
        .bind(to_text(&new.options)?)
        .bind(to_text(&new.capabilities)?);
    step.effect(put).await?;
    Ok(())
}

#[derive(Debug)]
struct Put(Pool);

#[async_trait]
impl Task for Put {
    type Output = ();
    const OPERATION: &'static str = "pool_put";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
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

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
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

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        lock(step).await?;
        let Some(pool) = find(step, &self.0).await? else { return Ok(()) };
        if let Some(flavor) = pool.flavor {
            let peer = statement("SELECT 1 FROM pools WHERE flavor = $1 AND name <> $2")
                .bind(flavor.as_str())
                .bind(self.0.as_str());
            if step.first(peer).await?.is_none() {
                return Err(Error::PoolInUse { name: self.0.clone(), flavor }.into());
            }
        }
        let delete = statement("DELETE FROM pools WHERE name = $1").bind(self.0.as_str());
        step.effect(delete).await?;
        Ok(())
    }
}

#[derive(Debug)]
struct DeleteAll;

#[async_trait]
impl Task for DeleteAll {
    type Output = ();
    const OPERATION: &'static str = "pool_delete_all";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        step.effect(statement("DELETE FROM pools")).await?;
        Ok(())
    }
}

#[async_trait]
impl<C: ControlStore> PoolController for Control<C> {
    async fn pool_put(&self, pool: Pool) -> Result<()> {
        self.run(None, Put(pool)).await
    }

    async fn pool_get(&self, name: &PoolName) -> Result<Pool> {
        let select = statement(SELECT_ONE).bind(name.as_str());
        let found = self.read("pool_get", None, select, pool).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        let select = statement(
            "SELECT name, weight, uri, flavor, options, capabilities FROM pools \
             WHERE name > $1 ORDER BY name LIMIT $2",
        )
        .bind(marker.map(ToString::to_string).unwrap_or_default())
        .bind(limit.map_or(i64::MAX, |limit| i64::from(limit.get())));
        let pools = self.read("pool_list", None, select, pool).await?;
        Ok(Page::of(pools, |pool| pool.name.clone()))
    }

    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>> {
        let select = statement(C::choose(LIST_BY_FLAVOR)).bind(flavor.map(ToString::to_string));
        self.read("pool_list_by_flavor", None, select, pool).await
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
