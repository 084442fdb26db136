//! Planted bugs that are around the reference driver, not in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::{
    Capabilities, ClaimController, ClaimId, Clock, Created, DataDriver, DeadLetterOrigin,
    DriverInfo, Error, GcOptions, GcReport, Health, ListMessages, Message, MessageController,
    MessageId, MessageMarker, MoveController, MovedMessage, NewMessage, OutboxController, Page,
    PageLimit, PostMessages, Posted, QueueEnd, QueueHeadController, QueueRef, QueueStats, Result,
    StoreVolume, SubscriptionController,
};

use crate::keys::{KeyBug, Keys};

/// How many reads of a message do not see it yet.
const BLIND_READS: u32 = 2;

/// What is planted around the reference driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// A post is acknowledged before anyone can read it.
    Late,
    /// Idempotency keys are kept in an unsound way.
    Keys(KeyBug),
}

impl Bug {
    pub(crate) fn summary(self) -> &'static str {
        match self {
            Self::Late => "A post is acknowledged before anyone can read it.",
            Self::Keys(bug) => bug.summary(),
        }
    }
}

/// The reference driver with a bug around it.
pub(crate) struct BuggyHarness {
    inner: ReferenceHarness,
    bug: Bug,
    keys: Keys,
}

impl BuggyHarness {
    pub(crate) fn new(bug: Bug) -> Self {
        Self { inner: ReferenceHarness::default(), bug, keys: Keys::default() }
    }
}

#[async_trait]
impl Harness for BuggyHarness {
    fn subject(&self) -> Subject {
        self.inner.subject()
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let Drivers { control, data } = self.inner.open(ns, clock).await?;
        let keys = match &self.bug {
            Bug::Keys(KeyBug::InMemory) => Keys::default(),
            _ => self.keys.clone(),
        };
        let (bug, blind) = (self.bug, Mutex::default());
        Ok(Drivers { control, data: Arc::new(Around { inner: data, bug, keys, blind }) })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.inner.wipe(ns).await
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

#[derive(Debug)]
struct Around {
    inner: Arc<dyn DataDriver>,
    bug: Bug,
    keys: Keys,
    /// Reads that still miss each message.
    blind: Mutex<BTreeMap<MessageId, u32>>,
}

impl Around {
    /// Whether this read misses the message.
    fn misses(&self, id: MessageId) -> bool {
        let mut blind = self.blind.lock().unwrap_or_else(PoisonError::into_inner);
        match blind.get_mut(&id) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}

#[async_trait]
impl MessageController for Around {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        if let Bug::Keys(bug) = &self.bug {
            return self.keys.post(*bug, self.inner.messages(), queue, messages, options).await;
        }
        let posted = self.inner.messages().message_post(queue, messages, options).await?;
        let mut blind = self.blind.lock().unwrap_or_else(PoisonError::into_inner);
        blind.extend(posted.ids.iter().map(|id| (*id, BLIND_READS)));
        Ok(posted)
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        let mut page = self.inner.messages().message_list(queue, options).await?;
        page.items.retain(|message| !self.misses(message.id));
        Ok(page)
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        self.inner.messages().message_first(queue, end).await
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        if self.misses(id) {
            return Err(Error::MessageNotFound { queue: queue.key.name.clone(), id });
        }
        self.inner.messages().message_get(queue, id).await
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        self.inner.messages().message_bulk_get(queue, ids).await
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.inner.messages().message_delete(queue, id, claim).await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        self.inner.messages().message_bulk_delete(queue, ids, claims).await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        self.inner.messages().message_pop(queue, limit).await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.inner.messages().message_purge(queue).await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        self.inner.messages().message_stats(queue).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.inner.messages().message_insert_moved(queue, message).await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        self.inner.messages().message_origins(queue, ids).await
    }
}

#[async_trait]
impl DataDriver for Around {
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
