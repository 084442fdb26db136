//! Queue and topic records.

use async_trait::async_trait;
use zaqar_core::{
    Created, Error, Incarnation, JsonObject, ListQueues, Page, PageLimit, ProjectId,
    QueueController, QueueKey, QueueKind, QueueName, QueueRecord, QueueRef, QueueState, Result,
};

use crate::codes::{incarnation_code, kind_code, kind_of};
use crate::dialect::{Columns, Counter, Steps, Task, Text};
use crate::error::{Failure, damaged};
use crate::statement::{Statement, statement};

use super::{Control, ControlStore, from_text, to_text};

/// Records that one step of a filtered listing reads.
const LIST_STEP: i64 = 500;

/// How often an insert meets a record that is gone a moment later, before it gives up.
const ATTEMPTS: usize = 16;

/// The columns of a record, and a condition.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT project, kind, name, incarnation, metadata, revision, deleting FROM queues ",
            $condition
        )
    };
}

const SELECT: &str = select!("WHERE project = $1 AND kind = $2 AND name = $3");

/// What is selected stays as it is until the transaction ends.
const LOCK: Text = Text {
    postgres: select!("WHERE project = $1 AND kind = $2 AND name = $3 FOR UPDATE"),
    mysql: select!("WHERE project = $1 AND kind = $2 AND name = $3 FOR UPDATE"),
    sqlite: SELECT,
};

macro_rules! insert {
    ($or_else:literal) => {
        concat!(
            "INSERT INTO queues (project, kind, name, incarnation, metadata, revision, deleting) \
             VALUES ($1, $2, $3, $4, $5, 1, false)",
            $or_else
        )
    };
}

/// Two who insert at once meet at the key: in MySQL the later transaction runs again as a whole, and
/// SQLite has one writer.
const INSERT: Text = Text {
    postgres: insert!(" ON CONFLICT (project, kind, name) DO NOTHING"),
    mysql: insert!(""),
    sqlite: insert!(""),
};

/// The functions compare bytes and know no wildcard.
const LIST: Text = Text {
    postgres: select!(
        "WHERE project = $1 AND kind = $2 AND name > $3 AND NOT deleting \
           AND ($4::text IS NULL OR strpos(name, $4) > 0) ORDER BY name LIMIT $5"
    ),
    mysql: select!(
        "WHERE project = $1 AND kind = $2 AND name > $3 AND NOT deleting \
           AND ($4 IS NULL OR INSTR(name, $4) > 0) ORDER BY name LIMIT $5"
    ),
    sqlite: select!(
        "WHERE project = $1 AND kind = $2 AND name > $3 AND NOT deleting \
           AND ($4 IS NULL OR instr(name, $4) > 0) ORDER BY name LIMIT $5"
    ),
};

/// As the partial indexes have it.
const LIST_DELETING: Text = Text {
    postgres: select!("WHERE deleting ORDER BY incarnation LIMIT $1"),
    mysql: select!("WHERE deleting = 1 ORDER BY incarnation LIMIT $1"),
    sqlite: select!("WHERE deleting = 1 ORDER BY incarnation LIMIT $1"),
};

const MARK: &str = "UPDATE queues SET deleting = true \
     WHERE project = $1 AND kind = $2 AND name = $3 AND incarnation = $4";
const REMOVE: &str = "DELETE FROM queues \
     WHERE project = $1 AND kind = $2 AND name = $3 AND incarnation = $4 AND deleting";

fn record(row: &impl Columns) -> Result<QueueRecord, sqlx::Error> {
    let bad = |_| damaged("queue record");
    let project = ProjectId::new(row.text(0)?).map_err(bad)?;
    let name = QueueName::new(row.text(2)?).map_err(bad)?;
    let state = if row.flag(6)? { QueueState::Deleting } else { QueueState::Active };
    Ok(QueueRecord {
        key: QueueKey { project, kind: kind_of(row.int(1)?), name },
        incarnation: Incarnation::new(row.int(3)?.unsigned_abs()).map_err(bad)?,
        metadata: from_text(row.text(4)?, "queue metadata")?,
        revision: row.int(5)?.unsigned_abs(),
        state,
    })
}

/// A statement about one record.
fn about(text: &'static str, key: &QueueKey) -> Statement {
    statement(text).bind(key.project.as_str()).bind(kind_code(key.kind)).bind(key.name.as_str())
}

async fn find<S: Steps>(
    step: &mut S,
    select: &'static str,
    key: &QueueKey,
) -> Result<Option<QueueRecord>, sqlx::Error> {
    step.first(about(select, key)).await?.map(|row| record(&row)).transpose()
}

#[derive(Debug)]
struct Allocate;

#[async_trait]
impl Task for Allocate {
    type Output = Incarnation;
    const OPERATION: &'static str = "queue_allocate_incarnation";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<Incarnation, Failure> {
        let counter = Counter {
            take: statement("UPDATE incarnations SET next = next + 1 RETURNING next - 1"),
            count: statement("UPDATE incarnations SET next = next + 1"),
            look: statement("SELECT next - 1 FROM incarnations"),
        };
        let number = step.take(counter).await?.ok_or_else(|| damaged("incarnation counter"))?;
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

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<Self::Output, Failure> {
        let key = &self.queue.key;
        for _ in 0..ATTEMPTS {
            if let Some(existing) = find(step, SELECT, key).await? {
                return Ok(Created::Existing(existing));
            }
            let insert = about(S::choose(INSERT), key)
                .bind(incarnation_code(self.queue.incarnation))
                .bind(to_text(&self.metadata)?);
            if step.affect(insert).await? > 0 {
                return Ok(Created::New(QueueRecord {
                    key: key.clone(),
                    incarnation: self.queue.incarnation,
                    metadata: self.metadata.clone(),
                    revision: 1,
                    state: QueueState::Active,
                }));
            }
            // It was inserted between the two statements, and may be removed before the next.
        }
        Err(Failure::Engine(sqlx::Error::RowNotFound))
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

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<QueueRecord, Failure> {
        let key = &self.queue.key;
        let missing =
            || Error::QueueNotFound { project: key.project.clone(), name: key.name.clone() };
        let mut record = find(step, S::choose(LOCK), key).await?.ok_or_else(missing)?;
        if record.incarnation != self.queue.incarnation || record.state == QueueState::Deleting {
            return Err(missing().into());
        }
        if record.revision != self.revision {
            return Err(Error::QueueChanged { name: key.name.clone() }.into());
        }
        record.revision += 1;
        record.metadata.clone_from(&self.metadata);
        let update = about(
            "UPDATE queues SET metadata = $4, revision = revision + 1 \
             WHERE project = $1 AND kind = $2 AND name = $3",
            key,
        );
        step.effect(update.bind(to_text(&self.metadata)?)).await?;
        Ok(record)
    }
}

/// Marks a record, or removes a marked one, if it is of that incarnation.
#[derive(Debug)]
struct Retire {
    queue: QueueRef,
    statement: &'static str,
}

#[async_trait]
impl Task for Retire {
    type Output = ();
    const OPERATION: &'static str = "queue_delete";

    async fn run<S: Steps>(&mut self, step: &mut S) -> Result<(), Failure> {
        let change = about(self.statement, &self.queue.key);
        step.effect(change.bind(incarnation_code(self.queue.incarnation))).await?;
        Ok(())
    }
}

impl<C: ControlStore> Control<C> {
    /// One step of a listing: records after a name, whatever their metadata.
    async fn list_step(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        after: String,
        options: &ListQueues,
    ) -> Result<Vec<QueueRecord>> {
        let select = statement(C::choose(LIST))
            .bind(project.as_str())
            .bind(kind_code(kind))
            .bind(after)
            .bind(options.name_contains.clone())
            .bind(LIST_STEP.max(i64::from(options.limit.get())));
        self.read("queue_list", Some(project), select, record).await
    }
}

#[async_trait]
impl<C: ControlStore> QueueController for Control<C> {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        self.run(None, Allocate).await
    }

    async fn queue_insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>> {
        let task = Insert { queue: queue.clone(), metadata: metadata.clone() };
        self.run(Some(&queue.key.project), task).await
    }

    async fn queue_find(&self, key: &QueueKey) -> Result<Option<QueueRecord>> {
        let select = about(SELECT, key);
        let found = self.read("queue_find", Some(&key.project), select, record).await?;
        Ok(found.into_iter().next())
    }

    async fn queue_set_metadata(
        &self,
        queue: &QueueRef,
        revision: u64,
        metadata: &JsonObject,
    ) -> Result<QueueRecord> {
        let task = SetMetadata { queue: queue.clone(), revision, metadata: metadata.clone() };
        self.run(Some(&queue.key.project), task).await
    }

    async fn queue_mark_deleting(&self, queue: &QueueRef) -> Result<()> {
        let task = Retire { queue: queue.clone(), statement: MARK };
        self.run(Some(&queue.key.project), task).await
    }

    async fn queue_remove(&self, queue: &QueueRef) -> Result<()> {
        let task = Retire { queue: queue.clone(), statement: REMOVE };
        self.run(Some(&queue.key.project), task).await
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
            let step = self.list_step(project, kind, after, &options).await?;
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
        let select = statement(
            "SELECT count(*) FROM queues WHERE project = $1 AND kind = $2 AND NOT deleting",
        );
        let select = select.bind(project.as_str()).bind(kind_code(kind));
        self.count("queue_count", Some(project), select).await
    }

    async fn queue_list_deleting(&self, limit: PageLimit) -> Result<Vec<QueueRecord>> {
        let select = statement(C::choose(LIST_DELETING)).bind(i64::from(limit.get()));
        self.read("queue_list_deleting", None, select, record).await
    }
}
