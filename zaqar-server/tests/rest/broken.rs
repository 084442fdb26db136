//! A driver whose data operations go wrong in a chosen way.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, ClaimController, Created, DataDriver, DeadLetterOrigin, DriverInfo, Effect,
    Error, GcOptions, GcReport, Health, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MoveController, MovedMessage, NewMessage, OutboxController, Page, PageLimit,
    PostMessages, Posted, QueueEnd, QueueHeadController, QueueRef, QueueStats, Result, Retry,
    StoreVolume, SubscriptionController,
};

/// How an operation goes wrong.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mishap {
    /// The backend does not answer: whether it did the work is not known.
    Silence,
    /// The backend answers nonsense.
    Nonsense,
    /// The backend refuses because too much is waiting.
    Overload,
    /// The driver panics.
    Panic,
    /// The driver never answers.
    Stillness,
}

impl Mishap {
    async fn strike<T>(self) -> Result<T> {
        let secret = "mongodb://admin:secret@10.0.0.1";
        match self {
            Self::Silence => {
                Err(Error::backend("operation", Effect::Unknown, Retry::Later, secret))
            }
            Self::Nonsense => Err(Error::backend("operation", Effect::None, Retry::Never, secret)),
            Self::Overload => Err(Error::Overloaded),
            Self::Panic => panic!("{secret}"),
            Self::Stillness => std::future::pending().await,
        }
    }
}

/// The driver `inner`, but with message operations that go wrong.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) inner: Arc<dyn DataDriver>,
    pub(crate) mishap: Mishap,
}

#[async_trait]
impl DataDriver for Broken {
    fn heads(&self) -> &dyn QueueHeadController {
        self.inner.heads()
    }
    fn messages(&self) -> &dyn MessageController {
        self
    }
    fn claims(&self) -> &dyn ClaimController {
        self.inner.claims()
    }
    fn subscriptions(&self) -> &dyn SubscriptionController {
        self.inner.subscriptions()
    }
    fn outbox(&self) -> &dyn OutboxController {
        self.inner.outbox()
    }
    fn moves(&self) -> &dyn MoveController {
        self.inner.moves()
    }
    fn info(&self) -> DriverInfo {
        self.inner.info()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn health(&self) -> Result<Health> {
        self.inner.health().await
    }
    async fn volume(&self) -> Result<StoreVolume> {
        self.inner.volume().await
    }
    async fn sweep(&self) -> Result<GcReport> {
        self.inner.sweep().await
    }
    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.inner.gc(options).await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl MessageController for Broken {
    async fn message_post(
        &self,
        _: &QueueRef,
        _: Vec<NewMessage>,
        _: PostMessages,
    ) -> Result<Posted> {
        self.mishap.strike().await
    }
    async fn message_list(
        &self,
        _: &QueueRef,
        _: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        self.mishap.strike().await
    }
    async fn message_first(&self, _: &QueueRef, _: QueueEnd) -> Result<Option<Message>> {
        self.mishap.strike().await
    }
    async fn message_get(&self, _: &QueueRef, _: MessageId) -> Result<Message> {
        self.mishap.strike().await
    }
    async fn message_bulk_get(&self, _: &QueueRef, _: &[MessageId]) -> Result<Vec<Message>> {
        self.mishap.strike().await
    }
    async fn message_delete(
        &self,
        _: &QueueRef,
        _: MessageId,
        _: Option<zaqar_core::ClaimId>,
    ) -> Result<()> {
        self.mishap.strike().await
    }
    async fn message_bulk_delete(
        &self,
        _: &QueueRef,
        _: &[MessageId],
        _: Option<&[zaqar_core::ClaimId]>,
    ) -> Result<()> {
        self.mishap.strike().await
    }
    async fn message_pop(&self, _: &QueueRef, _: PageLimit) -> Result<Vec<Message>> {
        self.mishap.strike().await
    }
    async fn message_purge(&self, _: &QueueRef) -> Result<()> {
        self.mishap.strike().await
    }
    async fn message_stats(&self, _: &QueueRef) -> Result<QueueStats> {
        self.mishap.strike().await
    }
    async fn message_insert_moved(
        &self,
        _: &QueueRef,
        _: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.mishap.strike().await
    }
    async fn message_origins(
        &self,
        _: &QueueRef,
        _: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        self.mishap.strike().await
    }
}
