//! Queue and topic records.

use async_trait::async_trait;
use zaqar_core::{
    Created, Error, Incarnation, JsonObject, ListQueues, Page, PageLimit, ProjectId,
    QueueController, QueueKey, QueueKind, QueueName, QueueRecord, QueueRef, QueueState, Result,
};

use crate::error::{Failure, damaged};
use crate::sqlite::driver::SqliteControl;
use crate::sqlite::heads::{incarnation_code, kind_code};
use crate::sqlite::reader::failed;
use crate::sqlite::statement::{Row, query};
use crate::sqlite::step::Step;
use crate::sqlite::task::Task;

use super::{from_text, to_text};

/// Records that one step of a filtered listing reads.
const LIST_STEP: i64 = 500;

const SELECT: &str = "SELECT project, kind, name, incarnation, metadata, revision, deleting \
     FROM queues WHERE project = ? AND kind = ? AND name = ?";

fn record(row: &Row) -> Result<QueueRecord, sqlx::Error> {
    let bad = |_| damaged("queue record");
    let kind = match row.try_get::<i64>(1)? {
        0 => QueueKind::Queue,
        _ => QueueKind::Topic,
    };
    let project = ProjectId::new(row.try_get::<&str>(0)?).map_err(bad)?;
    let name = QueueName::new(row.try_get::<&str>(2)?).map_err(bad)?;
    let incarnation = row.try_get::<i64>(3)?.unsigned_abs();
    let deleting: bool = row.try_get(6)?;
    Ok(QueueRecord {
        key: QueueKey { project, kind, name },
        incarnation: Incarnation::new(incarnation).map_err(bad)?,
        metadata: from_text(row.try_get(4)?, "queue metadata")?,
        revision: row.try_get::<i64>(5)?.unsigned_abs(),
        state: if deleting { QueueState::Deleting } else { QueueState::Active },
    })
}

async fn find(step: &mut Step<'_>, key: &QueueKey) -> Result<Option<QueueRecord>, sqlx::Error> {
    let select = query(SELECT)
        .bind(key.project.to_string())
        .bind(kind_code(key.kind))
        .bind(key.name.to_string());
    step.row(select).await?.map(|row| record(&row)).transpose()
}

#[derive(Debug)]
struct Allocate;

#[async_trait]
impl Task for Allocate {
    type Output = Incarnation;
    const OPERATION: &'static str = "queue_allocate_incarnation";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Incarnation, Failure> {
        let take = query("UPDATE incarnations SET next = next + 1 RETURNING next - 1");
        let row = step.row(take).await?.ok_or_else(|| damaged("incarnation counter"))?;
        let number: i64 = row.try_get(0)?;
        Ok(Incarnation::new(number.unsigned_abs())?)
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
        if let Some(existing) = find(step, &self.queue.key).await? {
            return Ok(Created::Existing(existing));
        }
        let key = &self.queue.key;
        let insert = query(
            "INSERT INTO queues (project, kind, name, incarnation, metadata, revision, deleting) \
             VALUES (?, ?, ?, ?, ?, 1, 0)",
        )
        .bind(key.project.to_string())
        .bind(kind_code(key.kind))
        .bind(key.name.to_string())
        .bind(incarnation_code(self.queue.incarnation))
        .bind(to_text(&self.metadata)?);
        step.execute(insert).await?;
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
        let update = query(
            "UPDATE queues SET metadata = ?, revision = revision + 1 \
             WHERE project = ? AND kind = ? AND name = ?",
        )
        .bind(to_text(&self.metadata)?)
        .bind(key.project.to_string())
        .bind(kind_code(key.kind))
        .bind(key.name.to_string());
        step.execute(update).await?;
        Ok(record)
    }
}

/// Marks a record, or removes a marked one, if it is of that incarnation.
#[derive(Debug)]
struct Retire {
    queue: QueueRef,
    statement: &'static str,
}

const MARK: &str = "UPDATE queues SET deleting = 1 \
     WHERE project = ? AND kind = ? AND name = ? AND incarnation = ?";
const REMOVE: &str = "DELETE FROM queues \
     WHERE project = ? AND kind = ? AND name = ? AND incarnation = ? AND deleting = 1";

#[async_trait]
impl Task for Retire {
    type Output = ();
    const OPERATION: &'static str = "queue_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let key = &self.queue.key;
        let change = query(self.statement)
            .bind(key.project.to_string())
            .bind(kind_code(key.kind))
            .bind(key.name.to_string())
            .bind(incarnation_code(self.queue.incarnation));
        step.execute(change).await?;
        Ok(())
    }
}

impl SqliteControl {
    /// One step of a listing: records after a name, whatever their metadata.
    async fn list_step(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        after: &str,
        options: &ListQueues,
    ) -> Result<Vec<QueueRecord>> {
        const OPERATION: &str = "queue_list";
        // instr() compares bytes and knows no wildcard.
        let select = query(
            "SELECT project, kind, name, incarnation, metadata, revision, deleting FROM queues \
             WHERE project = ? AND kind = ? AND name > ? AND deleting = 0 \
               AND (? IS NULL OR instr(name, ?) > 0) ORDER BY name LIMIT ?",
        )
        .bind(project.to_string())
        .bind(kind_code(kind))
        .bind(after.to_owned())
        .bind(options.name_contains.clone())
        .bind(options.name_contains.clone())
        .bind(LIST_STEP.max(i64::from(options.limit.get())));
        let rows = self.store.reader.rows(OPERATION, select).await?;
        let records: Result<Vec<_>, _> = rows.iter().map(record).collect();
        records.map_err(|error| failed(OPERATION, error))
    }
}

#[async_trait]
impl QueueController for SqliteControl {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        self.store.run(None, Allocate).await
    }

    async fn queue_insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>> {
        let task = Insert { queue: queue.clone(), metadata: metadata.clone() };
        self.store.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_find(&self, key: &QueueKey) -> Result<Option<QueueRecord>> {
        const OPERATION: &str = "queue_find";
        let select = query(SELECT)
            .bind(key.project.to_string())
            .bind(kind_code(key.kind))
            .bind(key.name.to_string());
        let rows = self.store.reader.rows(OPERATION, select).await?;
        let found = rows.first().map(record).transpose();
        found.map_err(|error| failed(OPERATION, error))
    }

    async fn queue_set_metadata(
        &self,
        queue: &QueueRef,
        revision: u64,
        metadata: &JsonObject,
    ) -> Result<QueueRecord> {
        let task = SetMetadata { queue: queue.clone(), revision, metadata: metadata.clone() };
        self.store.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_mark_deleting(&self, queue: &QueueRef) -> Result<()> {
        let task = Retire { queue: queue.clone(), statement: MARK };
        self.store.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_remove(&self, queue: &QueueRef) -> Result<()> {
        let task = Retire { queue: queue.clone(), statement: REMOVE };
        self.store.run(Some(queue.key.project.clone()), task).await
    }

    async fn queue_list(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>> {
        let mut after = options.marker.as_ref().map(ToString::to_string).unwrap_or_default();
        let wanted = options.limit.as_usize();
        let mut items = Vec::new();
        loop {
            let step = self.list_step(project, kind, &after, &options).await?;
            let Some(last) = step.last() else { break };
            after = last.key.name.to_string();
            let full = i64::try_from(step.len()).is_ok_and(|found| found >= LIST_STEP);
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
        const OPERATION: &str = "queue_count";
        let select =
            query("SELECT count(*) FROM queues WHERE project = ? AND kind = ? AND deleting = 0")
                .bind(project.to_string())
                .bind(kind_code(kind));
        let rows = self.store.reader.rows(OPERATION, select).await?;
        let count = rows.first().map_or(Ok(0), |row| row.try_get::<i64>(0));
        count.map(i64::unsigned_abs).map_err(|error| failed(OPERATION, error))
    }

    async fn queue_list_deleting(&self, limit: PageLimit) -> Result<Vec<QueueRecord>> {
        const OPERATION: &str = "queue_list_deleting";
        let select = query(
            "SELECT project, kind, name, incarnation, metadata, revision, deleting \
             FROM queues WHERE deleting = 1 ORDER BY incarnation LIMIT ?",
        )
        .bind(i64::from(limit.get()));
        let rows = self.store.reader.rows(OPERATION, select).await?;
        let records: Result<Vec<_>, _> = rows.iter().map(record).collect();
        records.map_err(|error| failed(OPERATION, error))
    }
}
