//! The catalogue.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Page, PageLimit, PoolName, ProjectId, QueueKey,
    QueueName, Result,
};

use crate::codes::{counter_code, kind_code, kind_of};
use crate::dialect::{Columns, Steps, Task, Text};
use crate::error::{Failure, damaged};
use crate::statement::{Statement, statement};

use super::{Control, ControlStore};

const SELECT_ONE: &str = "SELECT project, kind, name, pool, epoch FROM catalogue \
     WHERE project = $1 AND kind = $2 AND name = $3";

const LOCK_ONE: Text = Text {
    postgres: "SELECT project, kind, name, pool, epoch FROM catalogue \
         WHERE project = $1 AND kind = $2 AND name = $3 FOR UPDATE",
    mysql: "SELECT project, kind, name, pool, epoch FROM catalogue \
         WHERE project = $1 AND kind = $2 AND name = $3 FOR UPDATE",
    sqlite: SELECT_ONE,
};

macro_rules! put {
    ($or_else:literal) => {
        concat!(
            "INSERT INTO catalogue (project, kind, name, pool, epoch) VALUES ($1, $2, $3, $4, $5) ",
            $or_else
        )
    };
}

const PUT: Text = Text {
    postgres: put!(
        "ON CONFLICT (project, kind, name) DO UPDATE SET pool = excluded.pool, epoch = excluded.epoch"
    ),
    mysql: put!("ON DUPLICATE KEY UPDATE pool = VALUES(pool), epoch = VALUES(epoch)"),
    sqlite: put!(
        "ON CONFLICT (project, kind, name) DO UPDATE SET pool = excluded.pool, epoch = excluded.epoch"
    ),
};

/// A comparison of rows walks an index; MySQL's does not, so there it is spelt out.
const LIST: Text = Text {
    postgres: LIST_BY_ROWS,
    mysql: "SELECT project, kind, name, pool, epoch FROM catalogue \
         WHERE project = $1 AND (kind > $2 OR (kind = $2 AND name > $3)) \
         ORDER BY kind, name LIMIT $4",
    sqlite: LIST_BY_ROWS,
};
const LIST_BY_ROWS: &str = "SELECT project, kind, name, pool, epoch FROM catalogue \
     WHERE project = $1 AND (kind, name) > ($2, $3) ORDER BY kind, name LIMIT $4";

const LIST_OF_POOL: Text = Text {
    postgres: LIST_OF_POOL_BY_ROWS,
    mysql: "SELECT project, kind, name, pool, epoch FROM catalogue \
         WHERE pool = $1 AND (project > $2 OR (project = $2 \
           AND (kind > $3 OR (kind = $3 AND name > $4)))) \
         ORDER BY project, kind, name LIMIT $5",
    sqlite: LIST_OF_POOL_BY_ROWS,
};
const LIST_OF_POOL_BY_ROWS: &str = "SELECT project, kind, name, pool, epoch FROM catalogue \
     WHERE pool = $1 AND (project, kind, name) > ($2, $3, $4) \
     ORDER BY project, kind, name LIMIT $5";

fn entry(row: &impl Columns) -> Result<CatalogueEntry, sqlx::Error> {
    let bad = |_| damaged("catalogue entry");
    let project = ProjectId::new(row.text(0)?).map_err(bad)?;
    let name = QueueName::new(row.text(2)?).map_err(bad)?;
    Ok(CatalogueEntry {
        key: QueueKey { project, kind: kind_of(row.int(1)?), name },
        pool: PoolName::new(row.text(3)?).map_err(bad)?,
        epoch: row.int(4)?.unsigned_abs(),
    })
}

fn missing(key: &QueueKey) -> Error {
    Error::QueueNotMapped { project: key.project.clone(), queue: key.name.clone() }
}

/// A statement about one entry.
fn about(text: &'static str, key: &QueueKey) -> Statement {
    statement(text).bind(key.project.as_str()).bind(kind_code(key.kind)).bind(key.name.as_str())
}

#[derive(Debug)]
struct Put {
    entry: CatalogueEntry,
    /// Whether the entry must be there already, with a lower epoch.
    moving: bool,
}

#[async_trait]
impl Task for Put {
    type Output = ();
    const OPERATION: &'static str = "catalogue_put";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        let key = &self.entry.key;
        if self.moving {
            let row = step.first(about(S::choose(LOCK_ONE), key)).await?;
            let known = entry(&row.ok_or_else(|| missing(key))?)?;
            if known.epoch >= self.entry.epoch {
                let name = key.name.clone();
                return Err(Error::QueueMoved { name, epoch: known.epoch }.into());
            }
        }
        let put = about(S::choose(PUT), key)
            .bind(self.entry.pool.as_str())
            .bind(counter_code(self.entry.epoch));
        step.effect(put).await?;
        Ok(())
    }
}

/// Removes one mapping, or all.
#[derive(Debug)]
struct Delete(Option<QueueKey>);

#[async_trait]
impl Task for Delete {
    type Output = ();
    const OPERATION: &'static str = "catalogue_delete";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        const ONE: &str = "DELETE FROM catalogue WHERE project = $1 AND kind = $2 AND name = $3";
        let delete = match &self.0 {
            Some(key) => about(ONE, key),
            None => statement("DELETE FROM catalogue"),
        };
        step.effect(delete).await?;
        Ok(())
    }
}

#[async_trait]
impl<C: ControlStore> CatalogueController for Control<C> {
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()> {
        let project = entry.key.project.clone();
        self.run(Some(&project), Put { entry, moving: false }).await
    }

    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry> {
        let select = about(SELECT_ONE, key);
        let found = self.read("catalogue_get", Some(&key.project), select, entry).await?;
        found.into_iter().next().ok_or_else(|| missing(key))
    }

    async fn catalogue_move(&self, key: &QueueKey, pool: &PoolName, epoch: u64) -> Result<()> {
        let entry = CatalogueEntry { key: key.clone(), pool: pool.clone(), epoch };
        self.run(Some(&key.project), Put { entry, moving: true }).await
    }

    async fn catalogue_delete(&self, key: &QueueKey) -> Result<()> {
        self.run(Some(&key.project), Delete(Some(key.clone()))).await
    }

    async fn catalogue_list(
        &self,
        project: &ProjectId,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let (kind, name) =
            marker.map_or((0, String::new()), |key| (kind_code(key.kind), key.name.to_string()));
        let select = statement(C::choose(LIST))
            .bind(project.as_str())
            .bind(kind)
            .bind(name)
            .bind(i64::from(limit.get()));
        let entries = self.read("catalogue_list", Some(project), select, entry).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let (project, kind, name) = marker.map_or((String::new(), 0, String::new()), |key| {
            (key.project.to_string(), kind_code(key.kind), key.name.to_string())
        });
        let select = statement(C::choose(LIST_OF_POOL))
            .bind(pool.as_str())
            .bind(project)
            .bind(kind)
            .bind(name)
            .bind(i64::from(limit.get()));
        let entries = self.read("catalogue_list_by_pool", None, select, entry).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64> {
        let select = statement("SELECT count(*) FROM catalogue WHERE project = $1 AND name = $2");
        let select = select.bind(project.as_str()).bind(queue.as_str());
        self.count("catalogue_count", Some(project), select).await
    }

    async fn catalogue_delete_all(&self) -> Result<()> {
        self.run(None, Delete(None)).await
    }
}
