//! A stage for tests that changes one thing on the way: it asks for encryption, or it has a bug.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, ClaimController, ClaimId, Created, DataDriver, DeadLetterOrigin, DriverInfo,
    GcOptions, GcReport, Health, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MoveController, MovedMessage, NewMessage, OutboxController, Page, PageLimit,
    PostMessages, Posted, QueueEnd, QueueHeadController, QueueRef, QueueStats, Result, StoreVolume,
    SubscriptionController,
};
use zaqar_engine::Stage;

/// What is changed on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meddling {
    /// Every post is to be stored encrypted.
    EncryptAll,
    /// A delete forgets by which claim it was asked for.
    ForgetClaim,
    /// The first two messages of a list change places.
    SwapListed,
}

/// The stage.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Meddler(pub(crate) Meddling);

impl Stage for Meddler {
    fn name(&self) -> &'static str {
        "meddler"
    }

    fn wrap(&self, data: Arc<dyn DataDriver>) -> Arc<dyn DataDriver> {
        Arc::new(Meddled { data, meddling: self.0 })
    }
}

#[derive(Debug)]
struct Meddled {
    data: Arc<dyn DataDriver>,
    meddling: Meddling,
}

impl Meddled {
    fn does(&self, meddling: Meddling) -> bool {
        self.meddling == meddling
    }
}

#[async_trait]
impl DataDriver for Meddled {
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
impl MessageController for Meddled {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        mut options: PostMessages,
    ) -> Result<Posted> {
        options.encrypt |= self.does(Meddling::EncryptAll);
        self.data.messages().message_post(queue, messages, options).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        let mut page = self.data.messages().message_list(queue, options).await?;
        if self.does(Meddling::SwapListed) && page.items.len() > 1 {
            page.items.swap(0, 1);
        }
        Ok(page)
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
        let mut claim = claim;
        if self.does(Meddling::ForgetClaim) && claim.is_some() {
            // Whoever holds it now is taken for the one that asks.
            claim = self.data.messages().message_get(queue, id).await?.claim;
        }
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
