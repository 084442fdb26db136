//! Everything that happened to every message of a run, and the verdict on it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::bits::Bits;
use super::faults::{Fault, Faults};
use super::order::Order;
use super::walk::Walk;
use crate::message::Stamp;

/// The record of a run.
#[derive(Debug)]
pub struct Ledger {
    queues: u32,
    producers: Vec<Producer>,
    faults: Faults,
    left: u64,
    recovered: u64,
    queues_walked: u32,
}

/// One producer: its sequence numbers from 0 to `next` were tried.
#[derive(Debug, Default)]
struct Producer {
    next: u64,
    unsure: BTreeSet<u64>,
    refused: BTreeSet<u64>,
    claimed: Bits,
    deleted: Bits,
    delete_unsure: BTreeSet<u64>,
}

impl Producer {
    fn was_sent(&self, sequence: u64) -> bool {
        sequence < self.next && !self.refused.contains(&sequence)
    }

    fn must_be_there(&self, sequence: u64) -> bool {
        self.was_acked(sequence)
            && !self.deleted.contains(sequence)
            && !self.delete_unsure.contains(&sequence)
    }

    fn was_acked(&self, sequence: u64) -> bool {
        self.was_sent(sequence) && !self.unsure.contains(&sequence)
    }
}

/// The outcome of a run's checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Posts acknowledged, in messages.
    pub acked: u64,
    /// Posts without a definite answer, in messages.
    pub unsure: u64,
    /// Posts refused, in messages.
    pub refused: u64,
    /// Unsure posts that turned out to have happened.
    pub recovered: u64,
    /// Messages delivered by claims.
    pub claimed: u64,
    /// Messages whose deletion was acknowledged.
    pub deleted: u64,
    /// Messages listed at the end.
    pub left: u64,
    /// True when every queue was walked to its end afterwards.
    pub complete: bool,
    /// What must not happen.
    pub faults: Faults,
}

impl Verdict {
    /// The kinds of fault found; order counts only when `ordered`.
    #[must_use]
    pub fn failures(&self, ordered: bool) -> Vec<Fault> {
        Fault::ALL
            .into_iter()
            .filter(|fault| ordered || *fault != Fault::Misordered)
            .filter(|fault| self.faults.count(*fault) > 0)
            .collect()
    }

    /// True when the checks saw enough to mean something: messages, and all queues to their end.
    #[must_use]
    pub fn is_conclusive(&self) -> bool {
        self.acked > 0 && self.complete
    }

    /// True when the run was conclusive and without a fault.
    #[must_use]
    pub fn passed(&self, ordered: bool) -> bool {
        self.is_conclusive() && self.failures(ordered).is_empty()
    }
}

impl Ledger {
    /// A ledger for `producers` producers; producer `p` posts to queue `p % queues`.
    #[must_use]
    pub fn new(queues: u32, producers: usize) -> Self {
        Self {
            queues: queues.max(1),
            producers: (0..producers).map(|_| Producer::default()).collect(),
            faults: Faults::default(),
            left: 0,
            recovered: 0,
            queues_walked: 0,
        }
    }

    /// Takes the next `count` sequence numbers of a producer, before they are posted.
    pub fn post_begin(&mut self, producer: u32, count: u64) -> u64 {
        self.producer(producer).map_or(0, |producer| {
            producer.next += count;
            producer.next - count
        })
    }

    /// The post may or may not have happened.
    pub fn post_unsure(&mut self, producer: u32, first: u64, count: u64) {
        if let Some(producer) = self.producer(producer) {
            producer.unsure.extend(first..first + count);
        }
    }

    /// The post certainly did not happen.
    pub fn post_refused(&mut self, producer: u32, first: u64, count: u64) {
        if let Some(producer) = self.producer(producer) {
            producer.refused.extend(first..first + count);
        }
    }

    /// A claim on `queue` delivered a message to the consumer whose deliveries `order` follows.
    pub fn claimed(&mut self, queue: u32, stamp: Option<Stamp>, order: &mut Order) {
        let Some(stamp) = stamp else {
            self.faults.note(Fault::Corrupt, queue, None);
            return;
        };
        let queues = self.queues;
        let Some(producer) =
            self.producer(stamp.producer).filter(|producer| producer.was_sent(stamp.sequence))
        else {
            self.faults.note(Fault::Unexpected, queue, Some(stamp));
            return;
        };
        let new = producer.claimed.insert(stamp.sequence);
        let gone = producer.deleted.contains(stamp.sequence);
        let unsure = producer.unsure.contains(&stamp.sequence)
            || producer.delete_unsure.contains(&stamp.sequence);
        let in_order = order.meet(stamp.producer as usize, stamp.sequence);
        let fault = if stamp.producer % queues != queue {
            Fault::Unexpected
        } else if gone {
            Fault::Resurrected
        } else if !new && !unsure {
            Fault::Doubled
        } else if !in_order && !unsure {
            Fault::Misordered
        } else {
            return;
        };
        self.faults.note(fault, queue, Some(stamp));
    }

    /// The deletion of a message was acknowledged.
    pub fn delete_acked(&mut self, stamp: Stamp) {
        if let Some(producer) = self.producer(stamp.producer) {
            producer.deleted.insert(stamp.sequence);
        }
    }

    /// The deletion of a message may or may not have happened.
    pub fn delete_unsure(&mut self, stamp: Stamp) {
        if let Some(producer) = self.producer(stamp.producer) {
            producer.delete_unsure.insert(stamp.sequence);
        }
    }

    /// Compares a walk to the end of a queue with what must be there, during a quiet moment.
    pub fn settle(&mut self, walk: Walk) {
        for (number, producer) in (0_u32..).zip(&self.producers) {
            if number % walk.queues != walk.queue {
                continue;
            }
            for sequence in 0..producer.next {
                if !walk.has_seen(number, sequence) && producer.must_be_there(sequence) {
                    let stamp = Stamp { producer: number, sequence, sent_us: 0 };
                    self.faults.note(Fault::Lost, walk.queue, Some(stamp));
                }
            }
        }
        self.settle_cut(walk);
    }

    /// Like [`Ledger::settle`], for a walk that ended early: what it did not meet is not judged.
    pub fn settle_cut(&mut self, walk: Walk) {
        for stamp in &walk.late {
            let producer = self.producers.get(stamp.producer as usize);
            if !producer.is_some_and(|producer| producer.unsure.contains(&stamp.sequence)) {
                self.faults.note(Fault::Misordered, walk.queue, Some(*stamp));
            }
        }
        for (index, seen) in (0_u32..).zip(&walk.seen) {
            let number = index * walk.queues + walk.queue;
            let producer = self.producers.get(number as usize);
            for sequence in seen.iter() {
                let stamp = Some(Stamp { producer: number, sequence, sent_us: 0 });
                match producer {
                    Some(producer) if producer.deleted.contains(sequence) => {
                        self.faults.note(Fault::Resurrected, walk.queue, stamp);
                    }
                    Some(producer) if producer.was_sent(sequence) => {}
                    _ => self.faults.note(Fault::Unexpected, walk.queue, stamp),
                }
            }
        }
        self.faults.merge(walk.faults);
    }

    /// Like [`Ledger::settle`], for the walk at the end of the run.
    pub fn settle_last(&mut self, walk: Walk) {
        for (number, producer) in (0_u32..).zip(&self.producers) {
            if number % walk.queues == walk.queue {
                let seen = producer.unsure.iter().filter(|sequence| {
                    walk.has_seen(number, **sequence) || producer.claimed.contains(**sequence)
                });
                self.recovered += seen.count() as u64;
            }
        }
        self.left += walk.seen.iter().map(Bits::len).sum::<u64>();
        self.queues_walked += 1;
        self.settle(walk);
    }

    /// The verdict; `complete` only when each queue's last walk was settled.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let sum = |count: fn(&Producer) -> u64| self.producers.iter().map(count).sum::<u64>();
        let unsure = sum(|producer| producer.unsure.len() as u64);
        let refused = sum(|producer| producer.refused.len() as u64);
        Verdict {
            acked: sum(|producer| producer.next) - unsure - refused,
            unsure,
            refused,
            recovered: self.recovered,
            claimed: sum(|producer| producer.claimed.len()),
            deleted: sum(|producer| producer.deleted.len()),
            left: self.left,
            complete: self.queues_walked == self.queues,
            faults: self.faults.clone(),
        }
    }

    fn producer(&mut self, producer: u32) -> Option<&mut Producer> {
        self.producers.get_mut(producer as usize)
    }
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
