//! Pools.

use async_trait::async_trait;
use zaqar_core::{
    Error, FlavorName, Page, PageLimit, Pool, PoolController, PoolName, Result, UpdatePool,
};

use crate::codec::Reply;
use crate::driver::RedisControl;
use crate::keys::Place;
use crate::registry::{POOL_DELETE, POOL_LIST, POOL_STORE};
use crate::store::Answer;

use super::{from_text, to_text};

/// There is no such pool.
const MISSING: i64 = 6;
/// Another has its URI; or it is the last of its flavor.
const IN_USE: i64 = 3;
/// Its flavor's pools can do other things.
const MISMATCH: i64 = 4;

fn place() -> Place {
    Place::global("pools")
}

/// What pools are filed under: those without a flavor together.
fn tag_of(flavor: Option<&FlavorName>) -> String {
    flavor.map_or_else(|| "n".to_owned(), |flavor| format!("f{flavor}"))
}

fn flavor_of(tag: &str) -> Option<Option<FlavorName>> {
    match tag.strip_prefix('f') {
        Some(flavor) => FlavorName::new(flavor).ok().map(Some),
        None => Some(None),
    }
}

fn read_pool(reply: &mut Reply) -> Result<Pool> {
    let what = "pool";
    let name = reply.text(what)?;
    let weight = reply.count(what)?;
    let uri = reply.text(what)?;
    let tag = reply.text(what)?;
    let options = reply.text(what)?;
    let capabilities = reply.text(what)?;
    Ok(Pool {
        name: PoolName::new(name).map_err(|_| reply.damaged(what))?,
        weight,
        uri,
        flavor: flavor_of(&tag).ok_or_else(|| reply.damaged(what))?,
        options: from_text(reply, &options, what)?,
        capabilities: from_text(reply, &capabilities, what)?,
    })
}

fn read_pools(mut reply: Reply) -> Result<Vec<Pool>> {
    let mut pools = Vec::new();
    while !reply.is_empty() {
        pools.push(read_pool(&mut reply)?);
    }
    Ok(pools)
}

fn missing(name: &PoolName) -> Error {
    Error::PoolNotFound { name: name.clone() }
}

/// The fields of a pool as scripts take them; an empty one stays as it is.
#[derive(Debug, Default)]
struct Fields {
    weight: String,
    uri: String,
    tag: String,
    options: String,
    capabilities: String,
}

impl RedisControl {
    async fn store_pool(&self, name: &PoolName, existing: bool, fields: Fields) -> Result<()> {
        let owned = name.to_string();
        let arguments = move |command: &mut redis::Cmd| {
            let Fields { weight, uri, tag, options, capabilities } = &fields;
            command.arg(&owned).arg(u8::from(existing)).arg(weight).arg(uri).arg(tag);
            command.arg(options).arg(capabilities);
        };
        let answer = self.change("pool_put", &POOL_STORE, place(), None, arguments).await?;
        match answer.code {
            MISSING => Err(missing(name)),
            IN_USE => Err(Error::PoolUriInUse),
            MISMATCH => Err(Error::PoolCapabilitiesMismatch),
            _ => answer.plain().map(drop),
        }
    }

    async fn drop_pool(&self, name: String) -> Result<Answer> {
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&name);
        };
        self.change("pool_delete", &POOL_DELETE, place(), None, arguments).await
    }

    async fn list_pools(&self, operation: &'static str, arguments: &[&str]) -> Result<Vec<Pool>> {
        let arguments = |command: &mut redis::Cmd| {
            command.arg(arguments);
        };
        read_pools(self.look(operation, &POOL_LIST, place(), arguments).await?.plain()?)
    }
}

#[async_trait]
impl PoolController for RedisControl {
    async fn pool_put(&self, pool: Pool) -> Result<()> {
        let fields = Fields {
            weight: pool.weight.to_string(),
            uri: pool.uri,
            tag: tag_of(pool.flavor.as_ref()),
            options: to_text(&pool.options),
            capabilities: to_text(&pool.capabilities),
        };
        self.store_pool(&pool.name, false, fields).await
    }

    async fn pool_get(&self, name: &PoolName) -> Result<Pool> {
        let found = self.list_pools("pool_get", &["one", name.as_str()]).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        let after = marker.map_or("", |marker| marker.as_str());
        // A negative limit is no limit.
        let limit = limit.map_or_else(|| "-1".to_owned(), |limit| limit.get().to_string());
        let pools = self.list_pools("pool_list", &["all", after, &limit]).await?;
        Ok(Page::of(pools, |pool| pool.name.clone()))
    }

    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>> {
        self.list_pools("pool_list_by_flavor", &["flavor", &tag_of(flavor)]).await
    }

    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()> {
        let UpdatePool { weight, uri, flavor, options, .. } = changes;
        if weight.is_none() && uri.is_none() && flavor.is_none() && options.is_none() {
            let reason = "needs a weight, a uri, a flavor or options".to_owned();
            return Err(Error::Invalid { field: "pool", reason });
        }
        let capabilities = uri.as_ref().map(|(_, capabilities)| to_text(capabilities));
        let fields = Fields {
            weight: weight.map(|weight| weight.to_string()).unwrap_or_default(),
            uri: uri.map(|(uri, _)| uri).unwrap_or_default(),
            tag: flavor.map(|flavor| tag_of(flavor.as_ref())).unwrap_or_default(),
            options: options.as_ref().map(to_text).unwrap_or_default(),
            capabilities: capabilities.unwrap_or_default(),
        };
        self.store_pool(name, true, fields).await
    }

    async fn pool_delete(&self, name: &PoolName) -> Result<()> {
        let mut answer = self.drop_pool(name.to_string()).await?;
        if answer.code != IN_USE {
            return answer.plain().map(drop);
        }
        let tag = answer.reply.text("pool")?;
        match flavor_of(&tag).flatten() {
            Some(flavor) => Err(Error::PoolInUse { name: name.clone(), flavor }),
            None => Err(answer.reply.damaged("pool")),
        }
    }

    async fn pool_delete_all(&self) -> Result<()> {
        self.drop_pool(String::new()).await?.plain().map(drop)
    }
}
