//! Subscriptions: passed on to the driver, on a queue that is made on the first one.

use zaqar_core::{
    Created, Error, NewSubscription, Page, PageLimit, QueueKey, Subscription, SubscriptionId,
    UpdateSubscription,
};

use crate::attributes::retry_policy_check;
use crate::bounds::TTL_S_MIN;
use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;

impl Engine {
    /// Makes a subscription, or finds the live one of the same subscriber, which is left as it is.
    /// Makes the queue if it is missing.
    ///
    /// # Errors
    /// `Rejected` if the life is too short, `Attribute` for a retry policy that is not valid; the
    /// stores'.
    pub async fn subscription_create(
        &self,
        key: &QueueKey,
        subscription: NewSubscription,
    ) -> EngineResult<Created<Subscription>> {
        ttl_check(subscription.ttl.as_secs())?;
        subscription.options.get("_retry_policy").map_or(Ok(()), retry_policy_check)?;
        let subscription = &subscription;
        self.on_queue_made(Call::write("subscription_create"), key, |route| async move {
            let subscriptions = self.data().subscriptions();
            Ok(subscriptions.subscription_create(&route.queue, subscription.clone()).await?)
        })
        .await
    }

    /// Lists live subscriptions, ascending by id; a missing queue has none.
    ///
    /// # Errors
    /// The stores'.
    pub async fn subscription_list(
        &self,
        key: &QueueKey,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> EngineResult<Page<Subscription, SubscriptionId>> {
        let page = self
            .on_queue(Call::read("subscription_list"), key, |route| async move {
                let subscriptions = self.data().subscriptions();
                Ok(subscriptions.subscription_list(&route.queue, marker, limit).await?)
            })
            .await?;
        Ok(page.unwrap_or_default())
    }

    /// Reads a live subscription.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, also for a missing queue; the stores'.
    pub async fn subscription_get(
        &self,
        key: &QueueKey,
        id: SubscriptionId,
    ) -> EngineResult<Subscription> {
        let found = self
            .on_queue(Call::read("subscription_get"), key, |route| async move {
                Ok(self.data().subscriptions().subscription_get(&route.queue, id).await?)
            })
            .await?;
        found.ok_or_else(|| Error::SubscriptionNotFound { id }.into())
    }

    /// Reads the live subscription of a subscriber, if there is one.
    ///
    /// # Errors
    /// The stores'.
    pub async fn subscription_find(
        &self,
        key: &QueueKey,
        subscriber: &str,
    ) -> EngineResult<Option<Subscription>> {
        let found = self
            .on_queue(Call::read("subscription_find"), key, |route| async move {
                let subscriptions = self.data().subscriptions();
                Ok(subscriptions.subscription_find(&route.queue, subscriber).await?)
            })
            .await?;
        Ok(found.flatten())
    }

    /// Changes a live subscription.
    ///
    /// # Errors
    /// `Rejected` if the life is too short, `Attribute` for a retry policy that is not valid;
    /// `SubscriptionNotFound`, also for a missing queue; `SubscriptionExists`; the stores'.
    pub async fn subscription_update(
        &self,
        key: &QueueKey,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> EngineResult<()> {
        if let Some(ttl) = changes.ttl {
            ttl_check(ttl.as_secs())?;
        }
        let policy = changes.options.as_ref().and_then(|options| options.get("_retry_policy"));
        policy.map_or(Ok(()), retry_policy_check)?;
        let changes = &changes;
        let found = self
            .on_queue(Call::write("subscription_update"), key, |route| async move {
                let subscriptions = self.data().subscriptions();
                Ok(subscriptions.subscription_update(&route.queue, id, changes.clone()).await?)
            })
            .await?;
        found.ok_or_else(|| Error::SubscriptionNotFound { id }.into())
    }

    /// Sets or clears the confirmation.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, also for a missing queue; the stores'.
    pub async fn subscription_confirm(
        &self,
        key: &QueueKey,
        id: SubscriptionId,
        confirmed: bool,
    ) -> EngineResult<()> {
        let found = self
            .on_queue(Call::write("subscription_confirm"), key, |route| async move {
                let subscriptions = self.data().subscriptions();
                Ok(subscriptions.subscription_confirm(&route.queue, id, confirmed).await?)
            })
            .await?;
        found.ok_or_else(|| Error::SubscriptionNotFound { id }.into())
    }

    /// Removes a subscription; silent if it or the queue is not there.
    ///
    /// # Errors
    /// The stores'.
    pub async fn subscription_delete(
        &self,
        key: &QueueKey,
        id: SubscriptionId,
    ) -> EngineResult<()> {
        self.on_queue(Call::write("subscription_delete"), key, |route| async move {
            Ok(self.data().subscriptions().subscription_delete(&route.queue, id).await?)
        })
        .await
        .map(Option::unwrap_or_default)
    }
}

fn ttl_check(ttl_s: u64) -> EngineResult<()> {
    if ttl_s >= TTL_S_MIN {
        return Ok(());
    }
    Err(EngineError::rejected(format!(
        "The TTL for a subscription must be at least {TTL_S_MIN} seconds long."
    )))
}
