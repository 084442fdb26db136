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
    async fn flavor_put(&self, flavor: Flavor) -> Result<()>;

    /// Reads a flavor.
    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor>;

    /// Lists a project's flavors, ascending by name.
    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>>;

    /// Replaces the capabilities of a flavor; `FlavorNotFound` if it is not there.
    async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        capabilities: Capabilities,
    ) -> Result<()>;

    /// Removes a flavor; silent if it is not there.
    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()>;

    /// Removes all flavors of all projects.
    async fn flavor_delete_all(&self) -> Result<()>;
}
