//! What PostgreSQL's errors mean. The only place that reads SQLSTATE codes.
//!
//! The question that matters is whether anything may have been stored. An error that the *server*
//! reports for a statement means that the statement's transaction was rolled back, with one family
//! of exceptions: the server is going down, or is told to end the session, and the message may have
//! been sent when the commit was already done. A connection that breaks leaves everything open.

use std::sync::Arc;

use zaqar_core::{Effect, Error, OpenError, Retry};

/// Classes and codes of SQLSTATE.
mod state {
    /// Connection exceptions: reported about a session, not about a statement.
    pub(super) const CLASS_CONNECTION: &str = "08";
    /// Operator intervention: shutdowns, cancelled statements.
    pub(super) const CLASS_INTERVENTION: &str = "57";
    pub(super) const QUERY_CANCELED: &str = "57014";
    pub(super) const CANNOT_CONNECT_NOW: &str = "57P03";
    /// Out of disk, memory or connections.
    pub(super) const CLASS_RESOURCES: &str = "53";
    pub(super) const SERIALIZATION_FAILURE: &str = "40001";
    pub(super) const DEADLOCK_DETECTED: &str = "40P01";
    /// "Statement completion unknown", as some distributed relatives of PostgreSQL report it.
    pub(super) const COMPLETION_UNKNOWN: &str = "40003";
    pub(super) const LOCK_NOT_AVAILABLE: &str = "55P03";
    pub(super) const READ_ONLY_TRANSACTION: &str = "25006";
    pub(super) const IDLE_IN_TRANSACTION: &str = "25P03";
    pub(super) const UNIQUE_VIOLATION: &str = "23505";
    /// System errors: I/O, missing or damaged files.
    pub(super) const CLASS_SYSTEM: &str = "58";
}

/// The SQLSTATE of an error that the server reported.
fn code(error: &sqlx::Error) -> Option<std::borrow::Cow<'_, str>> {
    match error {
        sqlx::Error::Database(native) => native.code(),
        _ => None,
    }
}

fn is(error: &sqlx::Error, wanted: &str) -> bool {
    code(error).is_some_and(|code| code == wanted)
}

/// Whether the failed statement, or the failed commit, certainly changed nothing.
pub(crate) fn is_definite(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => code(error).is_some_and(|code| {
            let doubtful = code.starts_with(state::CLASS_CONNECTION)
                || code == state::COMPLETION_UNKNOWN
                || (code.starts_with(state::CLASS_INTERVENTION)
                    && code != state::QUERY_CANCELED
                    && code != state::CANNOT_CONNECT_NOW);
            !doubtful
        }),
        // Refused before anything was sent.
        sqlx::Error::Encode(_) | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => true,
        _ => false,
    }
}

/// Whether the server rolled the transaction back for a reason that is over: running it again, as a
/// whole, can store nothing twice.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    is(error, state::SERIALIZATION_FAILURE) || is(error, state::DEADLOCK_DETECTED)
}

/// Whether a row of that key was there already.
pub(crate) fn is_duplicate(error: &sqlx::Error) -> bool {
    is(error, state::UNIQUE_VIOLATION)
}

/// Whether the error tells that the server went away or changed its role, so that other connections
/// are suspect too.
pub(crate) fn is_about_the_server(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            is(error, state::READ_ONLY_TRANSACTION)
                || code(error).is_some_and(|code| {
                    code.starts_with(state::CLASS_CONNECTION)
                        || (code.starts_with(state::CLASS_INTERVENTION)
                            && code != state::QUERY_CANCELED)
                })
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

fn retry_of(error: &sqlx::Error) -> Retry {
    match error {
        sqlx::Error::Database(_) => {
            let later = code(error).is_some_and(|code| {
                [state::CLASS_CONNECTION, state::CLASS_INTERVENTION]
                    .into_iter()
                    .chain([state::CLASS_RESOURCES, state::CLASS_SYSTEM])
                    .any(|class| code.starts_with(class))
                    || [state::SERIALIZATION_FAILURE, state::DEADLOCK_DETECTED]
                        .into_iter()
                        .chain([state::COMPLETION_UNKNOWN, state::LOCK_NOT_AVAILABLE])
                        .chain([state::READ_ONLY_TRANSACTION, state::IDLE_IN_TRANSACTION])
                        .any(|wanted| code == wanted)
            });
            if later { Retry::Later } else { Retry::Never }
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => Retry::Later,
        // The stream is out of step; the next connection is not.
        sqlx::Error::Protocol(_) => Retry::Later,
        sqlx::Error::PoolClosed => Retry::AfterReopen,
        // No session could be had: for the reason inside, or because the server's settings would
        // not keep what it is given, which an operator can mend.
        sqlx::Error::Configuration(source) => {
            source.downcast_ref::<sqlx::Error>().map_or(Retry::Later, retry_of)
        }
        _ => Retry::Never,
    }
}

/// A failure of the engine, ready to be told to everybody who was in the step.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) effect: Effect,
    retry: Retry,
    source: Arc<sqlx::Error>,
}

impl Broken {
    /// A statement that is a whole transaction, or a commit, failed.
    pub(crate) fn committing(error: sqlx::Error) -> Self {
        let effect = if is_definite(&error) { Effect::None } else { Effect::Unknown };
        Self { effect, ..Self::inside(error) }
    }

    /// It failed before the commit, or where nothing was to be changed.
    pub(crate) fn inside(error: sqlx::Error) -> Self {
        Self { effect: Effect::None, retry: retry_of(&error), source: Arc::new(error) }
    }

    /// What a caller is told.
    pub(crate) fn tell(&self, operation: &'static str) -> Error {
        Error::backend(operation, self.effect, self.retry, Arc::clone(&self.source))
    }
}

/// What the caller is told of a statement or a commit that failed.
pub(crate) fn failed(operation: &'static str, error: sqlx::Error) -> Error {
    Broken::committing(error).tell(operation)
}

/// What the caller is told of a failure that certainly changed nothing: a read, or a step that had
/// not come to its commit.
pub(crate) fn failed_without_effect(operation: &'static str, error: sqlx::Error) -> Error {
    Broken::inside(error).tell(operation)
}

/// What an opener is told.
pub(crate) fn open_failed(error: sqlx::Error) -> OpenError {
    match error {
        sqlx::Error::Configuration(source) => OpenError::InvalidUri { reason: source.to_string() },
        error => crate::error::open_error(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_connection_leaves_it_open_what_happened() {
        let broken = sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
        assert!(!is_definite(&broken) && is_about_the_server(&broken));
        let error = failed("post", broken);
        assert_eq!((error.effect(), error.retry()), (Effect::Unknown, Retry::Later));
        let unreachable = sqlx::Error::Io(std::io::Error::from(std::io::ErrorKind::TimedOut));
        let error = failed("post", sqlx::Error::Configuration(Box::new(unreachable)));
        assert_eq!((error.effect(), error.retry()), (Effect::None, Retry::Later));
        let error = failed("post", sqlx::Error::PoolClosed);
        assert_eq!((error.effect(), error.retry()), (Effect::None, Retry::AfterReopen));
    }
}
