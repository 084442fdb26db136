//! The catalogue.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{
    CatalogueController, CatalogueEntry, Error, Page, PageLimit, PoolName, ProjectId, QueueKey,
    QueueName, Result,
};

use crate::barrier::Place;
use crate::driver::MongoControl;
use crate::error::{Failure, NativeResult, damaged, failed};
use crate::query::Query;
use crate::rows::{kind_code, kind_of};
use crate::schema::CATALOGUE;
use crate::step::Step;
use crate::task::Task;

use super::queue_id;

#[derive(Debug, Deserialize)]
struct Row {
    project: String,
    kind: i64,
    name: String,
    pool: String,
    epoch: i64,
}

impl Row {
    fn entry(&self) -> NativeResult<CatalogueEntry> {
        let bad = |_| damaged("catalogue entry");
        let project = ProjectId::new(&self.project).map_err(bad)?;
        let name = QueueName::new(&self.name).map_err(bad)?;
        Ok(CatalogueEntry {
            key: QueueKey { project, kind: kind_of(self.kind), name },
            pool: PoolName::new(&self.pool).map_err(bad)?,
            epoch: self.epoch.unsigned_abs(),
        })
    }
}

fn missing(key: &QueueKey) -> Error {
    Error::QueueNotMapped { project: key.project.clone(), queue: key.name.clone() }
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
        let id = queue_id(key);
        if self.moving {
            let rows: Vec<Row> = step.find(CATALOGUE, Query::id(id.as_str())).await?;
            let known = rows.first().ok_or_else(|| missing(key))?.entry()?;
            if known.epoch >= self.entry.epoch {
                let name = key.name.clone();
                return Err(Error::QueueMoved { name, epoch: known.epoch }.into());
            }
        }
        let row = doc! {
            "_id": id.as_str(),
            "project": key.project.as_str(),
            "kind": kind_code(key.kind),
            "name": key.name.as_str(),
            "pool": self.entry.pool.as_str(),
            "epoch": epoch_code(self.entry.epoch),
        };
        step.put(CATALOGUE, &id, row).await?;
        Ok(())
    }
}

/// Removes what meets a filter.
#[derive(Debug)]
struct Delete(Document);

#[async_trait]
impl Task for Delete {
    type Output = ();
    const OPERATION: &'static str = "catalogue_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        step.delete(CATALOGUE, self.0.clone()).await?;
        Ok(())
    }
}

impl MongoControl {
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
}

/// What lies behind a marker, in the order of project, kind and name.
fn behind(marker: &QueueKey, with_project: bool) -> Vec<Document> {
    let (project, kind) = (marker.project.as_str(), kind_code(marker.kind));
    let name = doc! { "$gt": marker.name.as_str() };
    let mut places = vec![
        doc! { "project": project, "kind": kind, "name": name },
        doc! { "project": project, "kind": { "$gt": kind } },
    ];
    if with_project {
        places.push(doc! { "project": { "$gt": project } });
    }
    places
}

#[async_trait]
impl CatalogueController for MongoControl {
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()> {
        let party = Some(entry.key.project.clone());
        self.handle.run(party, Put { entry, moving: false }).await
    }

    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry> {
        let found = self.read_entries("catalogue_get", Query::id(queue_id(key))).await?;
        found.into_iter().next().ok_or_else(|| missing(key))
    }

    async fn catalogue_move(&self, key: &QueueKey, pool: &PoolName, epoch: u64) -> Result<()> {
        let entry = CatalogueEntry { key: key.clone(), pool: pool.clone(), epoch };
        self.handle.run(Some(key.project.clone()), Put { entry, moving: true }).await
    }

    async fn catalogue_delete(&self, key: &QueueKey) -> Result<()> {
        let delete = Delete(doc! { "_id": queue_id(key) });
        self.handle.run(Some(key.project.clone()), delete).await
    }

    async fn catalogue_list(
        &self,
        project: &ProjectId,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let mut filter = doc! { "project": project.as_str() };
        if let Some(marker) = marker {
            filter.insert(
                "$or",
                behind(&QueueKey { project: project.clone(), ..marker.clone() }, false),
            );
        }
        let order = doc! { "project": 1, "kind": 1, "name": 1 };
        let query = Query::of(filter).by("listing").sort(order).limit(i64::from(limit.get()));
        let entries = self.read_entries("catalogue_list", query).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>> {
        let mut filter = doc! { "pool": pool.as_str() };
        if let Some(marker) = marker {
            filter.insert("$or", behind(marker, true));
        }
        let order = doc! { "pool": 1, "project": 1, "kind": 1, "name": 1 };
        let query = Query::of(filter).by("by_pool").sort(order).limit(i64::from(limit.get()));
        let entries = self.read_entries("catalogue_list_by_pool", query).await?;
        Ok(Page::of(entries, |entry| entry.key.clone()))
    }

    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64> {
        let filter = doc! { "project": project.as_str(), "name": queue.as_str() };
        let view = self.handle.store.view("catalogue_count", Place::Rest).await?;
        view.count(CATALOGUE, filter, "by_queue").await
    }

    async fn catalogue_delete_all(&self) -> Result<()> {
        self.handle.run(None, Delete(doc! {})).await
    }
}
