//! The outbox: what was posted and still has to be delivered, and dead letters on their way.
//!
//! A post to a queue that anyone subscribes to writes one entry in its own atomic step (G13), which
//! keeps the bodies even if a consumer deletes the messages at once. Each active subscription has a
//! cursor that walks the entries from its `since` on; what failed becomes one retry row per message
//! and the cursor goes on. Entries below every cursor and without retry rows are trimmed. A driver
//! knows records, leases and outcomes; it knows no webhook.

use std::collections::HashMap;

use async_trait::async_trait;

use crate::body::Body;
use crate::clock::{Timestamp, Ttl};
use crate::error::{Error, Result};
use crate::ids::{LeaseId, MessageId, QueueName};
use crate::message::MovedMessage;
use crate::page::{Page, PageLimit};
use crate::queue::QueueRef;
use crate::subscription::Subscription;

/// Options of [`OutboxController::delivery_lease`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LeaseDeliveries {
    /// The lease's name, made by the caller.
    pub lease: LeaseId,
    /// How long the lease lasts.
    pub ttl: Ttl,
    /// How many subscriptions to lease at most.
    pub subscriptions_max: PageLimit,
    /// How many messages of each to return at most.
    pub messages_max: PageLimit,
    /// The web head that asks: it is also given the subscriptions that it owns.
    pub owner: Option<String>,
}

impl LeaseDeliveries {
    /// A lease on up to ten subscriptions, ten messages each, that no web head owns.
    #[must_use]
    pub fn new(lease: LeaseId, ttl: Ttl) -> Self {
        let limit = PageLimit::default();
        Self { lease, ttl, subscriptions_max: limit, messages_max: limit, owner: None }
    }

    /// Sets how many subscriptions to lease at most.
    #[must_use]
    pub fn subscriptions_max(mut self, limit: PageLimit) -> Self {
        self.subscriptions_max = limit;
        self
    }

    /// Sets how many messages of each subscription to return at most.
    #[must_use]
    pub fn messages_max(mut self, limit: PageLimit) -> Self {
        self.messages_max = limit;
        self
    }

    /// Says which web head asks.
    #[must_use]
    pub fn owner(mut self, owner: impl Into<Option<String>>) -> Self {
        self.owner = owner.into();
        self
    }
}

/// A message as the outbox keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxMessage {
    /// Its name.
    pub id: MessageId,
    /// What it says.
    pub body: Body,
    /// Its life as posted.
    pub ttl: Ttl,
    /// Its delay as posted.
    pub delay: Ttl,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// How many attempts at delivering it to this subscription failed so far.
    pub attempts: u32,
}

/// Work on one subscription, under a lease.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    /// The queue that was posted to.
    pub queue: QueueRef,
    /// Whom to deliver to.
    pub subscription: Subscription,
    /// The lease that fences the completion.
    pub lease: LeaseId,
    /// What to deliver: due retries first, then new messages, each oldest first.
    pub messages: Vec<OutboxMessage>,
}

impl Delivery {
    /// Puts each outcome beside the leased message that it is about.
    ///
    /// # Errors
    /// `Invalid` if one is about none of these messages, or two are about the same.
    pub fn pair<'d>(
        &'d self,
        outcomes: &'d [(MessageId, DeliveryOutcome)],
    ) -> Result<Vec<(&'d OutboxMessage, &'d DeliveryOutcome)>> {
        let mut leased: HashMap<MessageId, &OutboxMessage> =
            self.messages.iter().map(|message| (message.id, message)).collect();
        let pair = |(id, outcome)| {
            let message = leased.remove(id).ok_or_else(|| Error::Invalid {
                field: "outcomes",
                reason: format!("must name leased messages, each once, which {id} is not"),
            })?;
            Ok((message, outcome))
        };
        outcomes.iter().map(|(id, outcome)| (id, outcome)).map(pair).collect()
    }
}

/// What became of one message's delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The subscriber took it.
    Delivered,
    /// It failed; try again no earlier than `not_before`.
    Retry {
        /// The earliest moment of the next attempt.
        not_before: Timestamp,
    },
    /// It failed for good; a record of it is kept.
    Exhausted {
        /// Why, for the operator.
        reason: String,
    },
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhaustedDelivery {
    /// Ascending number of the record in its queue.
    pub number: u64,
    /// The message.
    pub message: MessageId,
    /// The address.
    pub subscriber: String,
    /// How many attempts were made.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
}

/// A dead letter on its way: the message is parked in its source until it has arrived.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Where it is parked.
    pub source: QueueRef,
    /// The queue of the same project that takes it.
    pub target: QueueName,
    /// The message as the target stores it.
    pub message: MovedMessage,
    /// The lease that fences the completion.
    pub lease: LeaseId,
}

/// How much work waits in a store's outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxBacklog {
    /// Entries not trimmed yet.
    pub entries: u64,
    /// Messages waiting for another attempt.
    pub retries: u64,
    /// Deliveries given up, as far as their records are still kept.
    pub exhausted: u64,
    /// Dead letters on their way.
    pub transfers: u64,
}

/// Outbox work of one data store.
#[async_trait]
pub trait OutboxController: std::fmt::Debug + Send + Sync + 'static {
    /// Leases subscriptions that have something to deliver now and that nobody else holds.
    ///
    /// A subscription is under at most one live lease. When a lease ends without completion, the
    /// same messages are handed out again.
    ///
    /// # Guarantees
    /// G13: on `Ok` nobody else is handed these subscriptions' work before the lease ends; new
    /// messages come in queue order.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Work may be leased to nobody; it is handed out again when the lease ends.
    ///
    /// # Idempotence
    /// Another call leases other work.
    ///
    /// # Implementors
    /// Lease and read in one step; only confirmed-enough, live subscriptions, and those of another
    /// owner never. O(subscriptions and messages returned).
    ///
    /// # Conformance
    /// `outbox.deliver.*`, `outbox.since.*`, `delivery.complete.*`, `delivery.lease.*`.
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>>;

    /// Records what became of leased messages and moves the cursor past them; `LeaseLost` if the
    /// lease is over or another's, and nothing is recorded. With `release` the lease ends.
    ///
    /// `delivery` is as it was leased, with all its messages: outcomes are placed by them. Outcomes
    /// cover a prefix of the new messages; what is not mentioned is handed out again.
    ///
    /// # Guarantees
    /// G13: on `Ok` every outcome is recorded and the cursor is past what was told; a message left
    /// out is handed out again. A retry counts one attempt more than the message had when it was
    /// leased, however often it is told under this lease.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `LeaseLost` — the lease is over or another's; nothing was recorded.
    /// - `Invalid` — the outcomes leave a gap among the new messages, or are about others than
    ///   those of the delivery; nothing was recorded.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe under the same lease: what is recorded stays as it is.
    ///
    /// # Implementors
    /// Compare the lease in the step that records (G6). O(outcomes).
    ///
    /// # Conformance
    /// `delivery.complete.*`, `delivery.retry.*`, `outbox.deliver.*`, `cancel.delivery.*`.
    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()>;

    /// Prolongs a lease on a subscription by `ttl` from now; `LeaseLost` if it is over.
    ///
    /// # Guarantees
    /// On `Ok` the lease lasts `ttl` from now.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `LeaseLost` — it is over or another's.
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
    /// O(1).
    ///
    /// # Conformance
    /// `delivery.complete.*`, `delivery.renew.*`.
    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()>;

    /// Lists deliveries of a queue that were given up, ascending by number.
    ///
    /// # Guarantees
    /// On `Ok` every delivery that was given up and is still kept, strictly after the marker.
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
    /// `delivery.exhausted.*`, `reopen.outbox.*`.
    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>>;

    /// Leases dead letters on their way, of one queue or of all, that nobody else holds.
    ///
    /// # Guarantees
    /// G10: on `Ok` nobody else is handed these transfers before the lease ends; each message stays
    /// parked in its source.
    ///
    /// # Errors
    /// - `QueueGone` — a named queue is closed.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Transfers may be leased to nobody; they are handed out again when the lease ends.
    ///
    /// # Idempotence
    /// Another call leases other transfers.
    ///
    /// # Implementors
    /// Lease and read in one step. O(limit).
    ///
    /// # Conformance
    /// `dead_letter.way.*`, `dead_letter.transfer.*`, `cancel.transfer.*`, `dead_letter.close.*`.
    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>>;

    /// Removes the parked source, provided that this lease still holds it: the target has the
    /// message. Repeating it is silent; `LeaseLost` if another lease took the transfer over.
    ///
    /// # Guarantees
    /// G10: on `Ok` the source does not hold the message.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `LeaseLost` — another lease took the transfer over; the source still holds it.
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
    /// Conditional on the lease, in one step. O(1).
    ///
    /// # Conformance
    /// `dead_letter.way.*`, `dead_letter.complete.*`, `cancel.transfer.*`, `reopen.transfers.*`.
    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()>;

    /// Counts what waits.
    ///
    /// # Guarantees
    /// Counts at some moment during the call.
    ///
    /// # Errors
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(records) at worst; for metrics.
    ///
    /// # Conformance
    /// `delivery.trim.*`, `dead_letter.purge.*`, `dead_letter.way.*`, `delivery.exhausted.*`.
    async fn outbox_backlog(&self) -> Result<OutboxBacklog>;
}
