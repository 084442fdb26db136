//! Queue and topic records.

use async_trait::async_trait;
use zaqar_core::{
    Created, Error, Incarnation, JsonObject, ListQueues, Page, PageLimit, ProjectId,
    QueueController, QueueKey, QueueKind, QueueName, QueueRecord, QueueRef, Result,
};

use crate::node::Node;
use crate::record::{Key, Queue, Record};
use crate::state::State;

#[async_trait]
impl QueueController for Node {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        self.step("queue_allocate_incarnation", |state, _| {
            let incarnation = Incarnation::new(state.allocated.saturating_add(1))?;
            Ok((vec![Record::Allocated(incarnation.get())], incarnation))
        })
        .await
    }

    async fn queue_insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>> {
        self.step("queue_insert", |state, _| {
            let key = Key::from(&queue.key);
            if let Some(taken) = state.queues.get(&key) {
                return Ok((Vec::new(), Created::Existing(taken.show(&key))));
            }
            let (incarnation, metadata) = (queue.incarnation, metadata.clone());
            let new = Queue { incarnation, metadata, revision: 1, deleting: false };
            let shown = Created::New(new.show(&key));
            Ok((vec![Record::Queue(key, Some(new))], shown))
        })
        .await
    }

    async fn queue_find(&self, key: &QueueKey) -> Result<Option<QueueRecord>> {
        self.read("queue_find", |state, _| {
            let key = Key::from(key);
            Ok(state.queues.get(&key).map(|queue| queue.show(&key)))
        })
        .await
    }

    async fn queue_set_metadata(
        &self,
        queue: &QueueRef,
        revision: u64,
        metadata: &JsonObject,
    ) -> Result<QueueRecord> {
        self.step("queue_set_metadata", |state, _| {
            let (key, name) = (Key::from(&queue.key), queue.key.name.clone());
            let project = queue.key.project.clone();
            let stored = state.queues.get(&key).filter(|stored| !stored.deleting);
            let stored = stored.ok_or(Error::QueueNotFound { project, name: name.clone() })?;
            if stored.incarnation != queue.incarnation || stored.revision != revision {
                return Err(Error::QueueChanged { name });
            }
            let (metadata, revision) = (metadata.clone(), revision.saturating_add(1));
            let new = Queue { metadata, revision, ..stored.clone() };
            let shown = new.show(&key);
            Ok((vec![Record::Queue(key, Some(new))], shown))
        })
        .await
    }

    async fn queue_mark_deleting(&self, queue: &QueueRef) -> Result<()> {
        self.step("queue_mark_deleting", |state, _| {
            let key = Key::from(&queue.key);
            let stored = state.queues.get(&key);
            let stored = stored.filter(|stored| stored.incarnation == queue.incarnation);
            let marked = stored.map(|stored| Queue { deleting: true, ..stored.clone() });
            Ok((marked.map(|marked| Record::Queue(key, Some(marked))).into_iter().collect(), ()))
        })
        .await
    }

    async fn queue_remove(&self, queue: &QueueRef) -> Result<()> {
        self.step("queue_remove", |state, _| {
            let key = Key::from(&queue.key);
            let over = state
                .queues
                .get(&key)
                .is_some_and(|stored| stored.incarnation == queue.incarnation && stored.deleting);
            Ok((over.then_some(Record::Queue(key, None)).into_iter().collect(), ()))
        })
        .await
    }

    async fn queue_list(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>> {
        self.read("queue_list", |state, _| {
            // The filters come before the limit: a page is empty only at the end (G9).
            let wanted = |(key, queue): &(&Key, &Queue)| {
                options.marker.as_ref().is_none_or(|marker| key.name > *marker)
                    && options
                        .name_contains
                        .as_ref()
                        .is_none_or(|text| key.name.as_str().contains(text))
                    && options.filters.iter().all(|filter| filter.matches(&queue.metadata))
            };
            let items = active(state, project, kind).filter(wanted);
            let items = items.take(options.limit.as_usize()).map(|(key, queue)| queue.show(key));
            Ok(Page::of(items.collect(), |record: &QueueRecord| record.key.name.clone()))
        })
        .await
    }

    async fn queue_count(&self, project: &ProjectId, kind: QueueKind) -> Result<u64> {
        self.read("queue_count", |state, _| {
            Ok(u64::try_from(active(state, project, kind).count()).unwrap_or(u64::MAX))
        })
        .await
    }

    async fn queue_list_deleting(&self, limit: PageLimit) -> Result<Vec<QueueRecord>> {
        self.read("queue_list_deleting", |state, _| {
            let deleting = state.queues.iter().filter(|(_, queue)| queue.deleting);
            Ok(deleting.take(limit.as_usize()).map(|(key, queue)| queue.show(key)).collect())
        })
        .await
    }
}

/// A project's active queues or topics, ascending by name.
fn active<'s>(
    state: &'s State,
    project: &ProjectId,
    kind: QueueKind,
) -> impl Iterator<Item = (&'s Key, &'s Queue)> {
    state
        .queues
        .iter()
        .filter(move |(key, queue)| key.project == *project && key.kind == kind && !queue.deleting)
}
