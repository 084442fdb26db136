//! Queue heads: the fence between the control plane's cached routing and the data.
//!
//! One record per incarnation in the data store that holds its messages: the position counter,
//! whether anyone subscribes, and a state. Routing may be stale, the fence may not: every data
//! operation checks `open` inside its own atomic step (a plain read checks after it has read).

use async_trait::async_trait;

use crate::error::Result;
use crate::queue::QueueRef;

/// Whether the incarnation takes operations here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadState {
    /// Yes.
    Open,
    /// Its posts go to another pool since this epoch.
    Moved {
        /// The epoch of the move in the catalogue.
        epoch: u64,
    },
}

/// A queue head as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueHead {
    /// Whether it takes operations.
    pub state: HeadState,
    /// The position that the next message will get.
    pub sequence_next: u64,
    /// Whether a post must write an outbox entry. It may over-report, never under-report.
    pub subscribed: bool,
    /// Whether a part of the queue is on its way to or from another store
    /// ([`move_freeze`](crate::moves::MoveController::move_freeze)).
    pub frozen: bool,
}

/// Queue heads of one data store.
#[async_trait]
pub trait QueueHeadController: std::fmt::Debug + Send + Sync + 'static {
    /// Makes the head of an incarnation, open, its positions starting at 1. Nothing but this makes
    /// one. Opening an open head again is `Ok`; a head that was ever closed stays closed:
    /// `QueueGone`.
    ///
    /// # Guarantees
    /// G11: on `Ok` the incarnation takes operations until it is closed. A head that was ever
    /// closed stays closed.
    ///
    /// # Errors
    /// - `QueueGone` — it was closed before.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe while the head is open.
    ///
    /// # Implementors
    /// Keep a tombstone of a closed head, so that a late call cannot revive it. O(1).
    ///
    /// # Conformance
    /// `head.close.*`, `head.open.*`, `cancel.head.*`, `incarnation.recreate.*`.
    async fn head_open(&self, queue: &QueueRef) -> Result<()>;

    /// Closes the head for good and answers at once, however many messages there are; `gc` removes
    /// what it held. One that was [left](crate::MoveController::move_leave) is closed for good as
    /// well. Silent if there is none or it is closed already.
    ///
    /// # Guarantees
    /// G11: on `Ok` every operation that begins later is refused with `QueueGone`, and no message
    /// of the incarnation is ever shown again.
    ///
    /// # Errors
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
    /// One record changes; the messages are `gc`'s work. O(1), however many messages there are.
    ///
    /// # Conformance
    /// `head.close.*`, `batch.post.*`, `cancel.head.*`, `dead_letter.close.*`, `move.close.*`.
    async fn head_close(&self, queue: &QueueRef) -> Result<()>;

    /// Reads the head; `QueueGone` if it is missing or closed.
    ///
    /// # Guarantees
    /// On `Ok` the state at some moment during the call.
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
    /// `head.get.*`, `head.open.*`, `head.close.*`, `head.missing.*`.
    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead>;

    /// Sends posts elsewhere: from now on they, dead letters that arrive and changes of
    /// subscriptions are refused with `QueueMoved { epoch }`, and everything else as well unless the
    /// reference is of this epoch: a caller that does not know of the move would take what is here
    /// for all there is. What a key stands for is still told to a post under it, and the place of a
    /// dead letter that arrived before to one that arrives again. Returns the head, whose
    /// `sequence_next` is where the target's positions start. Repeating the call with the same epoch
    /// returns the same; a lower epoch than the stored one is `QueueMoved`.
    ///
    /// # Guarantees
    /// G17: on `Ok` no position at or above `sequence_next` is ever given out here.
    ///
    /// # Errors
    /// - `QueueGone` — the incarnation is closed or was never opened.
    /// - `QueueMoved` — a later epoch is stored.
    /// - `Backend` — the engine failed; `effect` says whether it may have happened.
    ///
    /// # Cancellation
    /// Not begun, or finished whole: the effect is unknown to a caller that stopped waiting, never
    /// half (G16).
    ///
    /// # Idempotence
    /// Safe with the same epoch: it returns the same head.
    ///
    /// # Implementors
    /// The refusal of posts and the returned counter must be of one step. O(1).
    ///
    /// # Conformance
    /// `head.move.*`, `head.close.*`, `head.missing.*`.
    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead>;
}
