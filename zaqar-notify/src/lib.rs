//! Hands what was posted to a queue on to its subscribers.
//!
//! A post writes an outbox entry in the driver's own atomic step (G13); what is here leases such work
//! from any store that has some, carries it to the subscribers, and records what became of it. A
//! crash in between means a second delivery, never none. How a message travels is a [`Channel`]'s
//! affair.
//!
//! - [`Notifier`]: the loop, put together by [`Notifier::builder`]
//! - [`policy`]: when a failed delivery is tried again
//! - [`webhook`]: by HTTP, with the rules about where a request may go
//! - [`mail`]: by mail
//! - [`confirmation`]: what a subscriber is asked before it gets anything

mod authorities;
mod backoff;
pub mod channel;
pub mod confirmation;
mod confirmations;
mod json;
mod limits;
pub mod mail;
mod meters;
mod notifier;
pub mod policy;
mod projects;
mod rounds;
mod schemes;
pub mod webhook;
mod worker;

pub use authorities::{Authorities, InvalidAuthorities};
pub use channel::{Channel, Notification, Verdict};
pub use confirmation::{Confirmation, ConfirmationKind};
pub use confirmations::Confirmations;
pub use notifier::{Notifier, NotifierBuilder, NotifierConfig};
pub use policy::{NoPolicies, PolicySource, PolicyUnreadable};
