//! The measured controllers: each method forwards and is timed.

use async_trait::async_trait;
use zaqar_core::{
    Claim, ClaimController, ClaimId, Claimed, CreateClaim, Created, DeadLetterOrigin, Delivery,
    DeliveryOutcome, ExhaustedDelivery, LeaseDeliveries, LeaseId, ListMessages, Message,
    MessageController, MessageId, MessageMarker, MessageWatch, MovedMessage, NewMessage,
    NewSubscription, OutboxBacklog, OutboxController, Page, PageLimit, PostMessages, Posted,
    QueueEnd, QueueHead, QueueHeadController, QueueRef, QueueStats, Result, Subscription,
    SubscriptionController, SubscriptionId, Transfer, Ttl, UpdateSubscription,
};

use super::Measured;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl QueueHeadController for Measured {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        self.meters.head_open.time(self.data.heads().head_open(queue)).await
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.meters.head_close.time(self.data.heads().head_close(queue)).await
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        self.meters.head_get.time(self.data.heads().head_get(queue)).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.meters.head_move.time(self.data.heads().head_move(queue, epoch)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MessageController for Measured {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        let work = self.data.messages().message_post(queue, messages, options);
        self.meters.message_post.time_counted(work, |posted| posted.ids.len()).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        self.meters.message_list.time(self.data.messages().message_list(queue, options)).await
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        self.meters.message_first.time(self.data.messages().message_first(queue, end)).await
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        self.meters.message_get.time(self.data.messages().message_get(queue, id)).await
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        self.meters.message_bulk_get.time(self.data.messages().message_bulk_get(queue, ids)).await
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.meters.message_delete.time(self.data.messages().message_delete(queue, id, claim)).await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        self.meters
            .message_bulk_delete
            .time(self.data.messages().message_bulk_delete(queue, ids, claims))
            .await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        let work = self.data.messages().message_pop(queue, limit);
        self.meters.message_pop.time_counted(work, Vec::len).await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.meters.message_purge.time(self.data.messages().message_purge(queue)).await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        self.meters.message_stats.time(self.data.messages().message_stats(queue)).await
    }

    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        self.meters.message_available.time(self.data.messages().message_available(watches)).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        let work = self.data.messages().message_insert_moved(queue, message);
        self.meters
            .message_insert_moved
            .time_counted(work, |moved| usize::from(moved.is_new()))
            .await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        let work = self.data.messages().message_origins(queue, ids);
        self.meters.message_origins.time(work).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ClaimController for Measured {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        let work = self.data.claims().claim_create(queue, options);
        self.meters.claim_create.time_counted(work, |claimed| claimed.messages.len()).await
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        self.meters.claim_get.time(self.data.claims().claim_get(queue, id)).await
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        self.meters.claim_update.time(self.data.claims().claim_update(queue, id, ttl, grace)).await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        self.meters.claim_delete.time(self.data.claims().claim_delete(queue, id)).await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SubscriptionController for Measured {
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        subscription: NewSubscription,
    ) -> Result<Created<Subscription>> {
        self.meters
            .subscription_create
            .time(self.data.subscriptions().subscription_create(queue, subscription))
            .await
    }

    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        self.meters
            .subscription_list
            .time(self.data.subscriptions().subscription_list(queue, marker, limit))
            .await
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        self.meters
            .subscription_get
            .time(self.data.subscriptions().subscription_get(queue, id))
            .await
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        self.meters
            .subscription_find
            .time(self.data.subscriptions().subscription_find(queue, subscriber))
            .await
    }

    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()> {
        self.meters
            .subscription_update
            .time(self.data.subscriptions().subscription_update(queue, id, changes))
            .await
    }

    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()> {
        self.meters
            .subscription_confirm
            .time(self.data.subscriptions().subscription_confirm(queue, id, confirmed))
            .await
    }

    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()> {
        self.meters
            .subscription_delete
            .time(self.data.subscriptions().subscription_delete(queue, id))
            .await
    }

    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()> {
        self.meters
            .subscription_purge
            .time(self.data.subscriptions().subscription_purge(queue))
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OutboxController for Measured {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.meters.delivery_lease.time(self.data.outbox().delivery_lease(options)).await
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        self.meters
            .delivery_complete
            .time(self.data.outbox().delivery_complete(delivery, outcomes, release))
            .await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.meters.delivery_renew.time(self.data.outbox().delivery_renew(delivery, ttl)).await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        self.meters
            .delivery_list_exhausted
            .time(self.data.outbox().delivery_list_exhausted(queue, marker, limit))
            .await
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        self.meters
            .transfer_lease
            .time(self.data.outbox().transfer_lease(queue, lease, ttl, limit))
            .await
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        self.meters.transfer_complete.time(self.data.outbox().transfer_complete(transfer)).await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        self.meters.outbox_backlog.time(self.data.outbox().outbox_backlog()).await
    }
}
