//! Flavors.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Error, Flavor, FlavorController, FlavorName, Page, PageLimit, ProjectId, Result,
};

use crate::node::Node;
use crate::record::Record;

#[async_trait]
impl FlavorController for Node {
    async fn flavor_put(&self, flavor: Flavor) -> Result<()> {
        self.step("flavor_put", |_, _| {
            let Flavor { project, name, capabilities } = flavor;
            Ok((vec![Record::Flavor(project, name, Some(capabilities))], ()))
        })
        .await
    }

    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor> {
        self.read("flavor_get", |state, _| {
            let (project, name) = (project.clone(), name.clone());
            match state.flavors.get(&(project.clone(), name.clone())).cloned() {
                Some(capabilities) => Ok(Flavor { project, name, capabilities }),
                None => Err(Error::FlavorNotFound { name }),
            }
        })
        .await
    }

    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        self.read("flavor_list", |state, _| {
            let flavors = state.flavors.iter().filter(|((of, name), _)| {
                of == project && marker.is_none_or(|marker| name > marker)
            });
            let show = |((project, name), capabilities): (&(_, _), &Capabilities)| Flavor {
                project: ProjectId::clone(project),
                name: FlavorName::clone(name),
                capabilities: capabilities.clone(),
            };
            let items = flavors.take(limit.as_usize()).map(show).collect();
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
        self.step("flavor_update", |state, _| {
            let (project, name) = (project.clone(), name.clone());
            if !state.flavors.contains_key(&(project.clone(), name.clone())) {
                return Err(Error::FlavorNotFound { name });
            }
            Ok((vec![Record::Flavor(project, name, Some(capabilities))], ()))
        })
        .await
    }

    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()> {
        self.step("flavor_delete", |_, _| {
            Ok((vec![Record::Flavor(project.clone(), name.clone(), None)], ()))
        })
        .await
    }

    async fn flavor_delete_all(&self) -> Result<()> {
        self.step("flavor_delete_all", |state, _| {
            let all = state.flavors.keys().cloned();
            Ok((all.map(|(project, name)| Record::Flavor(project, name, None)).collect(), ()))
        })
        .await
    }
}
