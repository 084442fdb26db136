#![doc = include_str!("../README.md")]

mod available;
mod checks;
mod claims;
mod codec;
mod config;
mod control;
mod deliveries;
mod driver;
mod error;
mod gate;
mod gc;
mod heads;
mod identity;
mod keys;
mod link;
mod messages;
mod moves;
mod open;
mod origins;
mod outbox;
mod posts;
mod registry;
mod removals;
pub mod scratch;
mod stats;
mod store;
mod subscriptions;
mod sweep;
mod takes;
mod topology;
mod transfers;

use std::sync::Arc;

use zaqar_core::{Clock, ControlDriver, DataDriver};

pub use open::open;

/// URI schemes that this crate opens.
pub const SCHEMES: &[&str] =
    &["redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"];

/// How to open a store.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Where every operation gets its time from.
    pub clock: Arc<dyn Clock>,
    /// Open a store even if it is set up to lose data (G15).
    pub unreliable: bool,
}

impl OpenOptions {
    /// Options that refuse an unsafe store.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, unreliable: false }
    }

    /// Opens a store even if it is set up to lose data.
    #[must_use]
    pub fn unreliable(mut self, unreliable: bool) -> Self {
        self.unreliable = unreliable;
        self
    }
}

/// Both planes of one store.
#[derive(Debug, Clone)]
pub struct RedisDrivers {
    /// Queues, pools, flavors, the catalogue.
    pub control: Arc<dyn ControlDriver>,
    /// Messages, claims, subscriptions.
    pub data: Arc<dyn DataDriver>,
}
