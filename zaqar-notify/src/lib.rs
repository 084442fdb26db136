//! Hands what was posted to a queue on to its subscribers.
//!
//! A post writes an outbox entry in the driver's own atomic step (G13); what is here leases such work
//! from any store that has some, carries it to the subscribers, and records what became of it. A
//! crash in between means a second delivery, never none. How a message travels is a [`Channel`]'s
//! affair.

pub mod channel;

pub use channel::{Channel, Notification, Verdict};
