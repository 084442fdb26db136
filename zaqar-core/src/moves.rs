//! Moving a queue from one store to another while it is in use (G17).
//!
//! Both stores hold a head of the same incarnation for a while. From the position at which the
//! source's head [moved](crate::head::QueueHeadController::head_move), posts go to the target;
//! what lies before it is carried over in parts, the highest positions first, so that the source
//! always holds the older messages and the target the newer ones. A part is *frozen* at both ends
//! while it is on its way: it is shown as ever and changed by nobody. Only when the source has
//! removed it does the target reveal it, so that there is one copy that can be claimed or deleted,
//! whichever step a crash falls into.
//!
//! ```text
//! source                                target
//! head_move     posts are refused
//! move_begin    what the target needs   move_open      posts are taken, from that position on
//! move_freeze   the next part stands ──▶ move_insert   the part is here too, frozen
//! move_remove   the part is gone        move_reveal    the part is served here
//! ...           until nothing is left
//! move_records  what is remembered  ──▶ move_insert_records
//! move_leave    the head is closed
//! ```
//!
//! The frozen positions of a head are one range `from..to`, below `to` at the source and from `to`
//! on at the target everything else lies. Parts follow each other without a gap, so each step says
//! by positions alone whether it was taken before: every call may be repeated, by anybody, at any
//! time, and a call that comes too late does nothing.

use async_trait::async_trait;

use crate::body::Body;
use crate::capability::Capability;
use crate::clock::{Timestamp, Ttl};
use crate::error::{Error, Result};
use crate::ids::{ClaimId, ClientId, IdempotencyKey, MessageId};
use crate::message::DeadLetterOrigin;
use crate::outbox::ExhaustedDelivery;
use crate::page::{Page, PageLimit};
use crate::queue::QueueRef;
use crate::subscription::Subscription;

/// Subscriptions that a queue may have to be moved: they are taken over in one step.
pub const MOVE_SUBSCRIPTIONS_MAX: usize = 1_000;

/// What the target must know of a queue to take its posts.
#[derive(Debug, Clone, PartialEq)]
pub struct MoveOpening {
    /// The position of the next message: all lower ones were given out by the source.
    pub start: u64,
    /// The live subscriptions.
    pub subscriptions: Vec<Subscription>,
}

/// A claim's hold on a message that is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MovingHold {
    /// The claim.
    pub claim: ClaimId,
    /// How long it lasts, as set last.
    pub ttl: Ttl,
    /// When it was made or renewed.
    pub since: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
}

/// A message as it is moved: everything that a store keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovingMessage {
    /// Its name.
    pub id: MessageId,
    /// Its place in the queue, which for a dead letter is not that of its id.
    pub position: u64,
    /// What it says.
    pub body: Body,
    /// Its life as it is shown.
    pub ttl: Ttl,
    /// When it was posted.
    pub posted_at: Timestamp,
    /// When its life ends.
    pub expires_at: Timestamp,
    /// When its delay ends, if it is delayed.
    pub delayed_until: Option<Timestamp>,
    /// Who posted it.
    pub client: Option<ClientId>,
    /// Checksum of the body, if one was stored.
    pub checksum: Option<String>,
    /// How often it was claimed.
    pub claim_count: u32,
    /// The live claim that holds it.
    pub hold: Option<MovingHold>,
}

/// The frozen part of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MovePart {
    /// The lowest frozen position.
    pub from: u64,
    /// Where what is not frozen begins again. Equal to `from`: nothing is frozen.
    pub to: u64,
    /// The live messages within, in queue order, without those parked on their way to a dead-letter
    /// queue.
    pub messages: Vec<MovingMessage>,
}

impl MovePart {
    /// Whether nothing is frozen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from >= self.to
    }
}

/// What a queue remembers beside its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MoveRecord {
    /// What an idempotency key stands for (G3).
    Key {
        /// The caller's key.
        key: IdempotencyKey,
        /// Digest of what was posted.
        digest: [u8; 32],
        /// The ids that were given out, in their order.
        ids: Vec<MessageId>,
        /// Until when the store remembers it.
        until: Timestamp,
    },
    /// A dead letter that arrived here once (G10).
    Arrival {
        /// The id that it kept.
        id: MessageId,
        /// The place that it was given.
        position: u64,
        /// Where it came from, if that is known.
        origin: Option<DeadLetterOrigin>,
    },
    /// A delivery that was given up.
    Exhausted(ExhaustedDelivery),
}

/// Moves of queues into and out of one data store.
///
/// The move is named by the [epoch](QueueRef::epoch) of the reference: each operation but
/// [`Self::move_open`] is refused with `QueueMoved` unless the head is of exactly this epoch, and
/// with `QueueGone` if there is no head.
#[async_trait]
pub trait MoveController: std::fmt::Debug + Send + Sync + 'static {
    /// At the source, after its head moved: what the target must know to open.
    ///
    /// # Guarantees
    /// G17: on `Ok` the source gives out no position from `start` on and changes none of the
    /// subscriptions any more.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Invalid` — the head is open still, or there are more than [`MOVE_SUBSCRIPTIONS_MAX`]
    ///   subscriptions.
    /// - `Unsupported`.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// A moved head refuses changes of its subscriptions like posts, so this is a plain read.
    /// O(subscriptions).
    ///
    /// # Conformance
    /// `move.begin.*`, `move.open.*`.
    async fn move_begin(&self, queue: &QueueRef) -> Result<MoveOpening>;

    /// At the target: makes the head under the reference's epoch, open, its positions starting at
    /// `opening.start`, nothing of it frozen, with these subscriptions, which get what is posted
    /// from there on. `false` if the incarnation lived here before and not everything of that time
    /// is collected yet: nothing was done.
    ///
    /// # Guarantees
    /// G17: on `Ok(true)` posts are taken here. G13: the subscriptions are those of the source,
    /// their ids too. G11: a head that was closed is never opened again, one that was
    /// [left](Self::move_leave) only under a higher epoch.
    ///
    /// # Errors
    /// - `QueueGone` — it was closed before.
    /// - `QueueMoved` — a head of a higher epoch is here, or was left here.
    /// - `Unsupported`.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe: a head of this epoch is left as it is.
    ///
    /// # Implementors
    /// Head and subscriptions in one step. O(subscriptions).
    ///
    /// # Conformance
    /// `move.open.*`, `move.back.*`.
    async fn move_open(&self, queue: &QueueRef, opening: &MoveOpening) -> Result<bool>;

    /// At the source: freezes the `limit` highest of the messages that are left, if nothing is
    /// frozen, and reads what is frozen. An empty part: no message is left to be moved.
    ///
    /// # Guarantees
    /// G17: on `Ok` no message of the part is claimed, renewed, released, popped or deleted here
    /// until the part was removed: such an operation is refused with `QueueMoving` and changes
    /// nothing, claims and pops take only what lies before the part. Everything is shown as before.
    /// Purges, expiry and collection go on.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Invalid` — the head is open.
    /// - `Unsupported`.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe: until the part is removed, the same one is read.
    ///
    /// # Implementors
    /// A range in the head is enough: no message need be touched. Messages that are parked on their
    /// way to a dead-letter queue stay and are not counted. O(limit), whatever is left.
    ///
    /// # Conformance
    /// `move.freeze.*`.
    async fn move_freeze(&self, queue: &QueueRef, limit: PageLimit) -> Result<MovePart>;

    /// Reads what is frozen here, at either end.
    ///
    /// # Guarantees
    /// On `Ok` the frozen part at some moment during the call.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Unsupported`.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// O(part).
    ///
    /// # Conformance
    /// `move.insert.*`, `move.freeze.*`.
    async fn move_part(&self, queue: &QueueRef) -> Result<MovePart>;

    /// At the target: stores a part at its own positions, frozen. A part that lies at or above the
    /// lowest position that arrived has come already: nothing is done.
    ///
    /// # Guarantees
    /// G1, G17: on `Ok` the part is durable here: shown as it was at the source, and to be had by
    /// nobody until it is revealed. G5: the claims that hold messages of it hold them here. G4:
    /// what was purged here meanwhile is left out.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Invalid` — something is frozen here, or the part does not end where the last one began.
    /// - `Unsupported`.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe, by positions, also long after the part was consumed.
    ///
    /// # Implementors
    /// Messages, claims and the range in one step. O(part).
    ///
    /// # Conformance
    /// `move.insert.*`, `move.crash.*`.
    async fn move_insert(&self, queue: &QueueRef, part: &MovePart) -> Result<()>;

    /// At the source: removes the frozen part that begins at `from`, but for parked messages, once
    /// the target has it. Nothing is done if another part is frozen, or none.
    ///
    /// # Guarantees
    /// G17: on `Ok` that part is not here any more, and nothing else was removed.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Unsupported`.
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
    /// Rows and range in one step. O(part).
    ///
    /// # Conformance
    /// `move.remove.*`, `move.crash.*`.
    async fn move_remove(&self, queue: &QueueRef, from: u64) -> Result<()>;

    /// At the target: gives free the frozen part that begins at `from`, once the source has removed
    /// it. Nothing is done if another part is frozen, or none.
    ///
    /// # Guarantees
    /// G17: on `Ok` that part is served here like any message. G5, G7: under the claims that it came
    /// with, and claimable again when they end.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Unsupported`.
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
    /// The range in the head. O(1).
    ///
    /// # Conformance
    /// `move.reveal.*`, `move.crash.*`.
    async fn move_reveal(&self, queue: &QueueRef, from: u64) -> Result<()>;

    /// At the source: reads what the queue remembers, a page at a time.
    ///
    /// # Guarantees
    /// G3, G10: every key that is still remembered, every arrival, every delivery that was given up
    /// before the walk began, strictly after the marker. A moved head gets no new keys or arrivals;
    /// what is given up later comes after every marker that was answered before.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Unsupported`.
    /// - `Backend` — the engine failed; effect `None`.
    ///
    /// # Cancellation
    /// Nothing is changed, so nothing is left behind.
    ///
    /// # Idempotence
    /// A read.
    ///
    /// # Implementors
    /// The marker is yours: text that names the last record and its kind. O(page).
    ///
    /// # Conformance
    /// `move.records.*`.
    async fn move_records(
        &self,
        queue: &QueueRef,
        marker: Option<&str>,
        limit: PageLimit,
    ) -> Result<Page<MoveRecord, String>>;

    /// At the target: remembers these as well, if it does not already. A delivery that was given up
    /// is known by its message and subscriber, and gets a number of its own. An arrival that is
    /// remembered without its origin gets that.
    ///
    /// # Guarantees
    /// G3: on `Ok` a post under such a key is answered as at the source. G10: such a dead letter is
    /// not inserted again, and is known by its origin.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Unsupported`.
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
    /// O(records).
    ///
    /// # Conformance
    /// `move.records.*`.
    async fn move_insert_records(&self, queue: &QueueRef, records: &[MoveRecord]) -> Result<()>;

    /// At the source: closes the head, if nothing is left: no live message, no dead letter on its
    /// way, nothing to be delivered. `false` if something is: nothing was done.
    ///
    /// # Guarantees
    /// G17: on `Ok(true)` every later operation is refused with `QueueGone`, until the queue may
    /// come back under a higher epoch.
    ///
    /// # Errors
    /// - `QueueGone`, `QueueMoved`.
    /// - `Invalid` — the head is open.
    /// - `Unsupported`.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe: the repeat is `QueueGone`.
    ///
    /// # Implementors
    /// As a head that is closed, but remember the epoch: [`Self::move_open`] tells the two apart.
    ///
    /// # Conformance
    /// `move.leave.*`, `move.back.*`.
    async fn move_leave(&self, queue: &QueueRef) -> Result<bool>;
}

/// The moves of a driver that has none: each is refused.
#[derive(Debug, Clone, Copy)]
pub struct NoMoves;

impl NoMoves {
    fn refusal(operation: &'static str) -> Error {
        Error::Unsupported { operation, driver: "the driver", capability: Capability::LiveMove }
    }
}

#[async_trait]
impl MoveController for NoMoves {
    async fn move_begin(&self, _: &QueueRef) -> Result<MoveOpening> {
        Err(Self::refusal("move_begin"))
    }

    async fn move_open(&self, _: &QueueRef, _: &MoveOpening) -> Result<bool> {
        Err(Self::refusal("move_open"))
    }

    async fn move_freeze(&self, _: &QueueRef, _: PageLimit) -> Result<MovePart> {
        Err(Self::refusal("move_freeze"))
    }

    async fn move_part(&self, _: &QueueRef) -> Result<MovePart> {
        Err(Self::refusal("move_part"))
    }

    async fn move_insert(&self, _: &QueueRef, _: &MovePart) -> Result<()> {
        Err(Self::refusal("move_insert"))
    }

    async fn move_remove(&self, _: &QueueRef, _: u64) -> Result<()> {
        Err(Self::refusal("move_remove"))
    }

    async fn move_reveal(&self, _: &QueueRef, _: u64) -> Result<()> {
        Err(Self::refusal("move_reveal"))
    }

    async fn move_records(
        &self,
        _: &QueueRef,
        _: Option<&str>,
        _: PageLimit,
    ) -> Result<Page<MoveRecord, String>> {
        Err(Self::refusal("move_records"))
    }

    async fn move_insert_records(&self, _: &QueueRef, _: &[MoveRecord]) -> Result<()> {
        Err(Self::refusal("move_insert_records"))
    }

    async fn move_leave(&self, _: &QueueRef) -> Result<bool> {
        Err(Self::refusal("move_leave"))
    }
}
