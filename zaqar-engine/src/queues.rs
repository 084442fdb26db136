//! Queues and topics: making, showing, listing, deleting, purging.

use std::sync::Arc;

use zaqar_core::{
    Created, JsonObject, ListQueues, Page, ProjectId, QueueKey, QueueKind, QueueName, QueueState,
    QueueStats,
};

use crate::attributes;
use crate::engine::Engine;
use crate::error::EngineResult;
use crate::fence::{Behalf, Call};

/// A queue as a listing shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueView {
    /// Its name.
    pub name: QueueName,
    /// Its metadata, with the defaults of reserved attributes if the listing adds them.
    pub metadata: JsonObject,
}

/// What to empty a queue of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeTargets {
    /// Its messages, claimed and delayed ones too.
    pub messages: bool,
    /// Its subscriptions.
    pub subscriptions: bool,
}

impl PurgeTargets {
    /// Everything.
    pub const ALL: Self = Self { messages: true, subscriptions: true };
}

impl Engine {
    /// Makes a queue; one that is there is left as it is.
    ///
    /// # Errors
    /// `Attribute` if a reserved attribute is not valid; `Quota` if it would be one too many; the
    /// stores'.
    pub async fn queue_create(
        &self,
        key: &QueueKey,
        metadata: JsonObject,
    ) -> EngineResult<Created<()>> {
        attributes::check(&metadata, &key.name, self.config())?;
        self.create_detached(key, metadata, Behalf::Client).await
    }

    /// Reads a queue's metadata with the defaults of reserved attributes. A missing queue has the
    /// defaults. This asks the store: it shows every change that was answered before.
    ///
    /// # Errors
    /// The control store's.
    pub async fn queue_get(&self, key: &QueueKey) -> EngineResult<JsonObject> {
        let stored = self.queue_get_stored(key).await?.unwrap_or_default();
        Ok(attributes::display(stored, key.kind, self.config()))
    }

    /// Reads a queue's metadata as it is stored, without defaults; `None` for a missing queue.
    ///
    /// # Errors
    /// The control store's.
    pub async fn queue_get_stored(&self, key: &QueueKey) -> EngineResult<Option<JsonObject>> {
        let find = self.control().queues().queue_find(key);
        let found = self.in_time(Call::read("queue_find"), find).await?;
        let active = found.filter(|record| record.state == QueueState::Active);
        Ok(active.map(|record| record.metadata))
    }

    /// Whether the queue is there.
    ///
    /// # Errors
    /// The control store's.
    pub async fn queue_exists(&self, key: &QueueKey) -> EngineResult<bool> {
        let find = self.control().queues().queue_find(key);
        let found = self.in_time(Call::read("queue_find"), find).await?;
        Ok(found.is_some_and(|record| record.state == QueueState::Active))
    }

    /// The queue's `_retry_policy`, if it has one: as old as a cached route may be.
    ///
    /// # Errors
    /// The control store's.
    pub async fn queue_retry_policy(
        &self,
        key: &QueueKey,
    ) -> EngineResult<Option<Arc<JsonObject>>> {
        let route = self.in_time(Call::read("queue_find"), self.route(key)).await?;
        Ok(route.and_then(|route| route.attributes.retry_policy.clone()))
    }

    /// Deletes a queue with its messages, claims and subscriptions; silent if it is not there.
    ///
    /// # Errors
    /// The stores'.
    pub async fn queue_delete(&self, key: &QueueKey) -> EngineResult<()> {
        self.delete_detached(key).await
    }

    /// Lists a project's queues (or topics), ascending by name.
    ///
    /// # Errors
    /// The control store's.
    pub async fn queue_list(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> EngineResult<Page<QueueView, QueueName>> {
        let page = self.queue_list_stored(project, kind, options).await?;
        let view = |queue: QueueView| QueueView {
            metadata: attributes::display(queue.metadata, kind, self.config()),
            ..queue
        };
        Ok(Page { items: page.items.into_iter().map(view).collect(), next: page.next })
    }

    /// Lists a project's queues (or topics), ascending by name, with their metadata as it is stored.
    ///
    /// # Errors
    /// The control store's.
    pub async fn queue_list_stored(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> EngineResult<Page<QueueView, QueueName>> {
        let list = self.control().queues().queue_list(project, kind, options);
        let page = self.in_time(Call::read("queue_list"), list).await?;
        let view = |record: zaqar_core::QueueRecord| QueueView {
            name: record.key.name,
            metadata: record.metadata,
        };
        Ok(Page { items: page.items.into_iter().map(view).collect(), next: page.next })
    }

    /// Counts a project's queues (or topics).
    ///
    /// # Errors
    /// The control store's.
    pub async fn queue_count(&self, project: &ProjectId, kind: QueueKind) -> EngineResult<u64> {
        let count = self.control().queues().queue_count(project, kind);
        self.in_time(Call::read("queue_count"), count).await
    }

    /// Counts a queue's messages; a missing queue has none.
    ///
    /// The count is exact as of at most a second ago: callers share it for as long, or for ten times
    /// as long as it took once this process has changed the queue.
    ///
    /// # Errors
    /// The stores'.
    pub async fn queue_stats(&self, key: &QueueKey) -> EngineResult<QueueStats> {
        let stats = self
            .on_queue(Call::read("message_stats"), key, |route| async move {
                self.stats_shared(&route).await
            })
            .await?;
        Ok(stats.unwrap_or_default())
    }

    /// Empties a queue; silent if it is not there.
    ///
    /// # Errors
    /// The stores'; then part of what was asked may be done, and a repeat is safe.
    pub async fn queue_purge(&self, key: &QueueKey, targets: PurgeTargets) -> EngineResult<()> {
        let (engine, key, call) = (self.clone(), key.clone(), Call::write("message_purge"));
        self.detached(call, async move {
            let engine = &engine;
            engine
                .on_queue(call, &key, |route| async move {
                    if targets.messages {
                        engine.data().messages().message_purge(&route.queue).await?;
                        route.changed();
                    }
                    if targets.subscriptions {
                        engine.data().subscriptions().subscription_purge(&route.queue).await?;
                    }
                    Ok(())
                })
                .await
                .map(Option::unwrap_or_default)
        })
        .await
    }
}
