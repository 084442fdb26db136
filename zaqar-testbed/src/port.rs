//! Free ports.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::net::TcpListener;

use anyhow::{Context, Result};

/// Below the ports that the kernel gives to outgoing connections: a client that calls a killed
/// server again and again could be given the server's own port and call itself. A Redis cluster
/// also takes the port 10,000 above each.
const FIRST: u16 = 10_240;
const COUNT: u16 = 12_000;
const TRIES: u32 = 200;

/// A port of 127.0.0.1 on which nobody listens at this moment, and which the system gives to nobody
/// by itself.
///
/// # Errors
/// If none is found.
pub fn free() -> Result<u16> {
    (0..TRIES).map(random).find(|port| is_free(*port)).context("there is no free port")
}

/// Whether a server could listen there.
pub(crate) fn is_free(port: u16) -> bool {
    let bind = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    bind(port) && bind(port.saturating_add(10_000))
}

fn random(attempt: u32) -> u16 {
    let hash = RandomState::new().hash_one(attempt);
    // The remainder is below the count, which fits.
    FIRST + u16::try_from(hash % u64::from(COUNT)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_not_free() {
        let port = free().unwrap();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(!is_free(port));
        drop(listener);
        assert!((FIRST..FIRST + COUNT).contains(&port));
    }
}
