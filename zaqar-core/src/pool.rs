//! Storage pools: the data stores behind one control plane.

use async_trait::async_trait;

use crate::capability::Capabilities;
use crate::error::Result;
use crate::ids::{FlavorName, PoolName};
use crate::page::{Page, PageLimit};
use crate::queue::JsonObject;

/// A data store that queues can live in.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Its name, unique in the installation.
    pub name: PoolName,
    /// Its share of new queues; 0: none.
    pub weight: u32,
    /// Where it is; unique in the installation.
    pub uri: String,
    /// The flavor it belongs to.
    pub flavor: Option<FlavorName>,
    /// Options of its driver.
    pub options: JsonObject,
    /// What its driver can do, as the engine found it when it connected.
    pub capabilities: Capabilities,
}

/// Changes to a pool; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UpdatePool {
    /// A new weight.
    pub weight: Option<u32>,
    /// Another store, and what its driver can do.
    pub uri: Option<(String, Capabilities)>,
    /// Another flavor; `Some(None)` clears it.
    pub flavor: Option<Option<FlavorName>>,
    /// New options, as a whole.
    pub options: Option<JsonObject>,
}

impl UpdatePool {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

/// Pools of an installation; global, not a tenant's.
///
/// The pools of one flavor, and the pools without one, must have equal capabilities.
#[async_trait]
pub trait PoolController: std::fmt::Debug + Send + Sync + 'static {
    /// Stores a pool, replacing one of the same name. `PoolUriInUse` if another has its URI,
    /// `PoolCapabilitiesMismatch` if the others of its flavor differ.
    async fn pool_put(&self, pool: Pool) -> Result<()>;

    /// Reads a pool.
    async fn pool_get(&self, name: &PoolName) -> Result<Pool>;

    /// Lists pools, ascending by name. `limit` `None`: all of them.
    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>>;

    /// Lists the pools of a flavor, or those without one.
    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>>;

    /// Changes a pool under the rules of [`Self::pool_put`]. `Invalid` if nothing is to change.
    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()>;

    /// Removes a pool; silent if it is not there. `PoolInUse` if it is the last of its flavor.
    async fn pool_delete(&self, name: &PoolName) -> Result<()>;

    /// Removes all pools.
    async fn pool_delete_all(&self) -> Result<()>;
}
