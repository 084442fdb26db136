//! Queues and topics in the control plane: their names, metadata and incarnations.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::ids::{Incarnation, ProjectId, QueueName};
use crate::page::{Page, PageLimit};

/// A JSON object whose keys keep the order in which they were received.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;

/// Queues and topics share every mechanism and no name: `orders` the queue and `orders` the topic
/// are two things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueKind {
    /// Messages that workers claim.
    Queue,
    /// Messages for subscribers; no claims.
    Topic,
}

/// Which queue or topic, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueKey {
    /// Its tenant.
    pub project: ProjectId,
    /// Queue or topic.
    pub kind: QueueKind,
    /// Its name.
    pub name: QueueName,
}

impl QueueKey {
    /// The queue `name` of `project`.
    #[must_use]
    pub fn queue(project: ProjectId, name: QueueName) -> Self {
        Self { project, kind: QueueKind::Queue, name }
    }

    /// The topic `name` of `project`.
    #[must_use]
    pub fn topic(project: ProjectId, name: QueueName) -> Self {
        Self { project, kind: QueueKind::Topic, name }
    }

    /// This queue in the given incarnation.
    #[must_use]
    pub fn incarnate(&self, incarnation: Incarnation) -> QueueRef {
        QueueRef { key: self.clone(), incarnation, epoch: 0 }
    }
}

/// Which queue or topic, in which of its lives: the first argument of every data operation.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct QueueRef {
    /// Project, kind and name.
    pub key: QueueKey,
    /// The incarnation that the caller resolved; the queue head refuses a stale one.
    pub incarnation: Incarnation,
    /// The latest move of the incarnation that the caller knows of, 0 for none; the queue head
    /// refuses a caller that does not know of its move (G17).
    pub epoch: u64,
}

impl QueueRef {
    /// The same queue for a caller that knows of that move.
    #[must_use]
    pub fn at_epoch(&self, epoch: u64) -> Self {
        Self { epoch, ..self.clone() }
    }
}

/// Whether a control record is in use or on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueState {
    /// In use.
    Active,
    /// Being deleted: reads as missing. Whoever meets it finishes the deletion, and a create
    /// finishes it before it takes the name.
    Deleting,
}

/// What the control plane knows of a queue or topic.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueRecord {
    /// Which one.
    pub key: QueueKey,
    /// Its present life.
    pub incarnation: Incarnation,
    /// The stored metadata: the tenant's own and reserved keys, without defaults.
    pub metadata: JsonObject,
    /// Counts changes of the metadata, from 1.
    pub revision: u64,
    /// In use or being deleted.
    pub state: QueueState,
}

impl QueueRecord {
    /// The reference for data operations on this life of the queue.
    #[must_use]
    pub fn queue_ref(&self) -> QueueRef {
        self.key.incarnate(self.incarnation)
    }
}

/// Whether a create made something or found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created<T> {
    /// Made by this call.
    New(T),
    /// There before; left as it was.
    Existing(T),
}

impl<T> Created<T> {
    /// What was made or found.
    pub fn into_inner(self) -> T {
        match self {
            Self::New(value) | Self::Existing(value) => value,
        }
    }

    /// Whether this call made it.
    #[must_use]
    pub fn is_new(&self) -> bool {
        matches!(self, Self::New(_))
    }
}

/// What a metadata value is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilterValue {
    /// Equal as an integer.
    Integer(i64),
    /// Equal as text.
    Text(String),
}

/// One condition on stored metadata: the value at `path` equals `value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataFilter {
    /// A top-level key, or keys joined by dots that reach into nested objects.
    pub path: String,
    /// What must be there.
    pub value: FilterValue,
}

impl MetadataFilter {
    /// Whether `metadata` meets this condition. A key that is not stored never does.
    #[must_use]
    pub fn matches(&self, metadata: &JsonObject) -> bool {
        let found = metadata.get(&self.path).or_else(|| self.reach(metadata));
        match (&self.value, found) {
            (FilterValue::Integer(wanted), Some(value)) => value.as_i64() == Some(*wanted),
            (FilterValue::Text(wanted), Some(value)) => value.as_str() == Some(wanted.as_str()),
            (_, None) => false,
        }
    }

    fn reach<'m>(&self, metadata: &'m JsonObject) -> Option<&'m serde_json::Value> {
        let mut keys = self.path.split('.');
        let first = metadata.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }
}

/// Options of [`QueueController::queue_list`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListQueues {
    /// Start strictly after this name; it need not exist.
    pub marker: Option<QueueName>,
    /// Page size.
    pub limit: PageLimit,
    /// Only names that contain this text, case-sensitive, literally.
    pub name_contains: Option<String>,
    /// Only queues whose metadata meets every one of these.
    pub filters: Vec<MetadataFilter>,
}

impl ListQueues {
    /// The first page of everything, ten items.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts strictly after `marker`.
    #[must_use]
    pub fn marker(mut self, marker: impl Into<Option<QueueName>>) -> Self {
        self.marker = marker.into();
        self
    }

    /// Sets the page size.
    #[must_use]
    pub fn limit(mut self, limit: PageLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Keeps names that contain `text`.
    #[must_use]
    pub fn name_contains(mut self, text: impl Into<Option<String>>) -> Self {
        self.name_contains = text.into();
        self
    }

    /// Keeps queues that meet every filter.
    #[must_use]
    pub fn filters(mut self, filters: Vec<MetadataFilter>) -> Self {
        self.filters = filters;
        self
    }
}

/// Queue and topic records of the control plane.
///
/// The life of a queue: the engine allocates an incarnation, opens its head in the data plane
/// ([`QueueHeadController::head_open`](crate::head::QueueHeadController::head_open)), then inserts
/// the record here; the loser of a race closes the head it opened. To delete, it marks the record
/// `Deleting` (which reads as missing from then on), closes the head, and removes the record.
#[async_trait]
pub trait QueueController: std::fmt::Debug + Send + Sync + 'static {
    /// Hands out an incarnation that was never handed out before (G11).
    ///
    /// # Guarantees
    /// G11: on `Ok` the number was never returned before and never will be, by any handle, across
    /// restarts.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// A number may be used up; gaps are harmless.
    ///
    /// # Idempotence
    /// Each call returns another number.
    ///
    /// # Implementors
    /// Persist the counter before the number is returned; a number that is lost is fine, one that
    /// is repeated is not. O(1).
    ///
    /// # Conformance
    /// `incarnation.recreate.*`, `queue.incarnation.*`, `reopen.records.*`.
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation>;

    /// Inserts an active record under `queue` unless the name is taken, also by a `Deleting` one.
    ///
    /// `Existing` returns the record that holds the name, its metadata as it was.
    ///
    /// # Guarantees
    /// On `Ok(New)` the record is stored and every handle finds it; on `Ok(Existing)` nothing was
    /// changed.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe: a repeat finds the record that the first call made, as `Existing` with the same
    /// incarnation.
    ///
    /// # Implementors
    /// One atomic insert-if-absent on (project, kind, name); a `Deleting` record still holds its
    /// name. O(1).
    ///
    /// # Conformance
    /// `queue.create.*`, `cancel.head.*`, `queue.delete.*`, `queue.kind.*`.
    async fn queue_insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>>;

    /// Reads the record under a name in whatever state it is; `None` if there is none.
    ///
    /// # Guarantees
    /// On `Ok` the record is as some handle last stored it; a write that was acknowledged before
    /// the call is seen.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// Names compare bytewise. O(1).
    ///
    /// # Conformance
    /// `queue.metadata.*`, `queue.create.*`, `queue.delete.*`, `queue.find.*`.
    async fn queue_find(&self, key: &QueueKey) -> Result<Option<QueueRecord>>;

    /// Replaces the metadata as a whole, provided that incarnation and `revision` are still the
    /// stored ones; returns the new record.
    ///
    /// # Guarantees
    /// On `Ok` the metadata is stored as given, keys in their order, and `revision` is one higher.
    ///
    /// # Errors
    /// - `QueueNotFound` — no active record of that incarnation.
    /// - `QueueChanged` — the revision is not the stored one; read again.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Not safe as it is: the repeat of a call that succeeded is `QueueChanged`.
    ///
    /// # Implementors
    /// Compare and replace in one step, or two patches lose one of them. O(size of the metadata).
    ///
    /// # Conformance
    /// `queue.metadata.*`, `cancel.head.*`, `queue.delete.*`.
    async fn queue_set_metadata(
        &self,
        queue: &QueueRef,
        revision: u64,
        metadata: &JsonObject,
    ) -> Result<QueueRecord>;

    /// Marks the record `Deleting` if it is of that incarnation; silent if there is none.
    ///
    /// # Guarantees
    /// G11: on `Ok` no listing, count or insert treats a record of that incarnation as active.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// Conditional on the incarnation: a later life of the name is untouched. O(1).
    ///
    /// # Conformance
    /// `queue.delete.*`.
    async fn queue_mark_deleting(&self, queue: &QueueRef) -> Result<()>;

    /// Removes the record if it is of that incarnation and `Deleting`; silent otherwise.
    ///
    /// # Guarantees
    /// G11: on `Ok` no `Deleting` record of that incarnation is left; an active one, and other
    /// incarnations, are untouched.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// Conditional on incarnation and state in one step. O(1).
    ///
    /// # Conformance
    /// `queue.delete.*`, `queue.kind.*`.
    async fn queue_remove(&self, queue: &QueueRef) -> Result<()>;

    /// Lists a project's active queues (or topics), ascending by name in byte order.
    ///
    /// # Guarantees
    /// G12: only this project's records of this kind. Strictly after the marker, which need not
    /// exist; every filter applies before the limit, so a page is empty only at the end.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// `name_contains` is literal text, never a pattern. O(records examined); bounded steps.
    ///
    /// # Conformance
    /// `queue.list.*`, `queue.delete.*`, `queue.kind.*`, `reopen.records.*`.
    async fn queue_list(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>>;

    /// Counts a project's active queues (or topics).
    ///
    /// # Guarantees
    /// G12: exact, active records of this project and kind alone.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(records of the project) at worst.
    ///
    /// # Conformance
    /// `queue.delete.*`, `queue.kind.*`, `queue.list.*`.
    async fn queue_count(&self, project: &ProjectId, kind: QueueKind) -> Result<u64>;

    /// Returns up to `limit` records that are `Deleting`, of all projects: deletions that a crash
    /// interrupted.
    ///
    /// # Guarantees
    /// On `Ok` every record that is `Deleting` is there, up to the limit.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// Must not walk the active records: it is called every few seconds. O(limit).
    ///
    /// # Conformance
    /// `queue.delete.*`, `reopen.records.*`.
    async fn queue_list_deleting(&self, limit: PageLimit) -> Result<Vec<QueueRecord>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> JsonObject {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_filter_compares_integers_with_integers_and_reaches_into_objects() {
        let stored = object(r#"{"node": 31, "zone": "31", "a": {"b": "c"}, "x.y": 1}"#);
        let filter = |path: &str, value| MetadataFilter { path: path.into(), value };
        assert!(filter("node", FilterValue::Integer(31)).matches(&stored));
        assert!(!filter("zone", FilterValue::Integer(31)).matches(&stored));
        assert!(filter("a.b", FilterValue::Text("c".into())).matches(&stored));
        assert!(filter("x.y", FilterValue::Integer(1)).matches(&stored));
        assert!(!filter("missing", FilterValue::Text(String::new())).matches(&stored));
    }
}
