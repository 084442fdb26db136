//! The catalogue: which pool a queue lives in.
//!
//! Keyed by incarnation: a queue that is deleted and made again is placed anew, and of two nodes
//! that make a queue at once neither can redirect the other's.

use async_trait::async_trait;

use crate::error::Result;
use crate::ids::{Incarnation, PoolName};
use crate::page::{Page, PageLimit};
use crate::queue::QueueRef;

/// One mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogueEntry {
    /// The incarnation of a queue or topic.
    pub queue: QueueRef,
    /// The pool that takes its posts.
    pub pool: PoolName,
    /// The pool that it is being moved out of, which may hold messages still.
    pub source: Option<PoolName>,
    /// Counts the moves from pool to pool, from 0.
    pub epoch: u64,
}

/// The catalogue of an installation.
#[async_trait]
pub trait CatalogueController: std::fmt::Debug + Send + Sync + 'static {
    /// Maps an incarnation that is not mapped yet, under epoch 0. The pool need not be known.
    /// `QueueMoved` if the incarnation is mapped to another pool, or was moved.
    ///
    /// # Guarantees
    /// G17: on `Ok` the incarnation is mapped to this pool; a mapping is never replaced.
    ///
    /// # Errors
    /// - `QueueMoved` — the incarnation is mapped otherwise.
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
    /// Compare and store in one step. O(1).
    ///
    /// # Conformance
    /// `catalogue.put.*`.
    async fn catalogue_put(&self, queue: &QueueRef, pool: &PoolName) -> Result<()>;

    /// Reads a mapping; `QueueNotMapped` if there is none.
    ///
    /// # Guarantees
    /// G11: the mapping of this incarnation as last stored.
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
    async fn catalogue_get(&self, queue: &QueueRef) -> Result<CatalogueEntry>;

    /// Begins a move: changes the pool, remembers the one before as the source and sets the epoch,
    /// provided that the stored epoch is lower and no move is going on.
    ///
    /// # Guarantees
    /// G17: on `Ok` the mapping has the new pool, source and epoch; an epoch never goes back.
    ///
    /// # Errors
    /// - `QueueNotMapped`.
    /// - `QueueMoved` — the stored epoch is not lower, or a move is going on.
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
    async fn catalogue_move(&self, queue: &QueueRef, pool: &PoolName, epoch: u64) -> Result<()>;

    /// Ends the move of this epoch: the source holds nothing any more.
    ///
    /// # Guarantees
    /// G17: on `Ok` the mapping has no source.
    ///
    /// # Errors
    /// - `QueueNotMapped`.
    /// - `QueueMoved` — the stored epoch is another.
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
    /// Compare and replace in one step. O(1).
    ///
    /// # Conformance
    /// `catalogue.settle.*`, `catalogue.get.*`.
    async fn catalogue_settle(&self, queue: &QueueRef, epoch: u64) -> Result<()>;

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
    async fn catalogue_delete(&self, queue: &QueueRef) -> Result<()>;

    /// Lists what takes its posts in a pool, of all projects, ascending by incarnation.
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
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>>;

    /// Lists what is being moved, of all projects and pools, ascending by incarnation.
    ///
    /// # Guarantees
    /// Every mapping with a source, strictly after the marker.
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
    /// O(page), however many mappings there are.
    ///
    /// # Conformance
    /// `catalogue.list.*`.
    async fn catalogue_list_moving(
        &self,
        marker: Option<Incarnation>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>>;
}
