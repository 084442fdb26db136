//! What an administrator does with flavors: named sets of pools.
//!
//! A flavor belongs to a project; which pools it has is told by the pools, each of which has one
//! flavor at most. Projects that use the same name share the pools of it.

use zaqar_core::{
    Capabilities, Error, Flavor, FlavorName, Page, PageLimit, Pool, PoolName, ProjectId, UpdatePool,
};

use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;

use super::Pools;

/// A flavor as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlavorView {
    /// Its name.
    pub name: FlavorName,
    /// Its pools, ascending by name.
    pub pools: Vec<PoolName>,
    /// What its pools can do.
    pub capabilities: Capabilities,
}

impl Engine {
    /// Stores a flavor, replacing one of the same project and name, and gives it these pools beside
    /// those that it has.
    ///
    /// # Errors
    /// `Rejected` without pools; `PoolNotFound`; `PoolCapabilitiesMismatch`; `NoPooling`; the
    /// control store's, when some pools may have the flavor already: a repeat is safe.
    pub async fn flavor_put(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        pools: Vec<PoolName>,
    ) -> EngineResult<()> {
        let (all, project, name) = (self.pools_required()?.clone(), project.clone(), name.clone());
        self.detached(Call::write("flavor_put"), async move {
            let capabilities = all.capabilities_of(&pools).await?;
            all.0
                .control
                .flavors()
                .flavor_put(Flavor { project, name: name.clone(), capabilities })
                .await?;
            all.tag(&pools, Some(&name)).await
        })
        .await
    }

    /// Reads a flavor of a project.
    ///
    /// # Errors
    /// `FlavorNotFound`; `NoPooling`; the control store's.
    pub async fn flavor_get(
        &self,
        project: &ProjectId,
        name: &FlavorName,
    ) -> EngineResult<FlavorView> {
        let pools = self.pools_required()?;
        let read =
            async { pools.view(pools.0.control.flavors().flavor_get(project, name).await?).await };
        self.in_time(Call::read("flavor_get"), read).await
    }

    /// Lists a project's flavors, ascending by name.
    ///
    /// # Errors
    /// `NoPooling`; the control store's.
    pub async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> EngineResult<Page<FlavorView, FlavorName>> {
        let pools = self.pools_required()?;
        let read = async {
            let page = pools.0.control.flavors().flavor_list(project, marker, limit).await?;
            let mut items = Vec::with_capacity(page.items.len());
            for flavor in page.items {
                items.push(pools.view(flavor).await?);
            }
            Ok::<_, EngineError>(Page { items, next: page.next })
        };
        self.in_time(Call::read("flavor_list"), read).await
    }

    /// Gives a flavor exactly these pools, and returns it as it is then.
    ///
    /// # Errors
    /// `FlavorNotFound`, and as for [`Engine::flavor_put`].
    pub async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        pools: Vec<PoolName>,
    ) -> EngineResult<FlavorView> {
        let (all, project, name) = (self.pools_required()?.clone(), project.clone(), name.clone());
        self.detached(Call::write("flavor_update"), async move {
            let flavors = all.0.control.flavors();
            flavors.flavor_get(&project, &name).await?;
            let capabilities = all.capabilities_of(&pools).await?;
            let others = all.pools_of(&name).await?;
            let others: Vec<_> = others.into_iter().filter(|pool| !pools.contains(pool)).collect();
            all.tag(&pools, Some(&name)).await?;
            all.tag(&others, None).await?;
            flavors.flavor_update(&project, &name, capabilities).await?;
            all.view(flavors.flavor_get(&project, &name).await?).await
        })
        .await
    }

    /// Removes a flavor of a project and takes it from its pools; silent, and without effect on any
    /// pool, if the project has no such flavor.
    ///
    /// # Errors
    /// `PoolCapabilitiesMismatch` if the pools would have to do what those without a flavor do not;
    /// `NoPooling`; the control store's.
    pub async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> EngineResult<()> {
        let (all, project, name) = (self.pools_required()?.clone(), project.clone(), name.clone());
        self.detached(Call::write("flavor_delete"), async move {
            let flavors = all.0.control.flavors();
            match flavors.flavor_get(&project, &name).await {
                Ok(_) => {}
                Err(Error::FlavorNotFound { .. }) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let pools = all.pools_of(&name).await?;
            all.tag(&pools, None).await?;
            Ok(flavors.flavor_delete(&project, &name).await?)
        })
        .await
    }
}

impl Pools {
    async fn view(&self, flavor: Flavor) -> EngineResult<FlavorView> {
        let pools = self.pools_of(&flavor.name).await?;
        Ok(FlavorView { name: flavor.name, pools, capabilities: flavor.capabilities })
    }

    async fn pools_of(&self, flavor: &FlavorName) -> EngineResult<Vec<PoolName>> {
        let pools = self.0.control.pools().pool_list_by_flavor(Some(flavor)).await?;
        Ok(pools.into_iter().map(|pool| pool.name).collect())
    }

    /// What pools can do that are to be of one flavor, all of them known.
    async fn capabilities_of(&self, names: &[PoolName]) -> EngineResult<Capabilities> {
        let mut first: Option<Pool> = None;
        for name in names {
            let pool = self.0.control.pools().pool_get(name).await?;
            match &first {
                Some(first) if first.capabilities != pool.capabilities => {
                    return Err(Error::PoolCapabilitiesMismatch.into());
                }
                Some(_) => {}
                None => first = Some(pool),
            }
        }
        match first {
            Some(pool) => Ok(pool.capabilities),
            None => Err(EngineError::rejected("A flavor needs at least one pool.")),
        }
    }

    /// Sets or clears the flavor of pools. One that went meanwhile is passed over.
    async fn tag(&self, names: &[PoolName], flavor: Option<&FlavorName>) -> EngineResult<()> {
        for name in names {
            let mut update = UpdatePool::new();
            update.flavor = Some(flavor.cloned());
            match self.0.control.pools().pool_update(name, update).await {
                Ok(()) | Err(Error::PoolNotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.0.listing.forget().await;
        Ok(())
    }
}
