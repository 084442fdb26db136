//! Flavors.

use async_trait::async_trait;

use zaqar_core::{
    Capabilities, Error, Flavor, FlavorController, FlavorName, Page, PageLimit, ProjectId, Result,
};

use crate::error::{Failure, damaged};
use crate::mysql::driver::MyControl;
use crate::mysql::row::SqlRow;
use crate::mysql::sql::{Sql, sql};
use crate::mysql::step::Step;
use crate::mysql::task::Task;
use crate::mysql::told::Told;

use super::{from_text, to_text};

fn flavor(row: &SqlRow) -> Result<Flavor, sqlx::Error> {
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
        let known = sql("SELECT 1 FROM flavors WHERE project = $1 AND name = $2 FOR UPDATE")
            .bind(project.to_string())
            .bind(name.to_string());
        if self.existing && step.row(known).await?.is_none() {
            return Err(missing(name).into());
        }
        let put = sql("INSERT INTO flavors (project, name, capabilities) VALUES ($1, $2, $3) \
             ON DUPLICATE KEY UPDATE capabilities = VALUES(capabilities)")
        .bind(project.to_string())
        .bind(name.to_string())
        .bind(to_text(capabilities)?);
        step.later(put)?;
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
            Some((project, name)) => sql("DELETE FROM flavors WHERE project = $1 AND name = $2")
                .bind(project.to_string())
                .bind(name.to_string()),
            None => sql("DELETE FROM flavors"),
        };
        step.later(delete)?;
        Ok(())
    }
}

impl MyControl {
    async fn read_flavors(
        &self,
        operation: &'static str,
        project: &ProjectId,
        select: Sql,
    ) -> Result<Vec<Flavor>> {
        let rows = self.rows(operation, Some(project), select).await?;
        rows.iter().map(flavor).collect::<Result<_, _>>().told(operation)
    }
}

#[async_trait]
impl FlavorController for MyControl {
    async fn flavor_put(&self, flavor: Flavor) -> Result<()> {
        let project = flavor.project.clone();
        self.run(Some(&project), Put { flavor, existing: false }).await
    }

    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor> {
        let select =
            sql("SELECT project, name, capabilities FROM flavors WHERE project = $1 AND name = $2")
                .bind(project.to_string())
                .bind(name.to_string());
        let found = self.read_flavors("flavor_get", project, select).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        let select = sql(
            "SELECT project, name, capabilities FROM flavors WHERE project = $1 AND name > $2 \
             ORDER BY name LIMIT $3",
        )
        .bind(project.to_string())
        .bind(marker.map(ToString::to_string).unwrap_or_default())
        .bind(i64::from(limit.get()));
        let flavors = self.read_flavors("flavor_list", project, select).await?;
        Ok(Page::of(flavors, |flavor| flavor.name.clone()))
    }

    async fn flavor_update(
        &self,
        project: &ProjectId,
        name: &FlavorName,
        capabilities: Capabilities,
    ) -> Result<()> {
        let flavor = Flavor { project: project.clone(), name: name.clone(), capabilities };
        self.run(Some(project), Put { flavor, existing: true }).await
    }

    async fn flavor_delete(&self, project: &ProjectId, name: &FlavorName) -> Result<()> {
        let task = Delete(Some((project.clone(), name.clone())));
        self.run(Some(project), task).await
    }

    async fn flavor_delete_all(&self) -> Result<()> {
        self.run(None, Delete(None)).await
    }
}
