//! Flavors: named sets of pools that a tenant may ask for.

use async_trait::async_trait;

use crate::capability::Capabilities;
use crate::error::Result;
use crate::ids::{FlavorName, ProjectId};
use crate::page::{Page, PageLimit};

/// A named set of pools.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flavor {
    /// The project that defines it.
    pub project: ProjectId,
    /// Its name, unique in the project.
    pub name: FlavorName,
    /// What its pools can do.
    pub capabilities: Capabilities,
}

/// Flavors of an installation.
#[async_trait]
pub trait FlavorController: std::fmt::Debug + Send + Sync + 'static {
    /// Stores a flavor, replacing one of the same project and name.
    ///
    /// # Guarantees
    /// On `Ok` the flavor is stored as given.
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
    /// Flavors of two projects may share a name (G12). O(1).
    ///
    /// # Conformance
    /// `flavor.put.*`.
    async fn flavor_put(&self, flavor: Flavor) -> Result<()>;

    /// Reads a flavor.
    ///
    /// # Guarantees
    /// G12: the flavor of this project as last stored.
    ///
    /// # Errors
    /// - `FlavorNotFound`.
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
    /// `flavor.get.*`, `flavor.put.*`, `reopen.pools.*`.
    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor>;

    /// Lists a project's flavors, ascending by name.
    ///
    /// # Guarantees
    /// G12: this project's flavors, strictly after the marker.
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
    /// `flavor.list.*`.
    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>>;

    /// Replaces the capabilities of a flavor; `FlavorNotFound` if it is not there.
    ///
    /// # Guarantees
    /// On `Ok` the capabilities are stored.
    ///
    /// # Errors
    /// - `FlavorNotFound`.
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
    /// O(1).
    ///
    /// # Conformance
    /// `flavor.get.*`, `flavor.update.*`.
    async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        capabilities: Capabilities,
    ) -> Result<()>;

    /// Removes a flavor; silent if it is not there.
    ///
    /// # Guarantees
    /// On `Ok` the project has no such flavor.
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
    /// O(1).
    ///
    /// # Conformance
    /// `flavor.get.*`, `flavor.update.*`.
    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()>;

    /// Removes all flavors of all projects.
    ///
    /// # Guarantees
    /// On `Ok` there is no flavor.
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
    /// O(flavors).
    ///
    /// # Conformance
    /// `flavor.update.*`.
    async fn flavor_delete_all(&self) -> Result<()>;
}
