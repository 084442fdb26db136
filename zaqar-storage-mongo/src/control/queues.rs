//! Queue and topic records.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{
    Created, Error, Incarnation, JsonObject, ListQueues, Page, PageLimit, ProjectId,
    QueueController, QueueKey, QueueKind, QueueName, QueueRecord, QueueRef, QueueState, Result,
};

use crate::barrier::Place;
use crate::driver::MongoControl;
use crate::error::{Failure, NativeResult, damaged, failed};
use crate::query::Query;
use crate::rows::{kind_code, kind_of, length_code};
use crate::schema::{META, QUEUES};
use crate::step::Step;
use crate::tables::{incarnation, queue_code};
use crate::task::Task;

use super::{from_text, queue_id, to_text};

/// Records that one step of a filtered listing reads.
const LIST_STEP: i64 = 500;
/// The counter of incarnations.
const COUNTER: &str = "incarnations";

#[derive(Debug, Deserialize)]
struct Row {
    project: String,
    kind: i64,
    name: String,
    incarnation: i64,
    metadata: String,
    revision: i64,
    deleting: bool,
}

impl Row {
    fn record(&self) -> NativeResult<QueueRecord> {
        let bad = |_| damaged("queue record");
        let project = ProjectId::new(&self.project).map_err(bad)?;
        let name = QueueName::new(&self.name).map_err(bad)?;
        Ok(QueueRecord {
            key: QueueKey { project, kind: kind_of(self.kind), name },
            incarnation: incarnation(self.incarnation).map_err(bad)?,
            metadata: from_text(&self.metadata, "queue metadata")?,
            revision: self.revision.unsigned_abs(),
            state: if self.deleting { QueueState::Deleting } else { QueueState::Active },
        })
    }
}

async fn find(step: &mut Step<'_>, key: &QueueKey) -> NativeResult<Option<QueueRecord>> {
    let rows: Vec<Row> = step.find(QUEUES, Query::id(queue_id(key))).await?;
    rows.first().map(Row::record).transpose()
}

#[derive(Debug)]
struct Allocate;

#[derive(Debug, Deserialize)]
struct Counter {
    next: i64,
}

#[async_trait]
impl Task for Allocate {
    type Output = Incarnation;
    const OPERATION: &'static str = "queue_allocate_incarnation";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Incarnation, Failure> {
        let take = doc! { "$inc": { "next": 1_i64 } };
        let before: Option<Counter> = step.modify(META, doc! { "_id": COUNTER }, take).await?;
        if let Some(counter) = before {
            return Ok(incarnation(counter.next)?);
        }
        step.insert_one(META, doc! { "_id": COUNTER, "next": 2_i64 }).await?;
        Ok(incarnation(1)?)
    }
}

#[derive(Debug)]
struct Insert {
    queue: QueueRef,
    metadata: JsonObject,
}

#[async_trait]
impl Task for Insert {
    type Output = Created<QueueRecord>;
    const OPERATION: &'static str = "queue_insert";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure> {
        let key = &self.queue.key;
        if let Some(existing) = find(step, key).await? {
            return Ok(Created::Existing(existing));
        }
        let row = doc! {
            "_id": queue_id(key),
            "project": key.project.as_str(),
            "kind": kind_code(key.kind),
            "name": key.name.as_str(),
            "incarnation": queue_code(self.queue.incarnation),
            "metadata": to_text(&self.metadata)?,
            "revision": 1_i64,
            "deleting": false,
        };
        step.insert_one(QUEUES, row).await?;
        Ok(Created::New(QueueRecord {
            key: key.clone(),
            incarnation: self.queue.incarnation,
            metadata: self.metadata.clone(),
            revision: 1,
            state: QueueState::Active,
        }))
    }
}

#[derive(Debug)]
struct SetMetadata {
    queue: QueueRef,
    revision: u64,
    metadata: JsonObject,
}

#[async_trait]
impl Task for SetMetadata {
    type Output = QueueRecord;
    const OPERATION: &'static str = "queue_set_metadata";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<QueueRecord, Failure> {
        let key = &self.queue.key;
        let missing =
            || Error::QueueNotFound { project: key.project.clone(), name: key.name.clone() };
        let mut record = find(step, key).await?.ok_or_else(missing)?;
        if record.incarnation != self.queue.incarnation || record.state == QueueState::Deleting {
            return Err(missing().into());
        }
        if record.revision != self.revision {
            return Err(Error::QueueChanged { name: key.name.clone() }.into());
        }
        record.revision += 1;
        record.metadata.clone_from(&self.metadata);
        let update = doc! {
            "$set": { "metadata": to_text(&self.metadata)? },
            "$inc": { "revision": 1_i64 },
        };
        step.update(QUEUES, doc! { "_id": queue_id(key) }, update).await?;
        Ok(record)
    }
}

/// Marks a record, or removes a marked one, if it is of that incarnation.
#[derive(Debug)]
struct Retire {
    queue: QueueRef,
    remove: bool,
}

#[async_trait]
impl Task for Retire {
    type Output = ();
    const OPERATION: &'static str = "queue_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let mut filter = doc! {
            "_id": queue_id(&self.queue.key),
            "incarnation": queue_code(self.queue.incarnation),
        };
        if self.remove {
            filter.insert("deleting", true);
            step.delete(QUEUES, filter).await?;
        } else {
            step.update(QUEUES, filter, doc! { "$set": { "deleting": true } }).await?;
        }
        Ok(())
    }
}

impl MongoControl {
    async fn read_records(
        &self,
        operation: &'static str,
        query: Query,
    ) -> Result<Vec<QueueRecord>> {
        self.handle.store.abandoned.settle(None).await;
        let view = self.handle.store.view(operation, Place::Rest).await?;
        let rows: Vec<Row> = view.find(QUEUES, query).await?;
        let records: NativeResult<Vec<_>> = rows.iter().map(Row::record).collect();
        records.map_err(|error| failed(operation, &error))
    }
}

/// A project's active records of a kind.
fn active(project: &ProjectId, kind: QueueKind) -> Document {
    doc! { "project": project.as_str(), "kind": kind_code(kind), "deleting": false }
}

#[async_trait]
impl QueueController for MongoControl {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        self.handle.run(None, Allocate).await
    }

    async fn queue_insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>> {
        let task = Insert { queue: queue.clone(), metadata: metadata.clone() };
        self.handle.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_find(&self, key: &QueueKey) -> Result<Option<QueueRecord>> {
        let found = self.read_records("queue_find", Query::id(queue_id(key))).await?;
        Ok(found.into_iter().next())
    }

    async fn queue_set_metadata(
        &self,
        queue: &QueueRef,
        revision: u64,
        metadata: &JsonObject,
    ) -> Result<QueueRecord> {
        let task = SetMetadata { queue: queue.clone(), revision, metadata: metadata.clone() };
        self.handle.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_mark_deleting(&self, queue: &QueueRef) -> Result<()> {
        let task = Retire { queue: queue.clone(), remove: false };
        self.handle.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_remove(&self, queue: &QueueRef) -> Result<()> {
        let task = Retire { queue: queue.clone(), remove: true };
        self.handle.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_list(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>> {
        const OPERATION: &str = "queue_list";
        let mut after = options.marker.as_ref().map(ToString::to_string).unwrap_or_default();
        let wanted = options.limit.as_usize();
        let limit = LIST_STEP.max(i64::from(options.limit.get()));
        let mut items = Vec::new();
        loop {
            let mut filter = active(project, kind);
            filter.insert("name", doc! { "$gt": after.as_str() });
            if let Some(text) = &options.name_contains {
                // Literal text, compared by bytes: no pattern can reach out of the project.
                let place = doc! { "$indexOfBytes": ["$name", { "$literal": text.as_str() }] };
                filter.insert("$expr", doc! { "$gte": [place, 0] });
            }
            let query = Query::of(filter).by("listing").sort(doc! { "name": 1 }).limit(limit);
            let step = self.read_records(OPERATION, query).await?;
            let Some(last) = step.last() else { break };
            after = last.key.name.to_string();
            let full = length_code(step.len()) >= limit;
            let meets = |record: &QueueRecord| {
                options.filters.iter().all(|filter| filter.matches(&record.metadata))
            };
            let room = wanted.saturating_sub(items.len());
            items.extend(step.into_iter().filter(meets).take(room));
            if items.len() >= wanted || !full {
                break;
            }
        }
        Ok(Page::of(items, |record| record.key.name.clone()))
    }

    async fn queue_count(&self, project: &ProjectId, kind: QueueKind) -> Result<u64> {
        let view = self.handle.store.view("queue_count", Place::Rest).await?;
        view.count(QUEUES, active(project, kind), "listing").await
    }

    async fn queue_list_deleting(&self, limit: PageLimit) -> Result<Vec<QueueRecord>> {
        let query = Query::of(doc! { "deleting": true }).by("deleting");
        let query = query.sort(doc! { "incarnation": 1 }).limit(i64::from(limit.get()));
        self.read_records("queue_list_deleting", query).await
    }
}
