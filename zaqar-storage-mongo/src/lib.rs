#![doc = include_str!("../README.md")]

mod abandoned;
mod available;
mod barrier;
mod claims;
mod config;
mod control;
mod deliveries;
mod driver;
mod error;
mod gc;
mod heads;
mod holding;
mod messages;
mod moves;
mod moving;
mod moving_arrivals;
mod moving_open;
mod moving_parts;
mod moving_records;
mod open;
mod origins;
mod outbox;
mod plan;
mod popped;
mod post_keys;
mod posts;
mod query;
mod reader;
mod record;
mod removals;
mod rows;
mod safety;
mod schema;
pub mod scratch;
mod stats;
mod step;
mod store;
mod stuck;
mod subscription_changes;
mod subscriptions;
mod sweep;
mod tables;
mod takes;
mod task;
mod transfers;

use std::sync::Arc;

use zaqar_core::{Clock, ControlDriver, DataDriver, OpenError};

/// URI schemes that this crate opens.
pub const SCHEMES: &[&str] = &["mongodb", "mongodb+srv"];

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

/// Both planes of one database.
#[derive(Debug, Clone)]
pub struct MongoDrivers {
    /// Queues, pools, flavors, the catalogue.
    pub control: Arc<dyn ControlDriver>,
    /// Messages, claims, subscriptions.
    pub data: Arc<dyn DataDriver>,
}

/// Opens the database that `uri` names in its path, making collections and indexes as needed.
///
/// # Errors
/// [`OpenError`] says what is wrong with the URI, the deployment or its settings. Collections and
/// indexes may have been made; nothing that was there is changed.
pub async fn open(uri: &str, options: OpenOptions) -> Result<MongoDrivers, OpenError> {
    let scheme = uri.split(':').next().unwrap_or_default();
    if SCHEMES.contains(&scheme) {
        open::open(uri, options).await
    } else {
        Err(OpenError::UnknownScheme {
            scheme: scheme.to_owned(),
            hint: format!("zaqar-storage-mongo opens {SCHEMES:?}"),
        })
    }
}
