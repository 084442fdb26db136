//! What a process remembers of a store: numbers of queues, who is subscribed, where claims start.
//!
//! Nothing here decides anything: numbers never change, and the statements check the rest.

use std::collections::HashMap;
#[cfg(feature = "postgres")]
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use zaqar_core::{Clock, QueueRef, Timestamp};

/// Queues that are remembered at most; beyond it, everything is forgotten.
const QUEUES_MAX: usize = 100_000;
/// How long a floor is trusted: a row beneath it that was passed over, for somebody had locked it who
/// then left it as it was (a claim that was rolled back, a delete that was refused), is met after that.
const TRUST_MAX: Duration = Duration::from_secs(1);
/// What the clocks of two web heads may differ by, in milliseconds; what is beyond it is met by the
/// look from the beginning.
const CLOCKS_APART_MAX_MS: i64 = 60_000;

/// Where the claims of a queue start.
///
/// What was claimed or deleted leaves dead entries at the low end of the index, and while somebody
/// keeps an old snapshot open they cannot be removed: each claim would walk over all of them. So
/// a process starts where its latest claim ended. Whatever becomes claimable beneath (a release, a
/// lease or delay that ended) counts up the queue's `releases` in the same transaction, and the
/// claim compares that count in its own snapshot: if it moved, the claim starts from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    /// Nothing at or below this row was claimable.
    pub(crate) row: i64,
    /// The count of releases at which that was so.
    pub(crate) releases: i64,
}

impl Floor {
    /// Start from zero: no count is negative.
    pub(crate) const NONE: Self = Self { row: 0, releases: -1 };
}

/// Since when something is known: by the machine, whose time always passes, and by the store's clock,
/// so that nothing is trusted for longer than a second of either.
#[derive(Debug, Clone, Copy)]
struct Since {
    machine: Instant,
    clock: Timestamp,
}

/// The memory of a process.
#[derive(Debug)]
pub(crate) struct Memory {
    clock: Arc<dyn Clock>,
    numbers: RwLock<HashMap<QueueRef, i64>>,
    floors: RwLock<HashMap<i64, (Floor, Since)>>,
    clear: RwLock<HashMap<i64, (i64, Since)>>,
    #[cfg(feature = "postgres")]
    subscribed: RwLock<HashSet<i64>>,
}

impl Memory {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            numbers: RwLock::default(),
            floors: RwLock::default(),
            clear: RwLock::default(),
            #[cfg(feature = "postgres")]
            subscribed: RwLock::default(),
        }
    }

    fn since_now(&self) -> Since {
        Since { machine: Instant::now(), clock: self.clock.now() }
    }

    fn is_trusted(&self, since: Since) -> bool {
        let clock_ms = self.clock.now().as_millis().abs_diff(since.clock.as_millis());
        since.machine.elapsed() < TRUST_MAX && Duration::from_millis(clock_ms) < TRUST_MAX
    }

    pub(crate) fn number(&self, queue: &QueueRef) -> Option<i64> {
        self.numbers.read().unwrap_or_else(PoisonError::into_inner).get(queue).copied()
    }

    pub(crate) fn keep_number(&self, queue: &QueueRef, number: i64) {
        let mut numbers = self.numbers.write().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut numbers);
        numbers.insert(queue.clone(), number);
    }

    /// Where a claim of that queue may start.
    pub(crate) fn floor(&self, number: i64) -> Floor {
        let floors = self.floors.read().unwrap_or_else(PoisonError::into_inner);
        match floors.get(&number) {
            Some((floor, since)) if self.is_trusted(*since) => *floor,
            _ => Floor::NONE,
        }
    }

    /// A claim that started at `start` ended at `floor.row`. Its age counts from the last walk that
    /// started at zero.
    pub(crate) fn raise_floor(&self, number: i64, start: Floor, floor: Floor) {
        let mut floors = self.floors.write().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut floors);
        let known = floors.get(&number).copied();
        let since = match known {
            Some((_, since)) if start.releases == floor.releases => since,
            _ => self.since_now(),
        };
        let row = match known {
            Some((known, _)) if known.releases == floor.releases => known.row.max(floor.row),
            // An answer that was overtaken by a newer one says nothing any more.
            Some((known, _)) if known.releases > floor.releases => return,
            _ => floor.row,
        };
        floors.insert(number, (Floor { row, ..floor }, since));
    }

    /// A moment up to which nothing of that queue is due; 0: look from the beginning.
    ///
    /// Leases and lives that ended long ago leave dead entries too, at the low end of their indexes.
    /// What becomes due ends after the present moment of some web head's clock, so a look need not
    /// start before the last one that found nothing, less what clocks may differ by.
    pub(crate) fn clear(&self, number: i64) -> i64 {
        let clear = self.clear.read().unwrap_or_else(PoisonError::into_inner);
        match clear.get(&number) {
            Some((moment, since)) if self.is_trusted(*since) => *moment,
            _ => 0,
        }
    }

    /// A look that started at `start` found nothing due at `now`. Its age counts from the last look
    /// that started at the beginning.
    pub(crate) fn keep_clear(&self, number: i64, start: i64, now: i64) {
        let mut clear = self.clear.write().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut clear);
        let since = match clear.get(&number) {
            Some((_, since)) if start > 0 => *since,
            _ => self.since_now(),
        };
        clear.insert(number, ((now - CLOCKS_APART_MAX_MS).max(0), since));
    }

    /// Whether somebody subscribed to that queue when this process last looked.
    #[cfg(feature = "postgres")]
    pub(crate) fn is_subscribed(&self, number: i64) -> bool {
        self.subscribed.read().unwrap_or_else(PoisonError::into_inner).contains(&number)
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn set_subscribed(&self, number: i64, subscribed: bool) {
        if self.is_subscribed(number) == subscribed {
            return;
        }
        let mut known = self.subscribed.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= QUEUES_MAX {
            known.clear();
        }
        if subscribed {
            known.insert(number);
        } else {
            known.remove(&number);
        }
    }
}

fn make_room<K: Eq + Hash, V>(map: &mut HashMap<K, V>) {
    if map.len() >= QUEUES_MAX {
        map.clear();
    }
}

#[cfg(test)]
mod tests {
    use zaqar_core::ManualClock;

    use super::*;

    fn memory() -> (Memory, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (Memory::new(Arc::<ManualClock>::clone(&clock)), clock)
    }

    #[test]
    fn nothing_is_trusted_for_longer_than_a_second_of_the_clock() {
        let (memory, clock) = memory();
        memory.raise_floor(1, Floor::NONE, Floor { row: 10, releases: 3 });
        memory.keep_clear(1, 0, 100_000);
        clock.advance(Duration::from_millis(999));
        // What is added on the way makes it no younger.
        memory.raise_floor(1, memory.floor(1), Floor { row: 11, releases: 3 });
        memory.keep_clear(1, memory.clear(1), 100_999);
        assert_eq!((memory.floor(1).row, memory.clear(1)), (11, 40_999));
        clock.advance(Duration::from_millis(1));
        assert_eq!((memory.floor(1), memory.clear(1)), (Floor::NONE, 0));
    }

    #[test]
    fn a_floor_rises_and_an_overtaken_answer_does_not_lower_it() {
        let (memory, _) = memory();
        assert_eq!(memory.floor(1), Floor::NONE);
        memory.raise_floor(1, Floor::NONE, Floor { row: 10, releases: 3 });
        memory.raise_floor(1, Floor::NONE, Floor { row: 5, releases: 3 });
        assert_eq!(memory.floor(1), Floor { row: 10, releases: 3 });
        memory.raise_floor(1, Floor::NONE, Floor { row: 2, releases: 4 });
        memory.raise_floor(1, Floor::NONE, Floor { row: 20, releases: 3 });
        assert_eq!(memory.floor(1), Floor { row: 2, releases: 4 });
    }

    #[test]
    fn a_look_for_what_is_due_starts_a_little_before_the_last_one() {
        let (memory, _) = memory();
        assert_eq!(memory.clear(1), 0);
        memory.keep_clear(1, 0, 100_000);
        assert_eq!((memory.clear(1), memory.clear(2)), (40_000, 0));
        memory.keep_clear(2, 0, 10);
        assert_eq!(memory.clear(2), 0);
    }
}
