//! Where operations wait: a queue for each key, counted for each project. No I/O, no tasks.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

use crate::gate::Party;
use crate::limits::{LaneLimits, Weight};

/// Somebody who may stop waiting.
pub(crate) trait Waiter {
    fn has_left(&self) -> bool;
}

/// The queues of all lanes. A key is in it as long as a task serves its lane.
#[derive(Debug)]
pub(crate) struct Room<K, W> {
    limits: LaneLimits,
    lanes: HashMap<K, Lane<W>>,
    waiting: HashMap<Party, usize>,
    pub(crate) closed: bool,
}

#[derive(Debug)]
struct Lane<W> {
    party: Party,
    waiters: VecDeque<(Weight, W)>,
}

/// What became of somebody who came.
pub(crate) enum Entered<W> {
    /// A task serves the lane.
    Queued,
    /// The lane is new and wants a task.
    First,
    /// Too much of that project waits.
    Full(W),
    /// Nothing is taken any more.
    Closed(W),
}

impl<K: Clone + Eq + Hash, W: Waiter> Room<K, W> {
    pub(crate) fn new(limits: LaneLimits) -> Self {
        Self { limits, lanes: HashMap::new(), waiting: HashMap::new(), closed: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    pub(crate) fn enter(
        &mut self,
        key: &K,
        party: &Party,
        weight: Weight,
        waiter: W,
    ) -> Entered<W> {
        if self.closed {
            return Entered::Closed(waiter);
        }
        match self.waiting.get_mut(party) {
            Some(count) if *count >= self.limits.waiting_max => return Entered::Full(waiter),
            Some(count) => *count += 1,
            None if self.limits.waiting_max == 0 => return Entered::Full(waiter),
            None => {
                self.waiting.insert(party.clone(), 1);
            }
        }
        if let Some(lane) = self.lanes.get_mut(key) {
            lane.waiters.push_back((weight, waiter));
            return Entered::Queued;
        }
        let lane = Lane { party: party.clone(), waiters: VecDeque::from([(weight, waiter)]) };
        self.lanes.insert(key.clone(), lane);
        Entered::First
    }

    /// The next batch of a lane, in the order in which it came, without those who have left.
    /// `None`: nobody waits, and the lane is gone.
    pub(crate) fn take(&mut self, key: &K) -> Option<Vec<W>> {
        let lane = self.lanes.get_mut(key)?;
        let (mut batch, mut weight, mut taken) = (Vec::new(), Weight::default(), 0_usize);
        while let Some((next, waiter)) = lane.waiters.front() {
            let left = waiter.has_left();
            let sum = weight.plus(*next);
            if !left && !batch.is_empty() && !self.limits.fits(sum) {
                break;
            }
            let Some((_, waiter)) = lane.waiters.pop_front() else { break };
            taken += 1;
            if !left {
                weight = sum;
                batch.push(waiter);
            }
        }
        let party = lane.party.clone();
        self.uncount(&party, taken);
        if taken == 0 {
            self.lanes.remove(key);
            return None;
        }
        Some(batch)
    }

    /// Removes a lane whose task has ended, and hands back who still waited there.
    pub(crate) fn abandon(&mut self, key: &K) -> Vec<W> {
        let Some(lane) = self.lanes.remove(key) else { return Vec::new() };
        self.uncount(&lane.party, lane.waiters.len());
        lane.waiters.into_iter().map(|(_, waiter)| waiter).collect()
    }

    fn uncount(&mut self, party: &Party, count: usize) {
        let Some(waiting) = self.waiting.get_mut(party) else { return };
        *waiting = waiting.saturating_sub(count);
        if *waiting == 0 {
            self.waiting.remove(party);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Someone {
        name: u32,
        left: bool,
    }

    impl Waiter for Someone {
        fn has_left(&self) -> bool {
            self.left
        }
    }

    fn room(limits: LaneLimits) -> Room<&'static str, Someone> {
        Room::new(limits)
    }

    fn names(batch: Option<Vec<Someone>>) -> Vec<u32> {
        batch.unwrap_or_default().into_iter().map(|someone| someone.name).collect()
    }

    #[test]
    fn a_batch_ends_where_it_would_be_too_heavy_and_one_is_always_taken() {
        let mut room = room(LaneLimits::new().batch_max(Weight::new(10, 100)));
        for (name, rows) in [(1, 50), (2, 6), (3, 4), (4, 1)] {
            let someone = Someone { name, left: false };
            room.enter(&"q", &None, Weight::new(rows, 1), someone);
        }
        assert_eq!(names(room.take(&"q")), [1]);
        assert_eq!(names(room.take(&"q")), [2, 3]);
        assert_eq!(names(room.take(&"q")), [4]);
        assert!(room.take(&"q").is_none() && room.is_empty() && room.waiting.is_empty());
    }

    #[test]
    fn who_left_is_not_served_and_frees_its_place() {
        let mut room = room(LaneLimits::new().waiting_max(2));
        room.enter(&"q", &None, Weight::default(), Someone { name: 1, left: true });
        room.enter(&"r", &None, Weight::default(), Someone { name: 2, left: false });
        let third = room.enter(&"q", &None, Weight::default(), Someone { name: 3, left: false });
        assert!(matches!(third, Entered::Full(_)));
        assert_eq!(names(room.take(&"q")), [0_u32; 0]);
        let third = room.enter(&"q", &None, Weight::default(), Someone { name: 3, left: false });
        assert!(matches!(third, Entered::Queued));
        assert_eq!(names(room.take(&"q")), [3]);
    }
}
