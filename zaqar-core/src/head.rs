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
}

/// Queue heads of one data store.
#[async_trait]
pub trait QueueHeadController: std::fmt::Debug + Send + Sync + 'static {
    /// Makes the head of an incarnation, open, its positions starting at 1. Nothing but this makes
    /// one. Opening an open head again is `Ok`; a head that was ever closed stays closed:
    /// `QueueGone`.
    async fn head_open(&self, queue: &QueueRef) -> Result<()>;

    /// Closes the head for good and answers at once, however many messages there are; `gc` removes
    /// what it held. Silent if there is none or it is closed already.
    async fn head_close(&self, queue: &QueueRef) -> Result<()>;

    /// Reads the head; `QueueGone` if it is missing or closed.
    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead>;

    /// Sends posts elsewhere: from now on they are refused with `QueueMoved { epoch }`. Returns the
    /// head, whose `sequence_next` is where the target's positions start. Repeating the call with
    /// the same epoch returns the same; a lower epoch than the stored one is `QueueMoved`.
    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead>;
}
