//! Native errors of sqlx, turned into ours. The only place that reads SQLite's; `postgres::error`
//! reads PostgreSQL's, `mysql::error` MySQL's.

#[cfg(feature = "sqlite")]
use std::sync::Arc;

#[cfg(feature = "sqlite")]
use zaqar_core::{Effect, Retry};
use zaqar_core::{Error, OpenError};

/// SQLite's primary result codes that are worth another try.
#[cfg(feature = "sqlite")]
mod sqlite_code {
    pub(super) const BUSY: i64 = 5;
    pub(super) const LOCKED: i64 = 6;
    pub(super) const IOERR: i64 = 10;
    pub(super) const FULL: i64 = 13;
    pub(super) const CANTOPEN: i64 = 14;
}

/// Why a step failed: the operation was refused, or the engine failed under it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operation looked and refused; it wrote nothing.
    Refused(Error),
    /// The engine failed; the step is to be rolled back.
    Engine(sqlx::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<zaqar_core::InvalidId> for Failure {
    fn from(invalid: zaqar_core::InvalidId) -> Self {
        Self::Refused(invalid.into())
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Engine(error)
    }
}

/// What the caller is told when the engine failed.
///
/// The cause is shared: one failed commit is the answer to every operation of its batch.
#[cfg(feature = "sqlite")]
pub(crate) fn engine_error(
    operation: &'static str,
    effect: Effect,
    error: &Arc<sqlx::Error>,
) -> Error {
    Error::backend(operation, effect, retry_of(error), Arc::clone(error))
}

/// What a caller is told when the store was closed under it: nothing was done.
#[cfg(feature = "sqlite")]
pub(crate) fn closed(operation: &'static str) -> Error {
    Error::backend(operation, Effect::None, Retry::AfterReopen, "the store is closed")
}

/// What an opener is told.
pub(crate) fn open_error(error: sqlx::Error) -> OpenError {
    OpenError::Backend { source: Box::new(error) }
}

/// Stored data that does not fit its type: the file was changed by something else.
pub(crate) fn damaged(what: &'static str) -> sqlx::Error {
    sqlx::Error::Decode(format!("stored {what} is not valid").into())
}

/// Whether there was no room on the disk.
#[cfg(feature = "sqlite")]
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(sqlite_code::FULL)
}

/// Whether another connection was in the way.
#[cfg(feature = "sqlite")]
pub(crate) fn is_busy(mut error: &(dyn std::error::Error + 'static)) -> bool {
    loop {
        let native = error.downcast_ref::<sqlx::Error>().and_then(primary_code);
        if native == Some(sqlite_code::BUSY) {
            return true;
        }
        match error.source() {
            Some(cause) => error = cause,
            None => return false,
        }
    }
}

/// SQLite's primary result code: the low byte of the extended one.
#[cfg(feature = "sqlite")]
fn primary_code(error: &sqlx::Error) -> Option<i64> {
    let sqlx::Error::Database(native) = error else { return None };
    native.code()?.parse::<i64>().ok().map(|code| code & 0xff)
}

#[cfg(feature = "sqlite")]
fn retry_of(error: &sqlx::Error) -> Retry {
    match error {
        sqlx::Error::Database(_) => match primary_code(error) {
            Some(
                sqlite_code::BUSY
                | sqlite_code::LOCKED
                | sqlite_code::IOERR
                | sqlite_code::FULL
                | sqlite_code::CANTOPEN,
            ) => Retry::Later,
            _ => Retry::Never,
        },
        sqlx::Error::PoolTimedOut => Retry::Later,
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Retry::AfterReopen,
        _ => Retry::Never,
    }
}
