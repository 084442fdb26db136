//! Subscriptions: who is sent what is posted.

use async_trait::async_trait;

use crate::clock::{Timestamp, Ttl};
use crate::error::Result;
use crate::ids::SubscriptionId;
use crate::page::{Page, PageLimit};
use crate::queue::{Created, JsonObject, QueueRef};

/// A subscription to be made.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// The address: a URI.
    pub subscriber: String,
    /// How long it lasts.
    pub ttl: Ttl,
    /// The tenant's options.
    pub options: JsonObject,
    /// Whether nothing is delivered until the subscriber confirms.
    pub needs_confirmation: bool,
    /// The web head that alone may deliver, for an address that is a connection of its own.
    pub owner: Option<String>,
}

impl NewSubscription {
    /// A subscription without options that needs no confirmation.
    #[must_use]
    pub fn new(subscriber: impl Into<String>, ttl: Ttl) -> Self {
        Self {
            subscriber: subscriber.into(),
            ttl,
            options: JsonObject::new(),
            needs_confirmation: false,
            owner: None,
        }
    }

    /// Sets the tenant's options.
    #[must_use]
    pub fn options(mut self, options: JsonObject) -> Self {
        self.options = options;
        self
    }
}

/// A stored subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Its name.
    pub id: SubscriptionId,
    /// The address.
    pub subscriber: String,
    /// How long it lasts, as set last.
    pub ttl: Ttl,
    /// Whole seconds since it was made.
    pub age_s: u64,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The tenant's options.
    pub options: JsonObject,
    /// Whether the subscriber confirmed.
    pub confirmed: bool,
    /// Whether nothing is delivered until it does.
    pub needs_confirmation: bool,
    /// The position from which on it gets messages: nothing older.
    pub since: u64,
    /// The web head that alone may deliver.
    pub owner: Option<String>,
}

impl Subscription {
    /// Whether messages posted now are delivered to it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.confirmed || !self.needs_confirmation
    }
}

/// Changes to a subscription; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct UpdateSubscription {
    /// Another address. It gets only what is posted from now on, and must confirm anew.
    pub subscriber: Option<String>,
    /// Whether nothing is delivered to another address until it confirms. Says nothing about an
    /// address that stays.
    pub needs_confirmation: Option<bool>,
    /// A new span of life, from now.
    pub ttl: Option<Ttl>,
    /// New options, as a whole.
    pub options: Option<JsonObject>,
}

impl UpdateSubscription {
    /// Changes nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets another address.
    #[must_use]
    pub fn subscriber(mut self, subscriber: impl Into<Option<String>>) -> Self {
        self.subscriber = subscriber.into();
        self
    }

    /// Sets whether another address gets nothing until it confirms.
    #[must_use]
    pub fn needs_confirmation(mut self, needs: impl Into<Option<bool>>) -> Self {
        self.needs_confirmation = needs.into();
        self
    }

    /// Sets a new span of life.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Option<Ttl>>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets new options.
    #[must_use]
    pub fn options(mut self, options: impl Into<Option<JsonObject>>) -> Self {
        self.options = options.into();
        self
    }
}

/// Subscriptions of one data store.
///
/// A subscription belongs to its queue's incarnation and ends with it. It is unique in it by
/// subscriber. Every change locks the queue head, so that a post either sees it or does not.
#[async_trait]
pub trait SubscriptionController: std::fmt::Debug + Send + Sync + 'static {
    /// Makes a subscription, unconfirmed, that gets what is posted from now on, or finds the live
    /// one of the same subscriber, which is left as it is.
    ///
    /// # Guarantees
    /// G13: on `Ok(New)` every message posted after the call is in its outbox, if it is active.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe: the repeat is `Existing`.
    ///
    /// # Implementors
    /// Head and subscription in one step. A subscription that has ended does not block its
    /// subscriber. O(1).
    ///
    /// # Conformance
    /// `subscription.create.*`, `cancel.subscription.*`, `head.get.*`, `outbox.since.*`.
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        subscription: NewSubscription,
    ) -> Result<Created<Subscription>>;

    /// Lists live subscriptions, ascending by id.
    ///
    /// # Guarantees
    /// G12: live subscriptions of this incarnation alone, ascending by id, strictly after the
    /// marker.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(page).
    ///
    /// # Conformance
    /// `incarnation.recreate.*`, `isolation.ids.*`, `purge.message.*`, `refusal.subscriptions`.
    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>>;

    /// Reads a live subscription; another queue's id is `SubscriptionNotFound`.
    ///
    /// # Guarantees
    /// G12: the subscription as last stored.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `SubscriptionNotFound` — unknown, over, or another queue's.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(1).
    ///
    /// # Conformance
    /// `subscription.get.*`, `incarnation.recreate.*`, `isolation.ids.*`, `reopen.outbox.*`.
    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription>;

    /// Reads the live subscription of a subscriber, if there is one.
    ///
    /// # Guarantees
    /// As for [`Self::subscription_get`], by subscriber, bytewise.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(1).
    ///
    /// # Conformance
    /// `subscription.create.*`, `incarnation.recreate.*`, `isolation.ids.*`,
    /// `subscription.delete.*`.
    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>>;

    /// Changes a live subscription. `SubscriptionExists` if another one has the new subscriber.
    ///
    /// # Guarantees
    /// On `Ok` all changes are stored together. Another subscriber starts unconfirmed and gets
    /// nothing older.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `SubscriptionNotFound` — unknown, over, or another queue's.
    /// - `SubscriptionExists` — a live one has the new subscriber.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// All or nothing; drop the retries of the former address. O(1).
    ///
    /// # Conformance
    /// `subscription.update.*`, `subscription.expiry.*`, `subscription.get.*`, `isolation.ids.*`.
    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()>;

    /// Sets or clears the confirmation. One that becomes active gets what is posted from now on.
    ///
    /// # Guarantees
    /// On `Ok` the flag is stored; what becomes active gets what is posted from now on.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `SubscriptionNotFound` — unknown, over, or another queue's.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// Head and subscription in one step. O(1).
    ///
    /// # Conformance
    /// `outbox.since.*`, `subscription.get.*`, `cancel.subscription.*`, `isolation.ids.*`.
    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()>;

    /// Removes a subscription and what was still to be delivered to it. Silent if it is not there.
    ///
    /// # Guarantees
    /// On `Ok` nothing more is handed out for it.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// With its retries, in one step. O(retries).
    ///
    /// # Conformance
    /// `subscription.get.*`, `cancel.subscription.*`, `delivery.trim.*`, `isolation.ids.*`.
    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()>;

    /// Removes every subscription of the queue.
    ///
    /// # Guarantees
    /// On `Ok` the queue has no subscription left.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe.
    ///
    /// # Implementors
    /// O(subscriptions).
    ///
    /// # Conformance
    /// `isolation.ids.*`, `outbox.end.*`, `subscription.purge.*`.
    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()>;
}
