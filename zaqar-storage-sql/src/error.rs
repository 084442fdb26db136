//! Native errors of sqlx, turned into ours. The only place that reads them.

use std::sync::Arc;

use zaqar_core::{Effect, Error, OpenError, Retry};

/// SQLite's primary result codes that are worth another try.
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
pub(crate) fn engine_error(
    operation: &'static str,
    effect: Effect,
    error: &Arc<sqlx::Error>,
) -> Error {
    Error::backend(operation, effect, retry_of(error), Arc::clone(error))
}

/// What a caller is told when the store was closed under it: nothing was done.
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

fn retry_of(error: &sqlx::Error) -> Retry {
    match error {
        sqlx::Error::Database(native) => {
            let code = native.code().and_then(|code| code.parse::<i64>().ok()).unwrap_or(0);
            // The extended result code carries the primary one in its low byte.
            match code & 0xff {
                sqlite_code::BUSY
                | sqlite_code::LOCKED
                | sqlite_code::IOERR
                | sqlite_code::FULL
                | sqlite_code::CANTOPEN => Retry::Later,
                _ => Retry::Never,
            }
        }
        sqlx::Error::PoolTimedOut => Retry::Later,
        sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Retry::AfterReopen,
        _ => Retry::Never,
    }
}
