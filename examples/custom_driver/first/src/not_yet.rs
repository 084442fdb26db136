//! Every controller, not written yet: each call is refused, and nothing happened.
//!
//! A driver hands these out for what it has not got to, so that it compiles, and runs under the
//! suite, from the first controller on. In the end the file is deleted.

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, CatalogueController, CatalogueEntry, Claim, ClaimController, ClaimId, Claimed,
    CreateClaim, Created, DeadLetterOrigin, Delivery, DeliveryOutcome, Effect, Error,
    ExhaustedDelivery, Flavor, FlavorController, FlavorName, Incarnation, JsonObject,
    LeaseDeliveries, LeaseId, ListMessages, ListQueues, Message, MessageController, MessageId,
    MessageMarker, MovedMessage, NewMessage, NewSubscription, OutboxBacklog, OutboxController,
    Page, PageLimit, Pool, PoolController, PoolName, PostMessages, Posted, ProjectId,
    QueueController, QueueEnd, QueueHead, QueueHeadController, QueueKey, QueueKind, QueueName,
    QueueRecord, QueueRef, QueueStats, Result, Retry, Subscription, SubscriptionController,
    SubscriptionId, Transfer, Ttl, UpdatePool, UpdateSubscription,
};

/// A controller that is not written yet.
#[derive(Debug)]
pub(crate) struct NotYet;

/// The refusal of one call: no capability is missing, only the code.
pub(crate) fn not_yet<T>(operation: &'static str) -> Result<T> {
    Err(Error::backend(operation, Effect::None, Retry::Never, "not written yet"))
}

#[async_trait]
impl QueueController for NotYet {
    async fn queue_allocate_incarnation(&self) -> Result<Incarnation> {
        not_yet("queue_allocate_incarnation")
    }
    async fn queue_insert(&self, _: &QueueRef, _: &JsonObject) -> Result<Created<QueueRecord>> {
        not_yet("queue_insert")
    }
    async fn queue_find(&self, _: &QueueKey) -> Result<Option<QueueRecord>> {
        not_yet("queue_find")
    }
    async fn queue_set_metadata(
        &self,
        _: &QueueRef,
        _: u64,
        _: &JsonObject,
    ) -> Result<QueueRecord> {
        not_yet("queue_set_metadata")
    }
    async fn queue_mark_deleting(&self, _: &QueueRef) -> Result<()> {
        not_yet("queue_mark_deleting")
    }
    async fn queue_remove(&self, _: &QueueRef) -> Result<()> {
        not_yet("queue_remove")
    }
    async fn queue_list(
        &self,
        _: &ProjectId,
        _: QueueKind,
        _: ListQueues,
    ) -> Result<Page<QueueRecord, QueueName>> {
        not_yet("queue_list")
    }
    async fn queue_count(&self, _: &ProjectId, _: QueueKind) -> Result<u64> {
        not_yet("queue_count")
    }
    async fn queue_list_deleting(&self, _: PageLimit) -> Result<Vec<QueueRecord>> {
        not_yet("queue_list_deleting")
    }
}

#[async_trait]
impl PoolController for NotYet {
    async fn pool_put(&self, _: Pool) -> Result<()> {
        not_yet("pool_put")
    }
    async fn pool_get(&self, _: &PoolName) -> Result<Pool> {
        not_yet("pool_get")
    }
    async fn pool_list(
        &self,
        _: Option<&PoolName>,
        _: Option<PageLimit>,
    ) -> Result<Page<Pool, PoolName>> {
        not_yet("pool_list")
    }
    async fn pool_list_by_flavor(&self, _: Option<&FlavorName>) -> Result<Vec<Pool>> {
        not_yet("pool_list_by_flavor")
    }
    async fn pool_update(&self, _: &PoolName, _: UpdatePool) -> Result<()> {
        not_yet("pool_update")
    }
    async fn pool_delete(&self, _: &PoolName) -> Result<()> {
        not_yet("pool_delete")
    }
    async fn pool_delete_all(&self) -> Result<()> {
        not_yet("pool_delete_all")
    }
}

#[async_trait]
impl FlavorController for NotYet {
    async fn flavor_put(&self, _: Flavor) -> Result<()> {
        not_yet("flavor_put")
    }
    async fn flavor_get(&self, _: &ProjectId, _: &FlavorName) -> Result<Flavor> {
        not_yet("flavor_get")
    }
    async fn flavor_list(
        &self,
        _: &ProjectId,
        _: Option<&FlavorName>,
        _: PageLimit,
    ) -> Result<Page<Flavor, FlavorName>> {
        not_yet("flavor_list")
    }
    async fn flavor_update(&self, _: &ProjectId, _: &FlavorName, _: Capabilities) -> Result<()> {
        not_yet("flavor_update")
    }
    async fn flavor_delete(&self, _: &ProjectId, _: &FlavorName) -> Result<()> {
        not_yet("flavor_delete")
    }
    async fn flavor_delete_all(&self) -> Result<()> {
        not_yet("flavor_delete_all")
    }
}

#[async_trait]
impl CatalogueController for NotYet {
    async fn catalogue_put(&self, _: &QueueRef, _: &PoolName) -> Result<()> {
        not_yet("catalogue_put")
    }
    async fn catalogue_get(&self, _: &QueueRef) -> Result<CatalogueEntry> {
        not_yet("catalogue_get")
    }
    async fn catalogue_move(&self, _: &QueueRef, _: &PoolName, _: u64) -> Result<()> {
        not_yet("catalogue_move")
    }
    async fn catalogue_settle(&self, _: &QueueRef, _: u64) -> Result<()> {
        not_yet("catalogue_settle")
    }
    async fn catalogue_delete(&self, _: &QueueRef) -> Result<()> {
        not_yet("catalogue_delete")
    }
    async fn catalogue_list_by_pool(
        &self,
        _: &PoolName,
        _: Option<Incarnation>,
        _: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        not_yet("catalogue_list_by_pool")
    }
    async fn catalogue_list_moving(
        &self,
        _: Option<Incarnation>,
        _: PageLimit,
    ) -> Result<Page<CatalogueEntry, Incarnation>> {
        not_yet("catalogue_list_moving")
    }
}

#[async_trait]
impl QueueHeadController for NotYet {
    async fn head_open(&self, _: &QueueRef) -> Result<()> {
        not_yet("head_open")
    }
    async fn head_close(&self, _: &QueueRef) -> Result<()> {
        not_yet("head_close")
    }
    async fn head_get(&self, _: &QueueRef) -> Result<QueueHead> {
        not_yet("head_get")
    }
    async fn head_move(&self, _: &QueueRef, _: u64) -> Result<QueueHead> {
        not_yet("head_move")
    }
}

#[async_trait]
impl MessageController for NotYet {
    async fn message_post(
        &self,
        _: &QueueRef,
        _: Vec<NewMessage>,
        _: PostMessages,
    ) -> Result<Posted> {
        not_yet("message_post")
    }
    async fn message_list(
        &self,
        _: &QueueRef,
        _: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        not_yet("message_list")
    }
    async fn message_first(&self, _: &QueueRef, _: QueueEnd) -> Result<Option<Message>> {
        not_yet("message_first")
    }
    async fn message_get(&self, _: &QueueRef, _: MessageId) -> Result<Message> {
        not_yet("message_get")
    }
    async fn message_bulk_get(&self, _: &QueueRef, _: &[MessageId]) -> Result<Vec<Message>> {
        not_yet("message_bulk_get")
    }
    async fn message_delete(&self, _: &QueueRef, _: MessageId, _: Option<ClaimId>) -> Result<()> {
        not_yet("message_delete")
    }
    async fn message_bulk_delete(
        &self,
        _: &QueueRef,
        _: &[MessageId],
        _: Option<&[ClaimId]>,
    ) -> Result<()> {
        not_yet("message_bulk_delete")
    }
    async fn message_pop(&self, _: &QueueRef, _: PageLimit) -> Result<Vec<Message>> {
        not_yet("message_pop")
    }
    async fn message_purge(&self, _: &QueueRef) -> Result<()> {
        not_yet("message_purge")
    }
    async fn message_stats(&self, _: &QueueRef) -> Result<QueueStats> {
        not_yet("message_stats")
    }
    async fn message_insert_moved(
        &self,
        _: &QueueRef,
        _: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        not_yet("message_insert_moved")
    }
    async fn message_origins(
        &self,
        _: &QueueRef,
        _: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        not_yet("message_origins")
    }
}

#[async_trait]
impl ClaimController for NotYet {
    async fn claim_create(&self, _: &QueueRef, _: CreateClaim) -> Result<Claimed> {
        not_yet("claim_create")
    }
    async fn claim_get(&self, _: &QueueRef, _: ClaimId) -> Result<(Claim, Vec<Message>)> {
        not_yet("claim_get")
    }
    async fn claim_update(&self, _: &QueueRef, _: ClaimId, _: Ttl, _: Ttl) -> Result<()> {
        not_yet("claim_update")
    }
    async fn claim_delete(&self, _: &QueueRef, _: ClaimId) -> Result<()> {
        not_yet("claim_delete")
    }
}

#[async_trait]
impl SubscriptionController for NotYet {
    async fn subscription_create(
        &self,
        _: &QueueRef,
        _: NewSubscription,
    ) -> Result<Created<Subscription>> {
        not_yet("subscription_create")
    }
    async fn subscription_list(
        &self,
        _: &QueueRef,
        _: Option<SubscriptionId>,
        _: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        not_yet("subscription_list")
    }
    async fn subscription_get(&self, _: &QueueRef, _: SubscriptionId) -> Result<Subscription> {
        not_yet("subscription_get")
    }
    async fn subscription_find(&self, _: &QueueRef, _: &str) -> Result<Option<Subscription>> {
        not_yet("subscription_find")
    }
    async fn subscription_update(
        &self,
        _: &QueueRef,
        _: SubscriptionId,
        _: UpdateSubscription,
    ) -> Result<()> {
        not_yet("subscription_update")
    }
    async fn subscription_confirm(&self, _: &QueueRef, _: SubscriptionId, _: bool) -> Result<()> {
        not_yet("subscription_confirm")
    }
    async fn subscription_delete(&self, _: &QueueRef, _: SubscriptionId) -> Result<()> {
        not_yet("subscription_delete")
    }
    async fn subscription_purge(&self, _: &QueueRef) -> Result<()> {
        not_yet("subscription_purge")
    }
}

#[async_trait]
impl OutboxController for NotYet {
    async fn delivery_lease(&self, _: LeaseDeliveries) -> Result<Vec<Delivery>> {
        not_yet("delivery_lease")
    }
    async fn delivery_complete(
        &self,
        _: &Delivery,
        _: &[(MessageId, DeliveryOutcome)],
        _: bool,
    ) -> Result<()> {
        not_yet("delivery_complete")
    }
    async fn delivery_renew(&self, _: &Delivery, _: Ttl) -> Result<()> {
        not_yet("delivery_renew")
    }
    async fn delivery_list_exhausted(
        &self,
        _: &QueueRef,
        _: Option<u64>,
        _: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        not_yet("delivery_list_exhausted")
    }
    async fn transfer_lease(
        &self,
        _: Option<&QueueRef>,
        _: LeaseId,
        _: Ttl,
        _: PageLimit,
    ) -> Result<Vec<Transfer>> {
        not_yet("transfer_lease")
    }
    async fn transfer_complete(&self, _: &Transfer) -> Result<()> {
        not_yet("transfer_complete")
    }
    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        not_yet("outbox_backlog")
    }
}
