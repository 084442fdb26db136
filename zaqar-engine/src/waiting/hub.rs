//! Who waits for which queue, and whom to wake.
//!
//! Listings of a queue are all woken; claims one by one, in the order of their arrival, for a
//! message goes to one of them. A claim that was woken and leaves without having looked hands its
//! wake-up to the next.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use zaqar_core::{Incarnation, MessageMarker, MessageWatch, QueueKey, QueueRef};

/// What a waiter waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// Something to claim.
    Claim,
    /// Something to read behind the marker.
    List(Option<MessageMarker>),
}

impl Side {
    fn marker(self) -> Option<MessageMarker> {
        match self {
            Self::Claim => None,
            Self::List(marker) => marker,
        }
    }
}

/// Why a waiter is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Messages were posted through this engine, or came here as dead letters: so many.
    Post,
    /// A claim was given back through this engine; how many messages it held is not known.
    Release,
    /// The store was found to have something.
    Poll,
}

impl Cause {
    fn name(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Release => "release",
            Self::Poll => "poll",
        }
    }

    /// Whether there may be more than those who were woken can have seen.
    fn may_be_more(self) -> bool {
        self != Self::Post
    }
}

/// One waiter, as those see it who wake.
#[derive(Debug)]
struct Waiter {
    side: Side,
    bell: Arc<Notify>,
    /// Set from the ring until the waiter has heard it.
    rung: Option<Cause>,
    /// What the store is asked for this waiter, once that is known.
    queue: Option<QueueRef>,
    /// What the store said last.
    available: bool,
}

impl Waiter {
    fn watch(&self) -> Option<MessageWatch> {
        let queue = self.queue.clone()?;
        Some(MessageWatch { queue, after: self.side.marker() })
    }

    fn ring(&mut self, cause: Cause) {
        self.rung = Some(cause);
        self.bell.notify_one();
        metrics::counter!("zaqar_waiters_woken_total", "cause" => cause.name()).increment(1);
    }
}

/// The waiters of a queue, in the order of their arrival.
type Waiters = BTreeMap<u64, Waiter>;

#[derive(Debug, Default)]
struct Seats {
    next: u64,
    queues: HashMap<QueueKey, Waiters>,
    polled: bool,
}

/// Rings for as many claims of a queue as are needed, those first who came first.
fn ring_claims(waiters: &mut Waiters, count: usize, cause: Cause) {
    let free = |waiter: &&mut Waiter| waiter.side == Side::Claim && waiter.rung.is_none();
    waiters.values_mut().filter(free).take(count).for_each(|waiter| waiter.ring(cause));
}

/// What was asked of the store for waiters, and what it said of each.
pub(super) type Found = HashMap<(Incarnation, Option<MessageMarker>), bool>;

/// All who wait in this process.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    seats: Mutex<Seats>,
    closed: CancellationToken,
}

impl Hub {
    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Nothing below panics half-way through a change.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets nobody wait any more.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Returns once nobody waits any more.
    pub(super) async fn closed(&self) {
        self.closed.cancelled().await;
    }

    /// A seat at a queue: from now on what happens rings its bell.
    pub(super) fn seat(&self, key: &QueueKey, side: Side) -> Seat<'_> {
        let bell = Arc::new(Notify::new());
        let waiter =
            Waiter { side, bell: Arc::clone(&bell), rung: None, queue: None, available: false };
        let mut seats = self.seats();
        let number = seats.next;
        seats.next += 1;
        seats.queues.entry(key.clone()).or_default().insert(number, waiter);
        metrics::gauge!("zaqar_waiters").increment(1);
        Seat { hub: self, key: key.clone(), side, number, bell, owed: None }
    }

    /// Wakes all listings of a queue and up to `claims` claims.
    pub(super) fn ring(&self, key: &QueueKey, claims: usize, cause: Cause) {
        let mut seats = self.seats();
        let Some(waiters) = seats.queues.get_mut(key) else { return };
        ring_claims(waiters, claims, cause);
        let reads = |waiter: &&mut Waiter| waiter.side != Side::Claim && waiter.rung.is_none();
        waiters.values_mut().filter(reads).for_each(|waiter| waiter.ring(cause));
    }

    /// Whether the caller is to ask the store for those who wait: nobody else does.
    pub(super) fn take_poll(&self) -> bool {
        !std::mem::replace(&mut self.seats().polled, true)
    }

    /// What the store is to be asked; `None` if nobody waits, and then the caller has stopped.
    pub(super) fn watches(&self) -> Option<Vec<MessageWatch>> {
        let mut seats = self.seats();
        if seats.queues.is_empty() {
            seats.polled = false;
            return None;
        }
        let mut known = HashSet::new();
        let watches = seats.queues.values().flat_map(BTreeMap::values).filter_map(Waiter::watch);
        Some(watches.filter(|watch| known.insert((watch.queue.incarnation, watch.after))).collect())
    }

    /// Wakes those for whom the store has something: one claim of a queue, which sees to the next
    /// one if it finds something, and the listings for which there was nothing before.
    pub(super) fn found(&self, found: &Found) {
        let mut seats = self.seats();
        for waiters in seats.queues.values_mut() {
            let mut claimable = false;
            for waiter in waiters.values_mut() {
                let Some(queue) = &waiter.queue else { continue };
                let place = (queue.incarnation, waiter.side.marker());
                let Some(&available) = found.get(&place) else { continue };
                let before = std::mem::replace(&mut waiter.available, available);
                let news = available && !before;
                match waiter.side {
                    Side::Claim => claimable |= available,
                    Side::List(_) if news && waiter.rung.is_none() => waiter.ring(Cause::Poll),
                    Side::List(_) => {}
                }
            }
            if claimable {
                ring_claims(waiters, 1, Cause::Poll);
            }
        }
    }
}

/// A place among those who wait; leaving it is dropping it.
#[derive(Debug)]
pub(super) struct Seat<'h> {
    hub: &'h Hub,
    key: QueueKey,
    side: Side,
    number: u64,
    bell: Arc<Notify>,
    /// The ring that the present look answers.
    owed: Option<Cause>,
}

impl Seat<'_> {
    /// Runs `change` on the waiter and the others at its queue.
    fn at<T>(&self, change: impl FnOnce(&mut Waiter) -> T) -> Option<T> {
        let mut seats = self.hub.seats();
        seats.queues.get_mut(&self.key)?.get_mut(&self.number).map(change)
    }

    /// Returns once the bell has rung.
    pub(super) async fn rung(&mut self) {
        self.bell.notified().await;
        self.owed = self.at(|waiter| waiter.rung.take()).flatten();
    }

    /// The look is over. A claim that found something where there may be more wakes the next one.
    pub(super) fn looked(&mut self, found: bool) {
        if let Some(cause) = self.owed.take()
            && found
            && self.side == Side::Claim
            && cause.may_be_more()
        {
            self.hand_on(cause);
        }
    }

    /// Says which incarnation the store is to be asked about.
    pub(super) fn watch(&self, queue: Option<QueueRef>) {
        self.at(|waiter| {
            if waiter.queue != queue {
                waiter.available = false;
                waiter.queue = queue;
            }
        });
    }

    fn hand_on(&self, cause: Cause) {
        if let Some(waiters) = self.hub.seats().queues.get_mut(&self.key) {
            // This seat's own waiter is leaving, so it must not be the one.
            let own = waiters.remove(&self.number);
            ring_claims(waiters, 1, cause);
            if let Some(own) = own {
                waiters.insert(self.number, own);
            }
        }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let mut seats = self.hub.seats();
        if let Entry::Occupied(mut entry) = seats.queues.entry(self.key.clone()) {
            let waiters = entry.get_mut();
            let own = waiters.remove(&self.number);
            if self.side == Side::Claim {
                // It may have been rung for again while it looked.
                let unheard = own.and_then(|own| own.rung);
                for cause in [unheard, self.owed].into_iter().flatten() {
                    ring_claims(waiters, 1, cause);
                }
            }
            if waiters.is_empty() {
                entry.remove();
            }
        }
        metrics::gauge!("zaqar_waiters").decrement(1);
    }
}
