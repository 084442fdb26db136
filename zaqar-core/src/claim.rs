//! Claims: leases on messages.

use async_trait::async_trait;

use crate::clock::{Timestamp, Ttl};
use crate::error::Result;
use crate::ids::{ClaimId, QueueName};
use crate::message::Message;
use crate::page::PageLimit;
use crate::queue::QueueRef;

/// Where messages go that were claimed too often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redrive {
    /// How often a message may be claimed.
    pub claims_max: u32,
    /// The queue of the same project that takes it afterwards.
    pub target: QueueName,
    /// Its life there, from its arrival.
    pub ttl: Ttl,
}

/// Options of [`ClaimController::claim_create`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateClaim {
    /// The claim's name, made by the caller; a repeat with it returns the same messages.
    pub id: ClaimId,
    /// How long the claim lasts.
    pub ttl: Ttl,
    /// How much longer than the claim its messages live at least.
    pub grace: Ttl,
    /// How many messages to claim at most.
    pub limit: PageLimit,
    /// What becomes of messages claimed too often; `None`: they are claimed for ever.
    pub redrive: Option<Redrive>,
}

impl CreateClaim {
    /// A claim of ten messages without dead-letter queue.
    #[must_use]
    pub fn new(id: ClaimId, ttl: Ttl, grace: Ttl) -> Self {
        Self { id, ttl, grace, limit: PageLimit::default(), redrive: None }
    }

    /// Sets how many messages to claim at most.
    #[must_use]
    pub fn limit(mut self, limit: PageLimit) -> Self {
        self.limit = limit;
        self
    }

    /// Sets what becomes of messages claimed too often.
    #[must_use]
    pub fn redrive(mut self, redrive: impl Into<Option<Redrive>>) -> Self {
        self.redrive = redrive.into();
        self
    }
}

/// What a claim took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claimed {
    /// The messages, oldest first. Empty: there is no claim.
    pub messages: Vec<Message>,
    /// How many messages this call parked on their way to the dead-letter queue: the caller carries
    /// their transfers out
    /// ([`OutboxController::transfer_lease`](crate::outbox::OutboxController::transfer_lease)).
    pub parked: u32,
}

/// A live claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its name.
    pub id: ClaimId,
    /// How long it lasts, as set last.
    pub ttl: Ttl,
    /// Whole seconds since it was made or renewed.
    pub age_s: u64,
    /// When it ends: at that very moment its messages are free.
    pub ends_at: Timestamp,
}

/// Claims of one data store.
///
/// Every operation is fenced (G6): it touches a message only if, in the same atomic step, the named
/// claim is its current owner and has not ended.
#[async_trait]
pub trait ClaimController: std::fmt::Debug + Send + Sync + 'static {
    /// Claims up to `limit` claimable messages, oldest first (G5), and counts the claim on each.
    ///
    /// A message that would expire before the claim ends lives until the claim's end plus grace and
    /// shows `ttl + grace` as its ttl; one that lives longer is left as it is.
    ///
    /// # Guarantees
    /// G5: on `Ok` no other claim, pop or default listing returns these messages before the claim's
    /// end or release. G7: each one's count is one higher. Oldest first. G8: lives are extended,
    /// never shortened. G10: what was parked is recorded as on its way.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `Overloaded` — not begun.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or claimed whole; a claim whose caller left before the answer is released at
    /// once.
    ///
    /// # Idempotence
    /// Safe, by the claim's id: the repeat returns what the claim still holds.
    ///
    /// # Implementors
    /// Release and retire what is due, up to K each, then take: messages claimed, delayed or
    /// expired ahead are met once, not by every claim. One that finds nothing writes nothing.
    /// O(limit).
    ///
    /// # Conformance
    /// `life.claim.*`, `claim.create.*`, `dead_letter.park.*`, `claim.depth.*`.
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed>;

    /// Reads a live claim and its messages, in queue order. `ClaimNotFound` if it is over, released,
    /// or all its messages are gone.
    ///
    /// # Guarantees
    /// On `Ok` the claim was live at the moment of the read, and these are what it held.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `ClaimNotFound` — unknown, over, released, or all its messages are gone.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(messages of the claim).
    ///
    /// # Conformance
    /// `claim.create.*`, `claim.get.*`, `isolation.ids.*`, `life.claim.*`.
    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)>;

    /// Starts the claim's time anew with `ttl`, extending its messages' lives as a new claim would.
    /// Their claim count stays. `ClaimNotFound` as for [`Self::claim_get`].
    ///
    /// # Guarantees
    /// G6: on `Ok` the claim was live in the step that renewed it. G7: the count of claims stays.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `ClaimNotFound` — as for [`Self::claim_get`]; nothing was renewed.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe: the time starts at the latest call.
    ///
    /// # Implementors
    /// Renew only what the claim holds at this moment: a message that another claim took since must
    /// not be taken back. O(messages of the claim).
    ///
    /// # Conformance
    /// `claim.create.*`, `claim.get.*`, `life.renewal.*`, `cancel.claim.*`.
    async fn claim_update(&self, queue: &QueueRef, id: ClaimId, ttl: Ttl, grace: Ttl)
    -> Result<()>;

    /// Releases what the claim still holds: claimable at once, count and life kept. Silent if the
    /// claim is not there or over.
    ///
    /// # Guarantees
    /// G7: on `Ok` what the claim held is claimable; counts and lives are kept.
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
    /// Write conditional on the present owner: a late release must not free another claim's
    /// message, nor bring back a deleted one. O(messages of the claim).
    ///
    /// # Conformance
    /// `claim.delete.*`, `claim.get.*`, `delete.single.*`, `isolation.ids.*`.
    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()>;
}
