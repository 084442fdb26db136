//! Subscriptions.

use std::collections::BTreeMap;

use async_trait::async_trait;
use zaqar_core::{
    Capability, Created, Error, Incarnation, JsonObject, NewSubscription, OutboxMessage, Page,
    PageLimit, QueueRef, Result, Subscription, SubscriptionController, SubscriptionId, Timestamp,
    Ttl, UpdateSubscription,
};

use super::driver::ReferenceData;
use super::head::Head;
use super::state::State;
use super::stored::Lease;

/// A message that is to be delivered again.
#[derive(Debug, Clone)]
pub(super) struct RetryRow {
    /// With the attempts made so far.
    pub(super) message: OutboxMessage,
    pub(super) not_before: Timestamp,
}

#[derive(Debug)]
pub(super) struct StoredSubscription {
    pub(super) id: SubscriptionId,
    pub(super) subscriber: String,
    pub(super) ttl: Ttl,
    pub(super) created_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) options: JsonObject,
    pub(super) confirmed: bool,
    pub(super) needs_confirmation: bool,
    pub(super) since: u64,
    pub(super) owner: Option<String>,
    /// The position of the next message that was never handed out to an end.
    pub(super) cursor: u64,
    /// By position.
    pub(super) retries: BTreeMap<u64, RetryRow>,
    pub(super) lease: Option<Lease>,
}

impl StoredSubscription {
    pub(super) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    fn is_active(&self) -> bool {
        self.confirmed || !self.needs_confirmation
    }

    /// Whether messages posted now are delivered to it.
    pub(super) fn is_listening(&self, now: Timestamp) -> bool {
        self.is_live(now) && self.is_active()
    }

    /// Gets what is posted from `position` on and nothing older; work in flight is void.
    fn start_at(&mut self, position: u64) {
        self.since = position;
        self.cursor = position;
        self.retries.clear();
        self.lease = None;
    }

    pub(super) fn show(&self, now: Timestamp) -> Subscription {
        Subscription {
            id: self.id,
            subscriber: self.subscriber.clone(),
            ttl: self.ttl,
            age_s: now.seconds_since(self.created_at),
            expires_at: self.expires_at,
            options: self.options.clone(),
            confirmed: self.confirmed,
            needs_confirmation: self.needs_confirmation,
            since: self.since,
            owner: self.owner.clone(),
        }
    }
}

#[async_trait]
impl SubscriptionController for ReferenceData {
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        subscription: NewSubscription,
    ) -> Result<Created<Subscription>> {
        self.step("subscription_create", |state, now| {
            subscribable(state, "subscription_create")?;
            state.head_for_news(queue)?.subscribe(subscription, now)
        })
        .await
    }

    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        self.step("subscription_list", |state, now| {
            subscribable(state, "subscription_list")?;
            let head = state.head(queue)?;
            let after = marker.map_or(0, |marker| number_of(marker, head.incarnation).unwrap_or(0));
            let items = head
                .subscriptions
                .iter()
                .filter(|(number, subscription)| **number > after && subscription.is_live(now))
                .take(limit.as_usize())
                .map(|(_, subscription)| subscription.show(now))
                .collect();
            Ok(Page::of(items, |subscription| subscription.id))
        })
        .await
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        self.step("subscription_get", |state, now| {
            subscribable(state, "subscription_get")?;
            Ok(state.head_mut(queue)?.subscription(id, now)?.show(now))
        })
        .await
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        self.step("subscription_find", |state, now| {
            subscribable(state, "subscription_find")?;
            let found = state.head(queue)?.subscription_of(subscriber, now);
            Ok(found.map(|subscription| subscription.show(now)))
        })
        .await
    }

    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()> {
        self.step("subscription_update", |state, now| {
            subscribable(state, "subscription_update")?;
            state.head_for_news(queue)?.update_subscription(id, changes, now)
        })
        .await
    }

    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()> {
        self.step("subscription_confirm", |state, now| {
            subscribable(state, "subscription_confirm")?;
            let head = state.head_for_news(queue)?;
            let position = head.sequence_next;
            let subscription = head.subscription(id, now)?;
            let was_active = subscription.is_active();
            subscription.confirmed = confirmed;
            if subscription.is_active() != was_active {
                subscription.start_at(position);
            }
            head.trim(now);
            Ok(())
        })
        .await
    }

    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()> {
        self.step("subscription_delete", |state, now| {
            subscribable(state, "subscription_delete")?;
            let head = state.head_for_news(queue)?;
            if let Some(number) = number_of(id, head.incarnation) {
                head.subscriptions.remove(&number);
            }
            head.trim(now);
            Ok(())
        })
        .await
    }

    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()> {
        self.step("subscription_purge", |state, now| {
            subscribable(state, "subscription_purge")?;
            let head = state.head_for_news(queue)?;
            head.subscriptions.clear();
            head.trim(now);
            Ok(())
        })
        .await
    }
}

fn subscribable(state: &State, operation: &'static str) -> Result<()> {
    state.require(Capability::Subscriptions, operation)
}

/// The number in an id of this incarnation; `None` for another queue's.
fn number_of(id: SubscriptionId, incarnation: Incarnation) -> Option<u64> {
    (id.incarnation() == incarnation).then(|| id.sequence())
}

impl Head {
    /// The live subscription of that id.
    pub(super) fn subscription(
        &mut self,
        id: SubscriptionId,
        now: Timestamp,
    ) -> Result<&mut StoredSubscription> {
        number_of(id, self.incarnation)
            .and_then(|number| self.subscriptions.get_mut(&number))
            .filter(|subscription| subscription.is_live(now))
            .ok_or(Error::SubscriptionNotFound { id })
    }

    fn subscription_of(&self, subscriber: &str, now: Timestamp) -> Option<&StoredSubscription> {
        self.subscriptions
            .values()
            .find(|stored| stored.is_live(now) && stored.subscriber == subscriber)
    }

    fn subscribe(
        &mut self,
        subscription: NewSubscription,
        now: Timestamp,
    ) -> Result<Created<Subscription>> {
        if let Some(found) = self.subscription_of(&subscription.subscriber, now) {
            return Ok(Created::Existing(found.show(now)));
        }
        let NewSubscription { subscriber, ttl, options, needs_confirmation, owner } = subscription;
        let number = self.subscription_next;
        let stored = StoredSubscription {
            id: SubscriptionId::new(self.incarnation, number)?,
            subscriber,
            ttl,
            created_at: now,
            expires_at: now.after(ttl),
            options,
            confirmed: false,
            needs_confirmation,
            since: self.sequence_next,
            owner,
            cursor: self.sequence_next,
            retries: BTreeMap::new(),
            lease: None,
        };
        let shown = stored.show(now);
        self.subscription_next += 1;
        self.subscriptions.insert(number, stored);
        Ok(Created::New(shown))
    }

    /// Another address gets nothing older, and must confirm anew.
    fn update_subscription(
        &mut self,
        id: SubscriptionId,
        changes: UpdateSubscription,
        now: Timestamp,
    ) -> Result<()> {
        let position = self.sequence_next;
        let present = self.subscription(id, now)?.subscriber.clone();
        let moves_to = changes.subscriber.filter(|subscriber| *subscriber != present);
        if let Some(subscriber) = &moves_to
            && self.subscription_of(subscriber, now).is_some()
        {
            return Err(Error::SubscriptionExists);
        }
        let subscription = self.subscription(id, now)?;
        if let Some(subscriber) = moves_to {
            subscription.subscriber = subscriber;
            subscription.confirmed = false;
            if let Some(needs) = changes.needs_confirmation {
                subscription.needs_confirmation = needs;
            }
            subscription.start_at(position);
        }
        if let Some(ttl) = changes.ttl {
            subscription.ttl = ttl;
            subscription.expires_at = now.after(ttl);
        }
        if let Some(options) = changes.options {
            subscription.options = options;
        }
        self.trim(now);
        Ok(())
    }
}
