//! Flavors.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Error, Flavor, FlavorController, FlavorName, Page, PageLimit, ProjectId, Result,
};

use crate::dialect::{Columns, Steps, Task, Text};
use crate::error::{Failure, damaged};
use crate::statement::statement;

use super::{Control, ControlStore, from_text, to_text};

const LOCK: Text = Text {
    postgres: "SELECT 1 FROM flavors WHERE project = $1 AND name = $2 FOR UPDATE",
    mysql: "SELECT 1 FROM flavors WHERE project = $1 AND name = $2 FOR UPDATE",
    sqlite: "SELECT 1 FROM flavors WHERE project = $1 AND name = $2",
};

const PUT: Text = Text {
    postgres: "INSERT INTO flavors (project, name, capabilities) VALUES ($1, $2, $3) \
         ON CONFLICT (project, name) DO UPDATE SET capabilities = excluded.capabilities",
    mysql: "INSERT INTO flavors (project, name, capabilities) VALUES ($1, $2, $3) \
         ON DUPLICATE KEY UPDATE capabilities = VALUES(capabilities)",
    sqlite: "INSERT INTO flavors (project, name, capabilities) VALUES ($1, $2, $3) \
         ON CONFLICT (project, name) DO UPDATE SET capabilities = excluded.capabilities",
};

fn flavor(row: &impl Columns) -> Result<Flavor, sqlx::Error> {
    let bad = |_| damaged("flavor");
    Ok(Flavor {
        project: ProjectId::new(row.text(0)?).map_err(bad)?,
        name: FlavorName::new(row.text(1)?).map_err(bad)?,
        capabilities: from_text(row.text(2)?, "flavor capabilities")?,
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

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        let Flavor { project, name, capabilities } = &self.flavor;
        let about = |text| statement(text).bind(project.as_str()).bind(name.as_str());
        if self.existing && step.first(about(S::choose(LOCK))).await?.is_none() {
            return Err(missing(name).into());
        }
        step.effect(about(S::choose(PUT)).bind(to_text(capabilities)?)).await?;
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

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        let delete = match &self.0 {
            Some((project, name)) => {
                statement("DELETE FROM flavors WHERE project = $1 AND name = $2")
                    .bind(project.as_str())
                    .bind(name.as_str())
            }
            None => statement("DELETE FROM flavors"),
        };
        step.effect(delete).await?;
        Ok(())
    }
}

#[async_trait]
impl<C: ControlStore> FlavorController for Control<C> {
    async fn flavor_put(&self, flavor: Flavor) -> Result<()> {
        let project = flavor.project.clone();
        self.run(Some(&project), Put { flavor, existing: false }).await
    }

    async fn flavor_get(&self, project: &ProjectId, name: &FlavorName) -> Result<Flavor> {
        let select = statement(
            "SELECT project, name, capabilities FROM flavors WHERE project = $1 AND name = $2",
        );
        let select = select.bind(project.as_str()).bind(name.as_str());
        let found = self.read("flavor_get", Some(project), select, flavor).await?;
        found.into_iter().next().ok_or_else(|| missing(name))
    }

    async fn flavor_list(
        &self,
        project: &ProjectId,
        marker: Option<&FlavorName>,
        limit: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        let select = statement(
            "SELECT project, name, capabilities FROM flavors WHERE project = $1 AND name > $2 \
             ORDER BY name LIMIT $3",
        )
        .bind(project.as_str())
        .bind(marker.map(ToString::to_string).unwrap_or_default())
        .bind(i64::from(limit.get()));
        let flavors = self.read("flavor_list", Some(project), select, flavor).await?;
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
