//! Whose turn it is to shake hands: so many at a time, and of those one peer has a quarter at most.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::server::gate::peer_of;

/// How many peers are remembered before those that have gone are forgotten.
const PEERS_LEAST: usize = 64;

/// Hands out turns, in the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Turns {
    all: Arc<Semaphore>,
    share: usize,
    peers: Mutex<Peers>,
}

#[derive(Debug)]
struct Peers {
    shares: HashMap<IpAddr, Weak<Semaphore>>,
    clean_at: usize,
}

/// A turn; dropping it ends it.
#[derive(Debug)]
pub(super) struct Turn {
    _of_all: Option<OwnedSemaphorePermit>,
    _of_peer: Option<OwnedSemaphorePermit>,
    /// Keeps the peer's share known while it is being used.
    _share: Arc<Semaphore>,
}

impl Turns {
    /// So many turns at a time.
    pub(super) fn new(running_max: u32) -> Self {
        let running_max = usize::try_from(running_max).unwrap_or(usize::MAX).max(1);
        let running_max = running_max.min(Semaphore::MAX_PERMITS);
        Self {
            all: Arc::new(Semaphore::new(running_max)),
            share: (running_max / 4).max(1),
            peers: Mutex::new(Peers { shares: HashMap::new(), clean_at: PEERS_LEAST }),
        }
    }

    /// Waits for a turn: first among the peer's own connections, then among all.
    pub(super) async fn take(&self, address: IpAddr) -> Turn {
        let share = self.share_of(peer_of(address));
        // The semaphores are never closed, so there always is a permit in the end.
        let of_peer = Arc::clone(&share).acquire_owned().await.ok();
        let of_all = Arc::clone(&self.all).acquire_owned().await.ok();
        Turn { _of_all: of_all, _of_peer: of_peer, _share: share }
    }

    fn share_of(&self, peer: IpAddr) -> Arc<Semaphore> {
        // Nothing in here can stop half-way.
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = peers.shares.get(&peer).and_then(Weak::upgrade) {
            return share;
        }
        if peers.shares.len() >= peers.clean_at {
            peers.shares.retain(|_, share| share.strong_count() > 0);
            peers.clean_at = (2 * peers.shares.len()).max(PEERS_LEAST);
        }
        let share = Arc::new(Semaphore::new(self.share));
        peers.shares.insert(peer, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn peer(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn one_peer_has_a_quarter_of_the_turns_and_a_turn_that_ends_is_the_next_ones() {
        let turns = Turns::new(8);
        let take = |number| turns.take(peer(number)).now_or_never();
        let first = take(1).unwrap();
        let _second = take(1).unwrap();
        assert!(take(1).is_none());
        let others: Vec<_> = (2..8).map(|number| take(number).unwrap()).collect();
        assert_eq!(others.len(), 6);
        assert!(take(9).is_none(), "all eight are taken");
        drop(first);
        assert!(take(9).is_some());
    }

    #[test]
    fn who_waits_for_a_turn_in_vain_leaves_none_taken() {
        let turns = Turns::new(1);
        let held = turns.take(peer(1)).now_or_never().unwrap();
        assert!(turns.take(peer(2)).now_or_never().is_none());
        drop(held);
        for number in 1..1_000 {
            assert!(turns.take(peer(number)).now_or_never().is_some());
        }
        assert!(turns.peers.lock().unwrap().shares.len() <= PEERS_LEAST);
    }
}
