#![doc = include_str!("../README.md")]

mod capabilities;
mod codes;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod connections;
mod control;
mod dialect;
mod error;
mod findings;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod identity;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod layout;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod memory;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
mod origins;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod payload;
#[cfg(feature = "postgres")]
mod postgres;
pub mod scratch;
#[cfg(feature = "sqlite")]
mod sqlite;
mod statement;
#[cfg(any(feature = "postgres", feature = "mysql"))]
mod work;

use std::sync::Arc;

use zaqar_core::{Clock, ControlDriver, DataDriver, OpenError};

/// URI schemes that this crate opens, with the features of this build.
pub const SCHEMES: &[&str] = &[
    #[cfg(feature = "sqlite")]
    "sqlite",
    #[cfg(feature = "postgres")]
    "postgres",
    #[cfg(feature = "postgres")]
    "postgresql",
    #[cfg(feature = "mysql")]
    "mysql",
    #[cfg(feature = "mysql")]
    "mariadb",
];

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
pub struct SqlDrivers {
    /// Queues, pools, flavors, the catalogue.
    pub control: Arc<dyn ControlDriver>,
    /// Messages, claims, subscriptions.
    pub data: Arc<dyn DataDriver>,
}

/// Opens the database at `uri`, making and migrating it as needed.
///
/// # Errors
/// [`OpenError`] says what is wrong with the URI, the store or its settings. Nothing was changed,
/// except that migrations before a failing one have been applied.
pub async fn open(uri: &str, options: OpenOptions) -> Result<SqlDrivers, OpenError> {
    let scheme = uri.split(':').next().unwrap_or_default();
    match scheme {
        #[cfg(feature = "sqlite")]
        "sqlite" => sqlite::open(uri, options).await,
        #[cfg(feature = "postgres")]
        "postgres" | "postgresql" => postgres::open(uri, options).await,
        #[cfg(feature = "mysql")]
        "mysql" | "mariadb" => mysql::open(uri, options).await,
        other => Err(unknown_scheme(other)),
    }
}

fn unknown_scheme(scheme: &str) -> OpenError {
    let hint = format!("this build of zaqar-storage-sql opens {SCHEMES:?}");
    OpenError::UnknownScheme { scheme: scheme.to_owned(), hint }
}
