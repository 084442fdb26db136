//! Every operation of the data driver: bodies are encrypted on their way in and decrypted on their
//! way out; dead letters are moved as they are stored.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Capability, Claim, ClaimController, ClaimId, Claimed, CreateClaim, Created,
    DataDriver, DeadLetterOrigin, Delivery, DeliveryOutcome, DriverInfo, ExhaustedDelivery,
    GcOptions, GcReport, Health, LeaseDeliveries, LeaseId, ListMessages, Message,
    MessageController, MessageId, MessageMarker, MessageWatch, MoveController, MovedMessage,
    NewMessage, NoMoves, OutboxBacklog, OutboxController, Page, PageLimit, PostMessages, Posted,
    QueueEnd, QueueHeadController, QueueRef, QueueStats, Result, StoreVolume,
    SubscriptionController, Transfer, Ttl,
};

use super::Encrypted;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl DataDriver for Encrypted {
    fn heads(&self) -> &dyn QueueHeadController {
        self.data.heads()
    }

    fn messages(&self) -> &dyn MessageController {
        self
    }

    fn claims(&self) -> &dyn ClaimController {
        self
    }

    fn subscriptions(&self) -> &dyn SubscriptionController {
        self.data.subscriptions()
    }

    fn outbox(&self) -> &dyn OutboxController {
        self
    }

    /// Queues move from store to store below this.
    fn moves(&self) -> &dyn MoveController {
        &NoMoves
    }

    fn info(&self) -> DriverInfo {
        self.data.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.data.capabilities().without(Capability::LiveMove)
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
impl MessageController for Encrypted {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        let store = |message| self.codec.store(queue, options.encrypt, message);
        let messages = messages.into_iter().map(store).collect::<Result<_>>()?;
        self.data.messages().message_post(queue, messages, options).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        let page = self.data.messages().message_list(queue, options).await?;
        Ok(Page { items: self.codec.read_all(queue, page.items)?, next: page.next })
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        let first = self.data.messages().message_first(queue, end).await?;
        first.map(|message| self.codec.read(queue, message)).transpose()
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        self.codec.read(queue, self.data.messages().message_get(queue, id).await?)
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        let messages = self.data.messages().message_bulk_get(queue, ids).await?;
        self.codec.read_all(queue, messages)
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
        self.pop(queue, limit).await
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
        // As it was stored: a dead letter is moved without being read.
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

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ClaimController for Encrypted {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        self.claim(queue, options).await
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        let (claim, messages) = self.data.claims().claim_get(queue, id).await?;
        Ok((claim, self.codec.read_all(queue, messages)?))
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        self.data.claims().claim_update(queue, id, ttl, grace).await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        self.data.claims().claim_delete(queue, id).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OutboxController for Encrypted {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        let leased = self.data.outbox().delivery_lease(options).await?;
        let mut deliveries = Vec::with_capacity(leased.len());
        for delivery in leased {
            match self.readable(delivery).await {
                Ok(readable) => deliveries.extend(readable),
                // Its lease ends by itself; the others need not wait for that.
                Err(error) => tracing::warn!(%error, "a delivery is left for later"),
            }
        }
        Ok(deliveries)
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        self.data.outbox().delivery_complete(delivery, outcomes, release).await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.data.outbox().delivery_renew(delivery, ttl).await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        self.data.outbox().delivery_list_exhausted(queue, marker, limit).await
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        self.data.outbox().transfer_lease(queue, lease, ttl, limit).await
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        self.data.outbox().transfer_complete(transfer).await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        self.data.outbox().outbox_backlog().await
    }
}
