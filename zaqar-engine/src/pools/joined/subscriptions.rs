//! Subscriptions of a queue that is being moved: the target's count. The source keeps copies for as
//! long as it has something to deliver that was posted there.

use async_trait::async_trait;
use zaqar_core::{
    Created, NewSubscription, Page, PageLimit, QueueRef, Result, Subscription,
    SubscriptionController, SubscriptionId, UpdateSubscription,
};

use super::Joined;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SubscriptionController for Joined {
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        subscription: NewSubscription,
    ) -> Result<Created<Subscription>> {
        self.anew(queue, |data| {
            data.subscriptions().subscription_create(queue, subscription.clone())
        })
        .await
    }

    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        self.anew(queue, |data| data.subscriptions().subscription_list(queue, marker, limit)).await
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        self.anew(queue, |data| data.subscriptions().subscription_get(queue, id)).await
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        self.anew(queue, |data| data.subscriptions().subscription_find(queue, subscriber)).await
    }

    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()> {
        self.anew(queue, |data| {
            data.subscriptions().subscription_update(queue, id, changes.clone())
        })
        .await
    }

    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()> {
        self.anew(queue, |data| data.subscriptions().subscription_confirm(queue, id, confirmed))
            .await
    }

    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()> {
        self.anew(queue, |data| data.subscriptions().subscription_delete(queue, id)).await
    }

    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()> {
        self.anew(queue, |data| data.subscriptions().subscription_purge(queue)).await
    }
}
