//! Flavors.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Error, Flavor, FlavorController, FlavorName, Page, PageLimit, ProjectId, Result,
};

use super::driver::ReferenceControl;

#[async_trait]
impl FlavorController for ReferenceControl {
    async fn flavor_put(&self, flavor: Flavor) -> Result<()> {
        self.step("flavor_put", |state| {
            state.flavors.insert((flavor.project.clone(), flavor.name.clone()), flavor);
            Ok(())
        })
        .await
    }

    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor> {
        self.step("flavor_get", |state| {
            let flavor = state.flavors.get(&(project.clone(), name.clone()));
            flavor.cloned().ok_or_else(|| missing(name))
        })
        .await
    }

    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        self.step("flavor_list", |state| {
            let wanted = |flavor: &&Flavor| {
                flavor.project == *project && marker.is_none_or(|marker| flavor.name > *marker)
            };
            let flavors = state.flavors.values().filter(wanted);
            let items = flavors.take(limit.as_usize()).cloned().collect();
            Ok(Page::of(items, |flavor: &Flavor| flavor.name.clone()))
        })
        .await
    }

    async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        capabilities: Capabilities,
    ) -> Result<()> {
        self.step("flavor_update", |state| {
            let flavor = state.flavors.get_mut(&(project.clone(), name.clone()));
            flavor.ok_or_else(|| missing(name))?.capabilities = capabilities;
            Ok(())
        })
        .await
    }

    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()> {
        self.step("flavor_delete", |state| {
            state.flavors.remove(&(project.clone(), name.clone()));
            Ok(())
        })
        .await
    }

    async fn flavor_delete_all(&self) -> Result<()> {
        self.step("flavor_delete_all", |state| {
            state.flavors.clear();
            Ok(())
        })
        .await
    }
}

fn missing(name: &FlavorName) -> Error {
    Error::FlavorNotFound { name: name.clone() }
}
