//! Subscriptions: checked, then passed on to the driver, on a queue that is made on the first one.

use zaqar_core::limits::TTL_S_MAX;
use zaqar_core::{
    Created, Error, JsonObject, NewSubscription, Page, PageLimit, QueueKey, Subscription,
    SubscriptionId, Ttl, UpdateSubscription,
};

use crate::attributes::retry_policy_check;
use crate::bounds::TTL_S_MIN;
use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::fence::Call;

impl Engine {
    /// Makes a subscription, or finds the live one of the same subscriber, which is left as it is.
    /// Makes the queue if it is missing: only once everything about the request was found good.
    ///
    /// It needs confirmation if the operator demands it of every subscriber, except where the
    /// subscriber is a connection of the one who asks, which has an owner.
    ///
    /// # Errors
    /// `Rejected` for an address of a type that is not served or where nothing is delivered, a life
    /// out of range, or options that are not the client's to set; `Attribute` for a retry policy that is not valid; the stores'.
    pub async fn subscription_create(
        &self,
        key: &QueueKey,
        subscription: NewSubscription,
    ) -> EngineResult<Created<Subscription>> {
        self.new_subscription_check(&subscription, false)?;
        self.subscription_make(key, subscription).await
    }

    /// The same for a subscriber that is given a token with each message, on this trust. What
    /// [`Self::trusted_subscription_check`] refuses this refuses too.
    ///
    /// # Errors
    /// As for [`Self::subscription_create`].
    pub async fn trusted_subscription_create(
        &self,
        key: &QueueKey,
        mut subscription: NewSubscription,
        trust: String,
    ) -> EngineResult<Created<Subscription>> {
        self.trusted_subscription_check(&subscription)?;
        subscription.options.insert(TRUST_ID.to_owned(), trust.into());
        self.subscription_make(key, subscription).await
    }

    /// Whether a subscriber that is given a token could subscribe: asked before a trust is made.
    ///
    /// # Errors
    /// As for [`Self::subscription_create`], the stores' left out.
    pub fn trusted_subscription_check(&self, subscription: &NewSubscription) -> EngineResult<()> {
        self.new_subscription_check(subscription, true)
    }

    fn new_subscription_check(
        &self,
        subscription: &NewSubscription,
        is_trusted: bool,
    ) -> EngineResult<()> {
        if subscription.owner.is_none() {
            self.subscriber_check(&subscription.subscriber, is_trusted)?;
        }
        options_check(&subscription.options)?;
        self.subscription_ttl_check(subscription.ttl)
    }

    async fn subscription_make(
        &self,
        key: &QueueKey,
        mut subscription: NewSubscription,
    ) -> EngineResult<Created<Subscription>> {
        let is_demanded = self.config().subscribers.require_confirmation;
        subscription.needs_confirmation |= subscription.owner.is_none() && is_demanded;
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

    /// Changes a live subscription. Another address is treated as a new subscriber's: it needs
    /// confirmation if the operator demands it now.
    ///
    /// # Errors
    /// `Rejected` and `Attribute` as for [`Self::subscription_create`]; `SubscriptionNotFound`, also
    /// for a missing queue; `SubscriptionExists`; the stores'.
    pub async fn subscription_update(
        &self,
        key: &QueueKey,
        id: SubscriptionId,
        mut changes: UpdateSubscription,
    ) -> EngineResult<()> {
        changes.needs_confirmation = Some(self.config().subscribers.require_confirmation);
        changes
            .subscriber
            .as_ref()
            .map_or(Ok(()), |subscriber| self.subscriber_check(subscriber, false))?;
        changes.options.as_ref().map_or(Ok(()), options_check)?;
        changes.ttl.map_or(Ok(()), |ttl| self.subscription_ttl_check(ttl))?;
        if let (Some(options), None) = (&mut changes.options, &changes.subscriber) {
            // The trust is not the client's to set, nor to drop.
            let known = self.subscription_get(key, id).await?.options;
            if let Some(trust) = known.get(TRUST_ID) {
                options.insert(TRUST_ID.to_owned(), trust.clone());
            }
        }
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

    /// Whether a subscription may live for so long.
    ///
    /// # Errors
    /// `Rejected` if not.
    pub fn subscription_ttl_check(&self, ttl: Ttl) -> EngineResult<()> {
        if ttl.as_secs() < TTL_S_MIN {
            return Err(EngineError::rejected(format!(
                "The TTL for a subscription must be at least {TTL_S_MIN} seconds long."
            )));
        }
        let end = self.clock().now().after(ttl).as_secs();
        if u64::try_from(end).is_ok_and(|end| end <= TTL_S_MAX) {
            return Ok(());
        }
        Err(EngineError::rejected(
            "The TTL seconds for a subscription plus current time must be less than 9999-12-31 \
             23:59:59.999999.",
        ))
    }
}

/// The option that holds the trust on which a subscriber is given tokens.
const TRUST_ID: &str = "trust_id";

fn options_check(options: &JsonObject) -> EngineResult<()> {
    // With another's trust the service would act in that other's name.
    if options.contains_key(TRUST_ID) {
        return Err(EngineError::rejected("Options must not hold trust_id: the service sets it."));
    }
    options.get("_retry_policy").map_or(Ok(()), retry_policy_check)
}
