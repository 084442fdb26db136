//! The WebSocket transport over the reference driver and over SQLite, in JSON and in MessagePack:
//! what clients rely on, exchange by exchange.

#[cfg(test)]
mod client;
#[cfg(test)]
mod world;

#[cfg(test)]
mod claims;
#[cfg(test)]
mod envelope;
#[cfg(test)]
mod handshake;
#[cfg(test)]
mod lifetime;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod pushes;
#[cfg(test)]
mod queues;
#[cfg(test)]
mod signed;
#[cfg(test)]
mod subscriptions;
