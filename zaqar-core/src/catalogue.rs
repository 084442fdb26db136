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
    async fn catalogue_put(&self, entry: CatalogueEntry) -> Result<()>;

    /// Reads a mapping; `QueueNotMapped` if there is none.
    async fn catalogue_get(&self, key: &QueueKey) -> Result<CatalogueEntry>;

    /// Changes the pool and the epoch of an existing mapping, provided that its epoch is lower;
    /// `QueueNotMapped` if there is none, `QueueMoved` if its epoch is not lower.
    async fn catalogue_move(&self, key: &QueueKey, pool: &PoolName, epoch: u64) -> Result<()>;

    /// Removes a mapping; silent if there is none.
    async fn catalogue_delete(&self, key: &QueueKey) -> Result<()>;

    /// Lists a project's mappings, queues before topics, each ascending by name.
    async fn catalogue_list(
        &self,
        project: &ProjectId,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>>;

    /// Lists what a pool holds, of all projects, in the order of project, kind and name.
    async fn catalogue_list_by_pool(
        &self,
        pool: &PoolName,
        marker: Option<&QueueKey>,
        limit: PageLimit,
    ) -> Result<Page<CatalogueEntry, QueueKey>>;

    /// Counts a project's mappings that name `queue`, of either kind; for diagnosis.
    async fn catalogue_count(&self, project: &ProjectId, queue: &QueueName) -> Result<u64>;

    /// Removes all mappings.
    async fn catalogue_delete_all(&self) -> Result<()>;
}
