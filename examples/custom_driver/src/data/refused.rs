//! What the driver cannot do: subscriptions and their outbox, dead letters.
//!
//! A refusal names the capability that is missing, before anything is looked at or changed.

use async_trait::async_trait;
use zaqar_core::{
    Capability, Created, Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries,
    LeaseId, MessageId, NewSubscription, OutboxBacklog, OutboxController, Page, PageLimit,
    QueueRef, Result, Subscription, SubscriptionController, SubscriptionId, Transfer, Ttl,
    UpdateSubscription,
};

use crate::NAME;
use crate::node::Node;

pub(super) fn refusal(operation: &'static str, capability: Capability) -> Error {
    Error::Unsupported { operation, driver: NAME, capability }
}

fn subscriptions<T>(operation: &'static str) -> Result<T> {
    Err(refusal(operation, Capability::Subscriptions))
}

fn dead_letters<T>(operation: &'static str) -> Result<T> {
    Err(refusal(operation, Capability::DeadLetter))
}

#[async_trait]
impl SubscriptionController for Node {
    async fn subscription_create(
        &self,
        _: &QueueRef,
        _: NewSubscription,
    ) -> Result<Created<Subscription>> {
        subscriptions("subscription_create")
    }
    async fn subscription_list(
        &self,
        _: &QueueRef,
        _: Option<SubscriptionId>,
        _: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        subscriptions("subscription_list")
    }
    async fn subscription_get(&self, _: &QueueRef, _: SubscriptionId) -> Result<Subscription> {
        subscriptions("subscription_get")
    }
    async fn subscription_find(&self, _: &QueueRef, _: &str) -> Result<Option<Subscription>> {
        subscriptions("subscription_find")
    }
    async fn subscription_update(
        &self,
        _: &QueueRef,
        _: SubscriptionId,
        _: UpdateSubscription,
    ) -> Result<()> {
        subscriptions("subscription_update")
    }
    async fn subscription_confirm(&self, _: &QueueRef, _: SubscriptionId, _: bool) -> Result<()> {
        subscriptions("subscription_confirm")
    }
    async fn subscription_delete(&self, _: &QueueRef, _: SubscriptionId) -> Result<()> {
        subscriptions("subscription_delete")
    }
    async fn subscription_purge(&self, _: &QueueRef) -> Result<()> {
        subscriptions("subscription_purge")
    }
}

#[async_trait]
impl OutboxController for Node {
    async fn delivery_lease(&self, _: LeaseDeliveries) -> Result<Vec<Delivery>> {
        subscriptions("delivery_lease")
    }
    async fn delivery_complete(
        &self,
        _: &Delivery,
        _: &[(MessageId, DeliveryOutcome)],
        _: bool,
    ) -> Result<()> {
        subscriptions("delivery_complete")
    }
    async fn delivery_renew(&self, _: &Delivery, _: Ttl) -> Result<()> {
        subscriptions("delivery_renew")
    }
    async fn delivery_list_exhausted(
        &self,
        _: &QueueRef,
        _: Option<u64>,
        _: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        subscriptions("delivery_list_exhausted")
    }
    async fn transfer_lease(
        &self,
        _: Option<&QueueRef>,
        _: LeaseId,
        _: Ttl,
        _: PageLimit,
    ) -> Result<Vec<Transfer>> {
        dead_letters("transfer_lease")
    }
    async fn transfer_complete(&self, _: &Transfer) -> Result<()> {
        dead_letters("transfer_complete")
    }
    /// Nothing ever waits.
    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        self.read("outbox_backlog", |_, _| Ok(OutboxBacklog::default())).await
    }
}
