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
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed>;

    /// Reads a live claim and its messages, in queue order. `ClaimNotFound` if it is over, released,
    /// or all its messages are gone.
    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)>;

    /// Starts the claim's time anew with `ttl`, extending its messages' lives as a new claim would.
    /// Their claim count stays. `ClaimNotFound` as for [`Self::claim_get`].
    async fn claim_update(&self, queue: &QueueRef, id: ClaimId, ttl: Ttl, grace: Ttl)
    -> Result<()>;

    /// Releases what the claim still holds: claimable at once, count and life kept. Silent if the
    /// claim is not there or over.
    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()>;
}
