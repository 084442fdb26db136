//! The WebSocket transport over the reference driver and over SQLite, in JSON and in MessagePack:
//! what clients rely on, exchange by exchange; and whole servers, two on one store of each kind.

#[cfg(test)]
mod client;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod leases;
#[cfg(test)]
#[path = "../support/client.rs"]
mod rest;
#[cfg(test)]
#[path = "../support/stores.rs"]
mod stores;
#[cfg(test)]
mod world;

#[cfg(test)]
mod claims;
#[cfg(test)]
mod encryption;
#[cfg(test)]
mod envelope;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod lifetime;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod policies;
#[cfg(test)]
mod pushes;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod slow;
#[cfg(test)]
mod subscriptions;
#[cfg(test)]
mod two_heads;
