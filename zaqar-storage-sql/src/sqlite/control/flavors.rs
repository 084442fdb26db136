//! Flavors.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Error, Flavor, FlavorController, FlavorName, Page, PageLimit, ProjectId, Result,
};

use crate::error::{Failure, damaged};
use crate::sqlite::driver::SqliteControl;
use crate::sqlite::reader::failed;
use crate::sqlite::statement::{Row, Statement, query};
use crate::sqlite::step::Step;
use crate::sqlite::task::Task;

use super::{from_text, to_text};

fn flavor(row: &Row) -> Result<Flavor, sqlx::Error> {
    let bad = |_| damaged("flavor");
    Ok(Flavor {
        project: ProjectId::new(row.try_get::<&str>(0)?).map_err(bad)?,
        name: FlavorName::new(row.try_get::<&str>(1)?).map_err(bad)?,
        capabilities: from_text(row.try_get(2)?, "flavor capabilities")?,
    })
}

fn missing(name: &FlavorName) -> Error {
    Error::FlavorNotFound { name: name.clone() }
}

#[derive(Debug)]
struct Put {
    flavor: Flavor,
    /// Whether the flavor must be there already.
    existing: bool,
}

#[async_trait]
impl Task for Put {
    type Output = ();
    const OPERATION: &'static str = "flavor_put";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let Flavor { project, name, capabilities } = &self.flavor;
        let known = query("SELECT 1 FROM flavors WHERE project = ? AND name = ?")
            .bind(project.to_string())
            .bind(name.to_string());
        if self.existing && step.row(known).await?.is_none() {
            return Err(missing(name).into());
        }
        let put =
            query("INSERT OR REPLACE INTO flavors (project, name, capabilities) VALUES (?, ?, ?)")
                .bind(project.to_string())
                .bind(name.to_string())
                .bind(to_text(capabilities)?);
        step.execute(put).await?;
        Ok(())
    }
}

/// Removes one flavor, or all.
#[derive(Debug)]
struct Delete(Option<(ProjectId, FlavorName)>);

#[async_trait]
impl Task for Delete {
    type Output = ();
    const OPERATION: &'static str = "flavor_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let delete = match &self.0 {
            Some((project, name)) => query("DELETE FROM flavors WHERE project = ? AND name = ?")
                .bind(project.to_string())
                .bind(name.to_string()),
            None => query("DELETE FROM flavors"),
        };
        step.execute(delete).await?;
        Ok(())
    }
}

impl SqliteControl {
    async fn read_flavors(
        &self,
        operation: &'static str,
        select: Statement,
    ) -> Result<Vec<Flavor>> {
        let rows = self.store.reader.rows(operation, select).await?;
        let flavors: Result<Vec<_>, _> = rows.iter().map(flavor).collect();
        flavors.map_err(|error| failed(operation, error))
    }
}

#[async_trait]
impl FlavorController for SqliteControl {
    async fn flavor_put(&self, flavor: Flavor) -> Result<()> {
        self.store.run(Some(flavor.project.clone()), Put { flavor, existing: false }).await
    }

    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor> {
        let select =
            query("SELECT project, name, capabilities FROM flavors WHERE project = ? AND name = ?")
                .bind(project.to_string())
                .bind(name.to_string());
        let found = self.read_flavors("flavor_get", select).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        let select = query(
            "SELECT project, name, capabilities FROM flavors WHERE project = ? AND name > ? \
             ORDER BY name LIMIT ?",
        )
        .bind(project.to_string())
        .bind(marker.map(ToString::to_string).unwrap_or_default())
        .bind(i64::from(limit.get()));
        let flavors = self.read_flavors("flavor_list", select).await?;
        Ok(Page::of(flavors, |flavor| flavor.name.clone()))
    }

    async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        capabilities: Capabilities,
    ) -> Result<()> {
        let flavor = Flavor { project: project.clone(), name: name.clone(), capabilities };
        self.store.run(Some(project.clone()), Put { flavor, existing: true }).await
    }

    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()> {
        let task = Delete(Some((project.clone(), name.clone())));
        self.store.run(Some(project.clone()), task).await
    }

    async fn flavor_delete_all(&self) -> Result<()> {
        self.store.run(None, Delete(None)).await
    }
}
