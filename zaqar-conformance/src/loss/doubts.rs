//! Keyed posts that got no answer: whoever comes next repeats them, at whatever handle, and in
//! whatever life of the process (G3).

use std::sync::{Mutex, PoisonError};

use super::history::QueueTag;
use super::request::Request;
use super::worker::WorkQueue;

/// A post that may have had its effect, and that is to be repeated under its key.
#[derive(Debug, Clone)]
pub(crate) struct Doubt {
    pub(crate) on: WorkQueue,
    pub(crate) request: Request,
}

/// The doubts of a run.
#[derive(Debug, Default)]
pub(crate) struct Doubts(Mutex<Vec<Doubt>>);

impl Doubts {
    /// Leaves a post to whoever comes next.
    pub(crate) fn leave(&self, doubt: Doubt) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(doubt);
    }

    /// Takes the `nth` of them over, counted around.
    pub(crate) fn take(&self, nth: usize) -> Option<Doubt> {
        let mut doubts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = nth.checked_rem(doubts.len())?;
        Some(doubts.swap_remove(place))
    }

    /// Takes one over that is about the queue.
    pub(crate) fn of(&self, queue: QueueTag) -> Option<Doubt> {
        let mut doubts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = doubts.iter().position(|doubt| doubt.on.tag == queue)?;
        Some(doubts.swap_remove(place))
    }
}
