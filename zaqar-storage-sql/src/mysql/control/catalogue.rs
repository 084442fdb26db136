//! The catalogue.

use async_trait::async_trait;

use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Page, PageLimit, PoolName, ProjectId, QueueKey,
    QueueName, Result,
};

use crate::error::{Failure, damaged};
use crate::layout::{counter_code, kind_code, kind_of};
use crate::mysql::driver::MyControl;
use crate::mysql::row::SqlRow;
use crate::mysql::sql::{Sql, sql};
use crate::mysql::step::Step;
use crate::mysql::task::Task;
use crate::mysql::told::Told;

const SELECT_ONE: &str = "SELECT project, kind, name, pool, epoch FROM catalogue \
     WHERE project = $1 AND kind = $2 AND name = $3";
const LOCK_ONE: &str = "SELECT project, kind, name, pool, epoch FROM catalogue \
     WHERE project = $1 AND kind = $2 AND name = $3 FOR UPDATE";

fn entry(row: &SqlRow) -> Result<CatalogueEntry, sqlx::Error> {
    let bad = |_| damaged("catalogue entry");
    let kind = kind_of(row.try_get(1)?);
    let project = ProjectId::new(row.try_get::<&str>(0)?).map_err(bad)?;
    let name = QueueName::new(row.try_get::<&str>(2)?).map_err(bad)?;
    Ok(CatalogueEntry {
        key: QueueKey { project, kind, name },
        pool: PoolName::new(row.try_get::<&str>(3)?).map_err(bad)?,
        epoch: row.try_get::<i64>(4)?.unsigned_abs(),
    })
}

fn missing(key: &QueueKey) -> Error {
    Error::QueueNotMapped { project: key.project.clone(), queue: key.name.clone() }
}

fn bind_key(statement: Sql, key: &QueueKey) -> Sql {
    statement.bind(key.project.to_string()).bind(kind_code(key.kind)).bind(key.name.to_string())
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

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let key = &self.entry.key;
        if self.moving {
            let row = step.row(bind_key(sql(LOCK_ONE), key)).await?;
            let known = entry(&row.ok_or_else(|| missing(key))?)?;
            if known.epoch >= self.entry.epoch {
                let name = key.name.clone();
                return Err(Error::QueueMoved { name, epoch: known.epoch }.into());
            }
        }
        let put = sql(
            "INSERT INTO catalogue (project, kind, name, pool, epoch) VALUES ($1, $2, $3, $4, $5) \
             \
             ON DUPLICATE KEY UPDATE pool = VALUES(pool), epoch = VALUES(epoch)",
        );
        let put = bind_key(put, key)
            .bind(self.entry.pool.to_string())
            .bind(counter_code(self.entry.epoch));
        step.later(put)?;
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

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let delete = match &self.0 {
            Some(key) => bind_key(
                sql("DELETE FROM catalogue WHERE project = $1 AND kind = $2 AND name = $3"),
                key,
            ),
            None => sql("DELETE FROM catalogue"),
        };
        step.later(delete)?;
        Ok(())
    }
}

impl MyControl {
    async fn read_entries(
        &self,
        operation: &'static str,
        project: Option<&ProjectId>,
        select: Sql,
    ) -> Result<Vec<CatalogueEntry>> {
        let rows = self.rows(operation, project, select).await?;
        rows.iter().map(entry).collect::<Result<_, _>>().told(operation)
    }
}

#[async_trait]
impl CatalogueController for MyControl {
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()> {
        let project = entry.key.project.clone();
        self.run(Some(&project), Put { entry, moving: false }).await
    }

    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry> {
        let select = bind_key(sql(SELECT_ONE), key);
        let found = self.read_entries("catalogue_get", Some(&key.project), select).await?;
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
        let (kind, name) = marker
            .map_or((0_i64, String::new()), |key| (kind_code(key.kind), key.name.to_string()));
        let select = sql("SELECT project, kind, name, pool, epoch FROM catalogue \
             WHERE project = $1 AND (kind > $2 OR (kind = $2 AND name > $3)) \
             ORDER BY kind, name LIMIT $4")
        .bind(project.to_string())
        .bind(kind)
        .bind(name)
        .bind(i64::from(limit.get()));
        let entries = self.read_entries("catalogue_list", Some(project), select).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let (project, kind, name) = marker.map_or((String::new(), 0_i64, String::new()), |key| {
            (key.project.to_string(), kind_code(key.kind), key.name.to_string())
        });
        let select = sql("SELECT project, kind, name, pool, epoch FROM catalogue \
             WHERE pool = $1 AND (project > $2 OR (project = $2 \
               AND (kind > $3 OR (kind = $3 AND name > $4)))) \
             ORDER BY project, kind, name LIMIT $5")
        .bind(pool.to_string())
        .bind(project)
        .bind(kind)
        .bind(name)
        .bind(i64::from(limit.get()));
        let entries = self.read_entries("catalogue_list_by_pool", None, select).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64> {
        const OPERATION: &str = "catalogue_count";
        let select = sql("SELECT count(*) FROM catalogue WHERE project = $1 AND name = $2")
            .bind(project.to_string())
            .bind(queue.to_string());
        let rows = self.rows(OPERATION, Some(project), select).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<i64>(0));
        count.map(i64::unsigned_abs).told(OPERATION)
    }

    async fn catalogue_delete_all(&self) -> Result<()> {
        self.run(None, Delete(None)).await
    }
}
