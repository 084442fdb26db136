//! One walk through a queue's listing, from front to back.

use super::bits::Bits;
use super::faults::{Fault, Faults};
use super::order::Order;
use crate::message::Stamp;

/// What a walk has met.
///
/// Producers are numbered so that `producer % queues` is the queue they post to.
#[derive(Debug)]
pub struct Walk {
    pub(super) queues: u32,
    pub(super) queue: u32,
    pub(super) seen: Vec<Bits>,
    pub(super) order: Order,
    /// Out of order, unless the post turns out to be unsure: judged when the walk is settled.
    pub(super) late: Vec<Stamp>,
    pub(super) faults: Faults,
}

impl Walk {
    /// A walk through queue `queue` of `queues`.
    #[must_use]
    pub fn new(queues: u32, queue: u32) -> Self {
        Self {
            queues: queues.max(1),
            queue,
            seen: Vec::new(),
            order: Order::default(),
            late: Vec::new(),
            faults: Faults::default(),
        }
    }

    /// Meets the next message; `None` when its body could not be read.
    pub fn meet(&mut self, stamp: Option<Stamp>) {
        let Some(stamp) = stamp else {
            self.faults.note(Fault::Corrupt, self.queue, None);
            return;
        };
        if stamp.producer % self.queues != self.queue {
            self.faults.note(Fault::Unexpected, self.queue, Some(stamp));
            return;
        }
        let index = (stamp.producer / self.queues) as usize;
        if index >= self.seen.len() {
            self.seen.resize(index + 1, Bits::default());
        }
        let new = self.seen.get_mut(index).is_some_and(|seen| seen.insert(stamp.sequence));
        let in_order = self.order.meet(index, stamp.sequence);
        if !new {
            self.faults.note(Fault::Doubled, self.queue, Some(stamp));
        } else if !in_order {
            self.late.push(stamp);
        }
    }

    pub(super) fn has_seen(&self, producer: u32, sequence: u64) -> bool {
        self.seen.get((producer / self.queues) as usize).is_some_and(|seen| seen.contains(sequence))
    }
}
