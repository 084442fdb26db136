//! Filters: the short way to a stage that looks at messages before they are stored.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Body, Capabilities, ClaimController, ClaimId, Created, DataDriver, DeadLetterOrigin,
    DriverInfo, GcOptions, GcReport, Health, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MessageWatch, MoveController, MovedMessage, NewMessage, OutboxController, Page,
    PageLimit, PostMessages, Posted, QueueEnd, QueueHeadController, QueueRef, QueueStats, Result,
    StoreVolume, SubscriptionController,
};

use super::Stage;
use crate::checksum::checksum;

/// Looks at messages that are about to be posted: changes them, or refuses them all.
///
/// A post is filtered again if it is tried again, so a filter gives the same message the same
/// treatment each time. Messages that move to a dead-letter queue were accepted before and are not
/// filtered.
#[async_trait]
pub trait MessageFilter: Debug + Send + Sync + 'static {
    /// The filter's name, for configuration and logs.
    fn name(&self) -> &str;

    /// Looks at the messages of one post.
    ///
    /// # Errors
    /// `Invalid` with a text for the client refuses the post; another error fails it. Nothing is
    /// stored then.
    async fn post(&self, queue: &QueueRef, messages: &mut [NewMessage]) -> Result<()>;
}

/// The stage that a filter makes.
#[derive(Debug, Clone)]
pub struct FilterStage {
    filter: Arc<dyn MessageFilter>,
}

impl FilterStage {
    /// A stage that does what `filter` says, and nothing else.
    #[must_use]
    pub fn new(filter: impl MessageFilter) -> Self {
        Self { filter: Arc::new(filter) }
    }
}

impl Stage for FilterStage {
    fn name(&self) -> &str {
        self.filter.name()
    }

    fn wrap(&self, data: Arc<dyn DataDriver>) -> Arc<dyn DataDriver> {
        Arc::new(Filtered { data, filter: Arc::clone(&self.filter) })
    }
}

/// A data driver whose posts are filtered.
#[derive(Debug)]
struct Filtered {
    data: Arc<dyn DataDriver>,
    filter: Arc<dyn MessageFilter>,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl DataDriver for Filtered {
    fn heads(&self) -> &dyn QueueHeadController {
        self.data.heads()
    }

    fn messages(&self) -> &dyn MessageController {
        self
    }

    fn claims(&self) -> &dyn ClaimController {
        self.data.claims()
    }

    fn subscriptions(&self) -> &dyn SubscriptionController {
        self.data.subscriptions()
    }

    fn outbox(&self) -> &dyn OutboxController {
        self.data.outbox()
    }

    fn moves(&self) -> &dyn MoveController {
        self.data.moves()
    }

    fn info(&self) -> DriverInfo {
        self.data.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.data.capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.data.health().await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        self.data.volume().await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.data.sweep().await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.data.gc(options).await
    }

    async fn close(&self) {
        self.data.close().await;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MessageController for Filtered {
    async fn message_post(
        &self,
        queue: &QueueRef,
        mut messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        let before: Vec<Option<Body>> = messages
            .iter()
            .map(|message| message.checksum.is_some().then(|| message.body.clone()))
            .collect();
        self.filter.post(queue, &mut messages).await?;
        // The checksum is of what is stored: who reads the message compares the two.
        for (message, before) in messages.iter_mut().zip(before) {
            if before.is_some_and(|before| before != message.body) {
                message.checksum = checksum(&message.body);
            }
        }
        self.data.messages().message_post(queue, messages, options).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        self.data.messages().message_list(queue, options).await
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        self.data.messages().message_first(queue, end).await
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        self.data.messages().message_get(queue, id).await
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        self.data.messages().message_bulk_get(queue, ids).await
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.data.messages().message_delete(queue, id, claim).await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        self.data.messages().message_bulk_delete(queue, ids, claims).await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        self.data.messages().message_pop(queue, limit).await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.data.messages().message_purge(queue).await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        self.data.messages().message_stats(queue).await
    }

    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        self.data.messages().message_available(watches).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.data.messages().message_insert_moved(queue, message).await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        self.data.messages().message_origins(queue, ids).await
    }
}
