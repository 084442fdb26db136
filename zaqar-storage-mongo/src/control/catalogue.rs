//! The catalogue.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Incarnation, Page, PageLimit, PoolName, ProjectId,
    QueueKey, QueueName, QueueRef, Result,
};

use crate::barrier::Place;
use crate::driver::MongoControl;
use crate::error::{Failure, NativeResult, damaged, failed};
use crate::query::Query;
use crate::rows::{kind_code, kind_of};
use crate::schema::CATALOGUE;
use crate::step::Step;
use crate::tables::{incarnation, queue_code};
use crate::task::Task;

#[derive(Debug, Deserialize)]
struct Row {
    incarnation: i64,
    project: String,
    kind: i64,
    name: String,
    pool: String,
    source: Option<String>,
    epoch: i64,
}

impl Row {
    fn entry(&self) -> NativeResult<CatalogueEntry> {
        let bad = |_| damaged("catalogue entry");
        let project = ProjectId::new(&self.project).map_err(bad)?;
        let name = QueueName::new(&self.name).map_err(bad)?;
        let key = QueueKey { project, kind: kind_of(self.kind), name };
        let source = self.source.as_ref().map(PoolName::new).transpose().map_err(bad)?;
        Ok(CatalogueEntry {
            queue: key.incarnate(incarnation(self.incarnation).map_err(bad)?),
            pool: PoolName::new(&self.pool).map_err(bad)?,
            source,
            epoch: self.epoch.unsigned_abs(),
        })
    }
}

/// What a mapping is filed under.
fn id_of(queue: &QueueRef) -> String {
    queue.incarnation.to_string()
}

fn document(entry: &CatalogueEntry) -> Document {
    let CatalogueEntry { queue, pool, source, epoch } = entry;
    let mut row = doc! {
        "_id": id_of(queue),
        "incarnation": queue_code(queue.incarnation),
        "project": queue.key.project.as_str(),
        "kind": kind_code(queue.key.kind),
        "name": queue.key.name.as_str(),
        "pool": pool.as_str(),
        "epoch": i64::try_from(*epoch).unwrap_or(i64::MAX),
    };
    if let Some(source) = source {
        row.insert("source", source.as_str());
    }
    row
}

fn missing(queue: &QueueRef) -> Error {
    let QueueKey { project, name, .. } = &queue.key;
    Error::QueueNotMapped { project: project.clone(), queue: name.clone() }
}

fn moved(known: CatalogueEntry) -> Error {
    Error::QueueMoved { name: known.queue.key.name, epoch: known.epoch }
}

/// What becomes of a mapping.
#[derive(Debug)]
enum Change {
    /// It is made.
    Put(PoolName),
    /// A move to this pool begins.
    Move(PoolName, u64),
    /// The move of this epoch ends.
    Settle(u64),
}

impl Change {
    /// The mapping afterwards; `None` if nothing changes.
    fn apply(
        &self,
        queue: &QueueRef,
        known: Option<CatalogueEntry>,
    ) -> Result<Option<CatalogueEntry>> {
        match (self, known) {
            (Self::Put(pool), None) => {
                let (queue, pool) = (queue.clone(), pool.clone());
                Ok(Some(CatalogueEntry { queue, pool, source: None, epoch: 0 }))
            }
            (Self::Put(pool), Some(known)) if known.pool == *pool && known.epoch == 0 => Ok(None),
            (Self::Move(pool, epoch), Some(known))
                if *epoch > known.epoch && known.source.is_none() =>
            {
                let (pool, source) = (pool.clone(), Some(known.pool));
                Ok(Some(CatalogueEntry { queue: known.queue, pool, source, epoch: *epoch }))
            }
            (Self::Settle(epoch), Some(known)) if *epoch == known.epoch => {
                Ok(Some(CatalogueEntry { source: None, ..known }))
            }
            (_, Some(known)) => Err(moved(known)),
            (_, None) => Err(missing(queue)),
        }
    }
}

#[derive(Debug)]
struct Write {
    queue: QueueRef,
    change: Change,
}

#[async_trait]
impl Task for Write {
    type Output = ();
    const OPERATION: &'static str = "catalogue_put";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let id = id_of(&self.queue);
        let rows: Vec<Row> = step.find(CATALOGUE, Query::id(id.as_str())).await?;
        let known = rows.first().map(Row::entry).transpose()?;
        if let Some(entry) = self.change.apply(&self.queue, known)? {
            step.put(CATALOGUE, &id, document(&entry)).await?;
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Delete(QueueRef);

#[async_trait]
impl Task for Delete {
    type Output = ();
    const OPERATION: &'static str = "catalogue_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        step.delete(CATALOGUE, doc! { "_id": id_of(&self.0) }).await?;
        Ok(())
    }
}

impl MongoControl {
    async fn write_entry(&self, queue: &QueueRef, change: Change) -> Result<()> {
        let write = Write { queue: queue.clone(), change };
        self.handle.run(Some(queue.key.project.clone()), write).await
    }

    async fn read_entries(
        &self,
        operation: &'static str,
        query: Query,
    ) -> Result<Vec<CatalogueEntry>> {
        self.handle.store.abandoned.settle(None).await;
        let view = self.handle.store.view(operation, Place::Rest).await?;
        let rows: Vec<Row> = view.find(CATALOGUE, query).await?;
        let entries: NativeResult<Vec<_>> = rows.iter().map(Row::entry).collect();
        entries.map_err(|error| failed(operation, &error))
    }

    async fn list_entries(
        &self,
        operation: &'static str,
        mut filter: Document,
        index: &str,
        (marker, limit): (Option<Incarnation>, PageLimit),
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        if let Some(marker) = marker {
            filter.insert("incarnation", doc! { "$gt": queue_code(marker) });
        }
        let order = doc! { "incarnation": 1 };
        let query = Query::of(filter).by(index).sort(order).limit(i64::from(limit.get()));
        let entries = self.read_entries(operation, query).await?;
        Ok(Page::of(entries, |entry| entry.queue.incarnation))
    }
}

#[async_trait]
impl CatalogueController for MongoControl {
    async fn catalogue_put(&self, queue: &QueueRef, pool: &PoolName) -> Result<()> {
        self.write_entry(queue, Change::Put(pool.clone())).await
    }

    async fn catalogue_get(&self, queue: &QueueRef) -> Result<CatalogueEntry> {
        let found = self.read_entries("catalogue_get", Query::id(id_of(queue))).await?;
        found.into_iter().next().ok_or_else(|| missing(queue))
    }

    async fn catalogue_move(&self, queue: &QueueRef, pool: &PoolName, epoch: u64) -> Result<()> {
        self.write_entry(queue, Change::Move(pool.clone(), epoch)).await
    }

    async fn catalogue_settle(&self, queue: &QueueRef, epoch: u64) -> Result<()> {
        self.write_entry(queue, Change::Settle(epoch)).await
    }

    async fn catalogue_delete(&self, queue: &QueueRef) -> Result<()> {
        self.handle.run(Some(queue.key.project.clone()), Delete(queue.clone())).await
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        let filter = doc! { "pool": pool.as_str() };
        self.list_entries("catalogue_list_by_pool", filter, "of_pool", (marker, limit)).await
    }

    async fn catalogue_list_moving(
        &self,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        let filter = doc! { "source": { "$exists": true } };
        self.list_entries("catalogue_list_moving", filter, "moving", (marker, limit)).await
    }
}
