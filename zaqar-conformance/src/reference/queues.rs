//! Queue and topic records.

use async_trait::async_trait;
use zaqar_core::{
    Created, Error, Incarnation, JsonObject, ListQueues, Page, PageLimit, ProjectId,
    QueueController, QueueKey, QueueKind, QueueName, QueueRecord, QueueRef, QueueState, Result,
};

use super::driver::ReferenceControl;
use super::state::State;

#[async_trait]
impl QueueController for ReferenceControl {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        self.step("queue_allocate_incarnation", |state| {
            let incarnation = Incarnation::new(state.incarnation_next)?;
            state.incarnation_next += 1;
            Ok(incarnation)
        })
        .await
    }

    async fn queue_insert(
        &self,
        queue: &QueueRef,
        metadata: &JsonObject,
    ) -> Result<Created<QueueRecord>> {
        self.step("queue_insert", |state| {
            if let Some(record) = state.queues.get(&queue.key) {
                return Ok(Created::Existing(record.clone()));
            }
            let record = QueueRecord {
                key: queue.key.clone(),
                incarnation: queue.incarnation,
                metadata: metadata.clone(),
                revision: 1,
                state: QueueState::Active,
            };
            state.queues.insert(queue.key.clone(), record.clone());
            Ok(Created::New(record))
        })
        .await
    }

    async fn queue_find(&self, key: &QueueKey) -> Result<Option<QueueRecord>> {
        self.step("queue_find", |state| Ok(state.queues.get(key).cloned())).await
    }

    async fn queue_set_metadata(
        &self,
        queue: &QueueRef,
        revision: u64,
        metadata: &JsonObject,
    ) -> Result<QueueRecord> {
        self.step("queue_set_metadata", |state| {
            let active = |record: &&mut QueueRecord| record.state == QueueState::Active;
            let record = state.queues.get_mut(&queue.key).filter(active);
            let record = record.ok_or_else(|| missing(&queue.key))?;
            if record.incarnation != queue.incarnation || record.revision != revision {
                return Err(Error::QueueChanged { name: queue.key.name.clone() });
            }
            record.metadata = metadata.clone();
            record.revision += 1;
            Ok(record.clone())
        })
        .await
    }

    async fn queue_mark_deleting(&self, queue: &QueueRef) -> Result<()> {
        self.step("queue_mark_deleting", |state| {
            let same = |record: &&mut QueueRecord| record.incarnation == queue.incarnation;
            if let Some(record) = state.queues.get_mut(&queue.key).filter(same) {
                record.state = QueueState::Deleting;
            }
            Ok(())
        })
        .await
    }

    async fn queue_remove(&self, queue: &QueueRef) -> Result<()> {
        self.step("queue_remove", |state| {
            let over = |record: &QueueRecord| {
                record.incarnation == queue.incarnation && record.state == QueueState::Deleting
            };
            if state.queues.get(&queue.key).is_some_and(over) {
                state.queues.remove(&queue.key);
            }
            Ok(())
        })
        .await
    }

    async fn queue_list(
        &self,
        project: &ProjectId,
        kind: QueueKind,
        options: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>> {
        self.step("queue_list", |state| {
            let wanted = |record: &&QueueRecord| {
                let name = &record.key.name;
                options.marker.as_ref().is_none_or(|marker| name > marker)
                    && options
                        .name_contains
                        .as_ref()
                        .is_none_or(|text| name.as_str().contains(text))
                    && options.filters.iter().all(|filter| filter.matches(&record.metadata))
            };
            let items = active(state, project, kind)
                .filter(wanted)
                .take(options.limit.as_usize())
                .cloned()
                .collect();
            Ok(Page::of(items, |record: &QueueRecord| record.key.name.clone()))
        })
        .await
    }

    async fn queue_count(&self, project: &ProjectId, kind: QueueKind) -> Result<u64> {
        self.step("queue_count", |state| {
            Ok(u64::try_from(active(state, project, kind).count()).unwrap_or(u64::MAX))
        })
        .await
    }

    async fn queue_list_deleting(&self, limit: PageLimit) -> Result<Vec<QueueRecord>> {
        self.step("queue_list_deleting", |state| {
            let deleting =
                state.queues.values().filter(|record| record.state == QueueState::Deleting);
            Ok(deleting.take(limit.as_usize()).cloned().collect())
        })
        .await
    }
}

fn missing(key: &QueueKey) -> Error {
    Error::QueueNotFound { project: key.project.clone(), name: key.name.clone() }
}

/// A project's active queues or topics, ascending by name.
fn active<'s>(
    state: &'s State,
    project: &ProjectId,
    kind: QueueKind,
) -> impl Iterator<Item = &'s QueueRecord> {
    state.queues.values().filter(move |record| {
        record.key.project == *project
            && record.key.kind == kind
            && record.state == QueueState::Active
    })
}
