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
    ///
    /// # Guarantees
    /// On `Ok` the pool is stored as given.
    ///
    /// # Errors
    /// - `PoolUriInUse` — another pool has its URI.
    /// - `PoolCapabilitiesMismatch` — the others of its flavor differ.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// Check and store in one step. O(pools of the flavor).
    ///
    /// # Conformance
    /// `pool.put.*`.
    async fn pool_put(&self, pool: Pool) -> Result<()>;

    /// Reads a pool.
    ///
    /// # Guarantees
    /// The pool as last stored.
    ///
    /// # Errors
    /// - `PoolNotFound`.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(1).
    ///
    /// # Conformance
    /// `pool.get.*`, `pool.put.*`, `pool.update.*`, `reopen.pools.*`.
    async fn pool_get(&self, name: &PoolName) -> Result<Pool>;

    /// Lists pools, ascending by name. `limit` `None`: all of them.
    ///
    /// # Guarantees
    /// Strictly after the marker, ascending by name.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(page).
    ///
    /// # Conformance
    /// `pool.delete.*`, `pool.list.*`.
    async fn pool_list(
        &self,
        marker: Option<&PoolName>,
        limit: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>>;

    /// Lists the pools of a flavor, or those without one.
    ///
    /// # Guarantees
    /// Every pool of that flavor, ascending by name.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(pools of the flavor).
    ///
    /// # Conformance
    /// `pool.list.*`.
    async fn pool_list_by_flavor(&self, flavor: Option<&FlavorName>) -> Result<Vec<Pool>>;

    /// Changes a pool under the rules of [`Self::pool_put`]. `Invalid` if nothing is to change.
    ///
    /// # Guarantees
    /// On `Ok` all changes are stored together.
    ///
    /// # Errors
    /// - `Invalid` — nothing is to change.
    /// - `PoolNotFound`; `PoolUriInUse`; `PoolCapabilitiesMismatch`.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// Check and store in one step. O(pools of the flavor).
    ///
    /// # Conformance
    /// `pool.put.*`, `pool.delete.*`, `pool.get.*`, `pool.update.*`.
    async fn pool_update(&self, name: &PoolName, changes: UpdatePool) -> Result<()>;

    /// Removes a pool; silent if it is not there. `PoolInUse` if it is the last of its flavor.
    ///
    /// # Guarantees
    /// On `Ok` there is no such pool.
    ///
    /// # Errors
    /// - `PoolInUse` — it is the last of its flavor.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// Check and remove in one step. O(pools of the flavor).
    ///
    /// # Conformance
    /// `pool.delete.*`, `pool.get.*`.
    async fn pool_delete(&self, name: &PoolName) -> Result<()>;

    /// Removes all pools.
    ///
    /// # Guarantees
    /// On `Ok` there is no pool.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// O(pools).
    ///
    /// # Conformance
    /// `pool.delete.*`.
    async fn pool_delete_all(&self) -> Result<()>;
}
