//! The catalogue: which pool a queue lives in.

use async_trait::async_trait;

use crate::error::Result;
use crate::ids::{PoolName, ProjectId, QueueName};
use crate::page::{Page, PageLimit};
use crate::queue::QueueKey;

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The queue or topic.
    pub key: QueueKey,
    /// The pool that holds it.
    pub pool: PoolName,
    /// Counts the queue's moves from pool to pool, from 0.
    pub epoch: u64,
}

/// The catalogue of an installation.
#[async_trait]
pub trait CatalogueController: std::fmt::Debug + Send + Sync + 'static {
    /// Maps a queue, replacing an earlier mapping. The pool need not be known.
    ///
    /// # Guarantees
    /// On `Ok` the mapping is stored as given.
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
    /// O(1).
    ///
    /// # Conformance
    /// `catalogue.put.*`.
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()>;

    /// Reads a mapping; `QueueNotMapped` if there is none.
    ///
    /// # Guarantees
    /// G12: the mapping as last stored.
    ///
    /// # Errors
    /// - `QueueNotMapped`.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(1).
    ///
    /// # Conformance
    /// `catalogue.get.*`, `catalogue.put.*`, `reopen.pools.*`.
    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry>;

    /// Changes the pool and the epoch of an existing mapping, provided that its epoch is lower;
    /// `QueueNotMapped` if there is none, `QueueMoved` if its epoch is not lower.
    ///
    /// # Guarantees
    /// G17: on `Ok` the mapping has the new pool and epoch; an epoch never goes back.
    ///
    /// # Errors
    /// - `QueueNotMapped`.
    /// - `QueueMoved` — the stored epoch is not lower.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// The repeat of a call that succeeded is `QueueMoved` with the same epoch.
    ///
    /// # Implementors
    /// Compare and replace in one step. O(1).
    ///
    /// # Conformance
    /// `catalogue.move.*`, `catalogue.get.*`.
    async fn catalogue_move(&self, key: &QueueKey, pool: &PoolName, epoch: u64) -> Result<()>;

    /// Removes a mapping; silent if there is none.
    ///
    /// # Guarantees
    /// On `Ok` there is no such mapping.
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
    /// O(1).
    ///
    /// # Conformance
    /// `catalogue.delete.*`, `catalogue.get.*`.
    async fn catalogue_delete(&self, key: &QueueKey) -> Result<()>;

    /// Lists a project's mappings, queues before topics, each ascending by name.
    ///
    /// # Guarantees
    /// G12: this project's mappings, strictly after the marker.
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
    /// O(page).
    ///
    /// # Conformance
    /// `catalogue.list.*`.
    async fn catalogue_list(
        &self,
        project: &ProjectId,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>>;

    /// Lists what a pool holds, of all projects, in the order of project, kind and name.
    ///
    /// # Guarantees
    /// Every mapping to that pool, strictly after the marker.
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
    /// O(page).
    ///
    /// # Conformance
    /// `catalogue.list.*`.
    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>>;

    /// Counts a project's mappings that name `queue`, of either kind; for diagnosis.
    ///
    /// # Guarantees
    /// At most one for each kind.
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
    /// O(1).
    ///
    /// # Conformance
    /// `catalogue.delete.*`.
    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64>;

    /// Removes all mappings.
    ///
    /// # Guarantees
    /// On `Ok` there is no mapping.
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
    /// O(mappings).
    ///
    /// # Conformance
    /// `catalogue.delete.*`.
    async fn catalogue_delete_all(&self) -> Result<()>;
}
