//! Counts connections, in all and by peer, and refuses what is too many.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lets connections in while there is room.
#[derive(Debug, Clone)]
pub(crate) struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    counts: Mutex<Counts>,
    connections_max: u32,
    per_peer_max: u32,
}

#[derive(Debug, Default)]
struct Counts {
    connections: u32,
    by_peer: HashMap<IpAddr, u32>,
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server has as many as it may have.
    Full,
    /// The peer has as many as it may have.
    PeerFull,
}

/// One connection that was let in; dropping it makes room.
#[derive(Debug)]
pub(crate) struct Pass {
    gate: Gate,
    peer: IpAddr,
}

impl Gate {
    /// A gate for `connections_max` connections, `per_peer_max` of them from one peer (0: all).
    pub(crate) fn new(connections_max: u32, per_peer_max: u32) -> Self {
        let counts = Mutex::default();
        Self(Arc::new(Inner { counts, connections_max, per_peer_max }))
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        // Counting cannot panic half-way, so a poisoned lock holds right counts.
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a connection in, or says why not.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Pass, Refusal> {
        let peer = peer_of(address);
        let mut counts = self.counts();
        if counts.connections >= self.0.connections_max {
            return Err(Refusal::Full);
        }
        let of_peer = counts.by_peer.entry(peer).or_insert(0);
        if self.0.per_peer_max > 0 && *of_peer >= self.0.per_peer_max {
            return Err(Refusal::PeerFull);
        }
        *of_peer += 1;
        counts.connections += 1;
        Ok(Pass { gate: self.clone(), peer })
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut counts = self.gate.counts();
        counts.connections = counts.connections.saturating_sub(1);
        if let Some(of_peer) = counts.by_peer.get_mut(&self.peer) {
            *of_peer = of_peer.saturating_sub(1);
            if *of_peer == 0 {
                counts.by_peer.remove(&self.peer);
            }
        }
    }
}

/// One customer: an IPv4 address, or the /64 network that an IPv6 host is free to use up.
pub(crate) fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_peer_cannot_take_every_place_and_leaving_makes_room() {
        let gate = Gate::new(3, 2);
        let first = gate.enter(ip("192.0.2.1")).unwrap();
        let _second = gate.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert_eq!(gate.enter(ip("192.0.2.1")).unwrap_err(), Refusal::PeerFull);
        let _other = gate.enter(ip("192.0.2.2")).unwrap();
        assert_eq!(gate.enter(ip("192.0.2.3")).unwrap_err(), Refusal::Full);
        drop(first);
        let _again = gate.enter(ip("192.0.2.1")).unwrap();
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let gate = Gate::new(10, 1);
        let _first = gate.enter(ip("2001:db8::1")).unwrap();
        assert_eq!(gate.enter(ip("2001:db8::ffff:1")).unwrap_err(), Refusal::PeerFull);
        let _other = gate.enter(ip("2001:db8:0:1::1")).unwrap();
    }
}
