//! Queue and topic records.

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use zaqar_core::{
    Created, Error, Incarnation, JsonObject, ListQueues, Page, PageLimit, ProjectId,
    QueueController, QueueKey, QueueKind, QueueName, QueueRecord, QueueRef, QueueState, Result,
};

use crate::codec::{NUMBER_MAX, Reply};
use crate::driver::RedisControl;
use crate::identity::{AT_ONCE, Plane};
use crate::keys::{Place, kind_code, sortable, split_sortable};
use crate::registry::{
    INCARNATION_ALLOCATE, QUEUE_COUNT, QUEUE_DELETING, QUEUE_FIND, QUEUE_INSERT, QUEUE_LIST,
    QUEUE_MARK_DELETING, QUEUE_REMOVE, QUEUE_SET_METADATA, Script,
};
use crate::store::Call;

use super::to_text;

/// Records that one step of a listing reads.
const LIST_STEP: u32 = 500;
/// No record that is asked for.
const MISSING: i64 = 6;
/// Another revision is stored.
const CHANGED: i64 = 3;
/// Bytes before the metadata: incarnation, revision, whether it is being deleted.
const HEADER: usize = 17;

fn read_record(reply: &mut Reply, key: QueueKey) -> Result<QueueRecord> {
    let bytes = reply.bytes("queue record")?;
    record(key, &bytes).ok_or_else(|| reply.damaged("queue record"))
}

fn record(key: QueueKey, bytes: &[u8]) -> Option<QueueRecord> {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 8)?.try_into().ok()?;
        // The cast saturates; what it yields is checked where it matters.
        Some(f64::from_be_bytes(bytes) as u64)
    };
    Some(QueueRecord {
        key,
        incarnation: Incarnation::new(number(0)?).ok()?,
        metadata: serde_json::from_slice(bytes.get(HEADER..)?).ok()?,
        revision: number(8)?,
        state: if *bytes.get(16)? == 1 { QueueState::Deleting } else { QueueState::Active },
    })
}

/// What a queue is called where those of all projects are.
pub(super) fn member_of(key: &QueueKey) -> Vec<u8> {
    let mut member = sortable(key.project.as_str());
    member.extend(format!("{}{}", kind_code(key.kind), key.name).bytes());
    member
}

/// The queue of that name.
pub(super) fn key_of(member: &[u8]) -> Option<QueueKey> {
    let (project, rest) = split_sortable(member)?;
    let (kind, name) = std::str::from_utf8(rest).ok()?.split_at_checked(1)?;
    let kind = if kind == "0" { QueueKind::Queue } else { QueueKind::Topic };
    let (project, name) = (ProjectId::new(project).ok()?, QueueName::new(name).ok()?);
    Some(QueueKey { project, kind, name })
}

fn place_of(key: &QueueKey) -> Place {
    Place::project(&key.project, key.kind)
}

impl RedisControl {
    /// Marks a record, or removes a marked one, if it is of that incarnation.
    async fn retire(
        &self,
        operation: &'static str,
        script: &'static Script,
        queue: &QueueRef,
    ) -> Result<()> {
        let (name, member) = (queue.key.name.to_string(), member_of(&queue.key));
        let incarnation = queue.incarnation.get();
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&name).arg(incarnation).arg(&member);
        };
        let project = Some(&queue.key.project);
        let place = place_of(&queue.key);
        self.change(operation, script, place, project, arguments).await?.plain().map(drop)
    }

    /// What is being deleted in one bucket.
    async fn deleting_in(&self, bucket: u16, limit: PageLimit) -> Result<Vec<QueueKey>> {
        let arguments = |command: &mut redis::Cmd| {
            command.arg(limit.get());
        };
        let place = Place::control_bucket(bucket);
        let answer = self.look("queue_list_deleting", &QUEUE_DELETING, place, arguments).await?;
        let mut reply = answer.plain()?;
        let mut keys = Vec::new();
        while !reply.is_empty() {
            let member = reply.bytes("queue record")?;
            keys.push(key_of(&member).ok_or_else(|| reply.damaged("queue record"))?);
        }
        Ok(keys)
    }

    /// One step of a listing: records after a name, whatever their metadata.
    async fn list_step(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        after: &str,
    ) -> Result<Vec<QueueRecord>> {
        let place = Place::project(project, kind);
        let arguments = |command: &mut redis::Cmd| {
            command.arg(after).arg(LIST_STEP);
        };
        let answer = self.look("queue_list", &QUEUE_LIST, place, arguments).await?;
        let mut reply = answer.plain()?;
        let mut records = Vec::new();
        while !reply.is_empty() {
            let name = reply.text("queue record")?;
            let name = QueueName::new(name).map_err(|_| reply.damaged("queue record"))?;
            let key = QueueKey { project: project.clone(), kind, name };
            records.push(read_record(&mut reply, key)?);
        }
        Ok(records)
    }
}

#[async_trait]
impl QueueController for RedisControl {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        let operation = "queue_allocate_incarnation";
        let place = Place::global("store");
        let answer = self.change(operation, &INCARNATION_ALLOCATE, place, None, |_| {}).await?;
        let number = answer.plain()?.number("incarnation")?;
        self.store.saw_incarnation(number);
        Ok(Incarnation::new(number)?)
    }

    async fn queue_insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>> {
        let (name, metadata) = (queue.key.name.to_string(), to_text(metadata));
        let incarnation = queue.incarnation.get();
        let call = Call {
            operation: "queue_insert",
            script: &QUEUE_INSERT,
            place: place_of(&queue.key),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&name).arg(incarnation).arg(&metadata);
            },
        };
        let project = queue.key.project.clone();
        let inserting = self.store.shield(
            call.operation,
            Some(&queue.key.project),
            |store, caller| async move {
                store.use_bucket_of_project(&project).await?;
                store.call(&call, Some(&caller)).await
            },
        );
        let mut reply = inserting.await?.plain()?;
        let new = reply.int("queue record")? != 0;
        let record = read_record(&mut reply, queue.key.clone())?;
        Ok(if new { Created::New(record) } else { Created::Existing(record) })
    }

    async fn queue_find(&self, key: &QueueKey) -> Result<Option<QueueRecord>> {
        let arguments = |command: &mut redis::Cmd| {
            command.arg(key.name.as_str());
        };
        let answer = self.look("queue_find", &QUEUE_FIND, place_of(key), arguments).await?;
        if answer.code == MISSING {
            return Ok(None);
        }
        read_record(&mut answer.plain()?, key.clone()).map(Some)
    }

    async fn queue_set_metadata(
        &self,
        queue: &QueueRef,
        revision: u64,
        metadata: &JsonObject,
    ) -> Result<QueueRecord> {
        let key = &queue.key;
        let (name, metadata) = (key.name.to_string(), to_text(metadata));
        let (incarnation, revision) = (queue.incarnation.get(), revision.min(NUMBER_MAX));
        let arguments = move |command: &mut redis::Cmd| {
            command.arg(&name).arg(incarnation).arg(revision).arg(&metadata);
        };
        let operation = "queue_set_metadata";
        let (script, project) = (&QUEUE_SET_METADATA, Some(&key.project));
        let answer = self.change(operation, script, place_of(key), project, arguments).await?;
        match answer.code {
            MISSING => {
                Err(Error::QueueNotFound { project: key.project.clone(), name: key.name.clone() })
            }
            CHANGED => Err(Error::QueueChanged { name: key.name.clone() }),
            _ => read_record(&mut answer.plain()?, key.clone()),
        }
    }

    async fn queue_mark_deleting(&self, queue: &QueueRef) -> Result<()> {
        self.retire("queue_mark_deleting", &QUEUE_MARK_DELETING, queue).await
    }

    async fn queue_remove(&self, queue: &QueueRef) -> Result<()> {
        self.retire("queue_remove", &QUEUE_REMOVE, queue).await
    }

    async fn queue_list(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>> {
        let mut after = options.marker.as_ref().map(ToString::to_string).unwrap_or_default();
        let wanted = options.limit.as_usize();
        let meets = |record: &QueueRecord| {
            let named = options.name_contains.as_deref();
            named.is_none_or(|text| record.key.name.as_str().contains(text))
                && options.filters.iter().all(|filter| filter.matches(&record.metadata))
        };
        let mut items = Vec::new();
        loop {
            let step = self.list_step(project, kind, &after).await?;
            let Some(last) = step.last() else { break };
            after = last.key.name.to_string();
            let full = u32::try_from(step.len()).is_ok_and(|found| found >= LIST_STEP);
            let room = wanted.saturating_sub(items.len());
            items.extend(step.into_iter().filter(meets).take(room));
            if items.len() >= wanted || !full {
                break;
            }
        }
        Ok(Page::of(items, |record| record.key.name.clone()))
    }

    async fn queue_count(&self, project: &ProjectId, kind: QueueKind) -> Result<u64> {
        let place = Place::project(project, kind);
        self.look("queue_count", &QUEUE_COUNT, place, |_| {}).await?.plain()?.number("count")
    }

    async fn queue_list_deleting(&self, limit: PageLimit) -> Result<Vec<QueueRecord>> {
        let buckets = self.store.buckets(Plane::Control).await?;
        let asked = stream::iter(buckets).map(|bucket| self.deleting_in(bucket, limit));
        let keys: Vec<Vec<QueueKey>> = asked.buffered(AT_ONCE).try_collect().await?;
        let mut found = Vec::new();
        for key in keys.into_iter().flatten().take(limit.as_usize()) {
            let record = self.queue_find(&key).await?;
            found.extend(record.filter(|record| record.state == QueueState::Deleting));
        }
        Ok(found)
    }
}
