//! The catalogue.

use async_trait::async_trait;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Page, PageLimit, PoolName, ProjectId, QueueKey,
    QueueKind, QueueName, Result,
};

use crate::error::{Failure, damaged};
use crate::sqlite::driver::SqliteControl;
use crate::sqlite::heads::kind_code;
use crate::sqlite::reader::failed;
use crate::sqlite::statement::{Row, Statement, query};
use crate::sqlite::step::Step;
use crate::sqlite::task::Task;

const SELECT_ONE: &str = "SELECT project, kind, name, pool, epoch FROM catalogue \
     WHERE project = ? AND kind = ? AND name = ?";

fn entry(row: &Row) -> Result<CatalogueEntry, sqlx::Error> {
    let bad = |_| damaged("catalogue entry");
    let kind = match row.try_get::<i64>(1)? {
        0 => QueueKind::Queue,
        _ => QueueKind::Topic,
    };
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

fn bind_key(statement: Statement, key: &QueueKey) -> Statement {
    statement.bind(key.project.to_string()).bind(kind_code(key.kind)).bind(key.name.to_string())
}

fn epoch_code(epoch: u64) -> i64 {
    i64::try_from(epoch).unwrap_or(i64::MAX)
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
            let row = step.row(bind_key(query(SELECT_ONE), key)).await?;
            let known = entry(&row.ok_or_else(|| missing(key))?)?;
            if known.epoch >= self.entry.epoch {
                let name = key.name.clone();
                return Err(Error::QueueMoved { name, epoch: known.epoch }.into());
            }
        }
        let put = query(
            "INSERT OR REPLACE INTO catalogue (project, kind, name, pool, epoch) \
             VALUES (?, ?, ?, ?, ?)",
        );
        let put =
            bind_key(put, key).bind(self.entry.pool.to_string()).bind(epoch_code(self.entry.epoch));
        step.execute(put).await?;
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
                query("DELETE FROM catalogue WHERE project = ? AND kind = ? AND name = ?"),
                key,
            ),
            None => query("DELETE FROM catalogue"),
        };
        step.execute(delete).await?;
        Ok(())
    }
}

impl SqliteControl {
    async fn read_entries(
        &self,
        operation: &'static str,
        select: Statement,
    ) -> Result<Vec<CatalogueEntry>> {
        let rows = self.store.reader.rows(operation, select).await?;
        let entries: Result<Vec<_>, _> = rows.iter().map(entry).collect();
        entries.map_err(|error| failed(operation, error))
    }
}

#[async_trait]
impl CatalogueController for SqliteControl {
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()> {
        let lane = Some(entry.key.project.clone());
        self.store.run(lane, Put { entry, moving: false }).await
    }

    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry> {
        let select = bind_key(query(SELECT_ONE), key);
        let found = self.read_entries("catalogue_get", select).await?;
        found.into_iter().next().ok_or_else(|| missing(key))
    }

    async fn catalogue_move(&self, key: &QueueKey, pool: &PoolName, epoch: u64) -> Result<()> {
        let entry = CatalogueEntry { key: key.clone(), pool: pool.clone(), epoch };
        self.store.run(Some(key.project.clone()), Put { entry, moving: true }).await
    }

    async fn catalogue_delete(&self, key: &QueueKey) -> Result<()> {
        self.store.run(Some(key.project.clone()), Delete(Some(key.clone()))).await
    }

    async fn catalogue_list(
        &self,
        project: &ProjectId,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let (kind, name) =
            marker.map_or((0, String::new()), |key| (kind_code(key.kind), key.name.to_string()));
        let select = query(
            "SELECT project, kind, name, pool, epoch FROM catalogue \
             WHERE project = ? AND (kind, name) > (?, ?) ORDER BY kind, name LIMIT ?",
        )
        .bind(project.to_string())
        .bind(kind)
        .bind(name)
        .bind(i64::from(limit.get()));
        let entries = self.read_entries("catalogue_list", select).await?;
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
        let select = query(
            "SELECT project, kind, name, pool, epoch FROM catalogue \
             WHERE pool = ? AND (project, kind, name) > (?, ?, ?) \
             ORDER BY project, kind, name LIMIT ?",
        )
        .bind(pool.to_string())
        .bind(project)
        .bind(kind)
        .bind(name)
        .bind(i64::from(limit.get()));
        let entries = self.read_entries("catalogue_list_by_pool", select).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64> {
        const OPERATION: &str = "catalogue_count";
        let select = query("SELECT count(*) FROM catalogue WHERE project = ? AND name = ?")
            .bind(project.to_string())
            .bind(queue.to_string());
        let rows = self.store.reader.rows(OPERATION, select).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<i64>(0));
        count.map(i64::unsigned_abs).map_err(|error| failed(OPERATION, error))
    }

    async fn catalogue_delete_all(&self) -> Result<()> {
        self.store.run(None, Delete(None)).await
    }
}
