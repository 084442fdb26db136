//! Flavors.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{
    Capabilities, Error, Flavor, FlavorController, FlavorName, Page, PageLimit, ProjectId, Result,
};

use crate::barrier::Place;
use crate::driver::MongoControl;
use crate::error::{Failure, NativeResult, damaged, failed};
use crate::query::Query;
use crate::schema::FLAVORS;
use crate::step::Step;
use crate::task::Task;

use super::{from_text, scoped_id, to_text};

#[derive(Debug, Deserialize)]
struct Row {
    project: String,
    name: String,
    capabilities: String,
}

impl Row {
    fn flavor(&self) -> NativeResult<Flavor> {
        let bad = |_| damaged("flavor");
        Ok(Flavor {
            project: ProjectId::new(&self.project).map_err(bad)?,
            name: FlavorName::new(&self.name).map_err(bad)?,
            capabilities: from_text(&self.capabilities, "flavor capabilities")?,
        })
    }
}

fn id(project: &ProjectId, name: &FlavorName) -> String {
    scoped_id(name.as_str(), project)
}

fn missing(name: &FlavorName) -> Error {
    Error::FlavorNotFound { name: name.clone() }
}

#[derive(Debug)]
struct Put(Flavor);

#[async_trait]
impl Task for Put {
    type Output = ();
    const OPERATION: &'static str = "flavor_put";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let Flavor { project, name, capabilities } = &self.0;
        let id = id(project, name);
        let row = doc! {
            "_id": id.as_str(),
            "project": project.as_str(),
            "name": name.as_str(),
            "capabilities": to_text(capabilities)?,
        };
        step.put(FLAVORS, &id, row).await?;
        Ok(())
    }
}

#[derive(Debug)]
struct Update(Flavor);

#[async_trait]
impl Task for Update {
    type Output = ();
    const OPERATION: &'static str = "flavor_update";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let Flavor { project, name, capabilities } = &self.0;
        let set = doc! { "$set": { "capabilities": to_text(capabilities)? } };
        match step.update(FLAVORS, doc! { "_id": id(project, name) }, set).await? {
            0 => Err(missing(name).into()),
            _ => Ok(()),
        }
    }
}

/// Removes what meets a filter.
#[derive(Debug)]
struct Delete(Document);

#[async_trait]
impl Task for Delete {
    type Output = ();
    const OPERATION: &'static str = "flavor_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        step.delete(FLAVORS, self.0.clone()).await?;
        Ok(())
    }
}

impl MongoControl {
    async fn read_flavors(&self, operation: &'static str, query: Query) -> Result<Vec<Flavor>> {
        self.handle.store.abandoned.settle(None).await;
        let view = self.handle.store.view(operation, Place::Rest).await?;
        let rows: Vec<Row> = view.find(FLAVORS, query).await?;
        let flavors: NativeResult<Vec<_>> = rows.iter().map(Row::flavor).collect();
        flavors.map_err(|error| failed(operation, &error))
    }
}

#[async_trait]
impl FlavorController for MongoControl {
    async fn flavor_put(&self, flavor: Flavor) -> Result<()> {
        self.handle.run(Some(flavor.project.clone()), Put(flavor)).await
    }

    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor> {
        let found = self.read_flavors("flavor_get", Query::id(id(project, name))).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        let after = marker.map(FlavorName::as_str).unwrap_or_default();
        let filter = doc! { "project": project.as_str(), "name": { "$gt": after } };
        let query = Query::of(filter).by("listing").sort(doc! { "name": 1 });
        let query = query.limit(i64::from(limit.get()));
        let flavors = self.read_flavors("flavor_list", query).await?;
        Ok(Page::of(flavors, |flavor| flavor.name.clone()))
    }

    async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        capabilities: Capabilities,
    ) -> Result<()> {
        let flavor = Flavor { project: project.clone(), name: name.clone(), capabilities };
        self.handle.run(Some(project.clone()), Update(flavor)).await
    }

    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()> {
        let delete = Delete(doc! { "_id": id(project, name) });
        self.handle.run(Some(project.clone()), delete).await
    }

    async fn flavor_delete_all(&self) -> Result<()> {
        self.handle.run(None, Delete(doc! {})).await
    }
}
