//! What MySQL's errors mean. The only place that reads their numbers.
//!
//! The question that matters is whether anything may have been stored. An error that the *server*
//! reports for a statement means that the statement did nothing, and that those after it in the same
//! script did not run, the commit among them. The exceptions are those that may strike a commit that
//! is done already: the server goes down, or the session or the statement is killed. A connection
//! that breaks leaves everything open.
//!
//! A statement that waited too long for a lock (1205) is undone alone, and its transaction stays
//! open; one that lost a deadlock (1213) takes its transaction with it. Whoever runs statements here
//! rolls back after every error, so the difference does not matter.

use std::sync::Arc;

use sqlx::mysql::MySqlDatabaseError;
use zaqar_core::{Effect, Error, OpenError, Retry};

/// Numbers of errors.
mod number {
    pub(super) const TOO_MANY_CONNECTIONS: u16 = 1040;
    pub(super) const UNKNOWN_DATABASE: u16 = 1049;
    pub(super) const SERVER_SHUTDOWN: u16 = 1053;
    pub(super) const DUPLICATE_ENTRY: u16 = 1062;
    pub(super) const DISK_FULL: u16 = 1021;
    pub(super) const CHECK_READ: u16 = 1020;
    pub(super) const OUT_OF_MEMORY: u16 = 1037;
    pub(super) const OUT_OF_RESOURCES: u16 = 1041;
    pub(super) const RECORD_FILE_FULL: u16 = 1114;
    pub(super) const PACKET_TOO_LARGE: u16 = 1153;
    /// Writing or reading the network failed: 1156 to 1161, but for the size of a packet.
    pub(super) const NETWORK: std::ops::RangeInclusive<u16> = 1154..=1161;
    pub(super) const ERROR_DURING_COMMIT: u16 = 1180;
    pub(super) const TOO_MANY_USER_CONNECTIONS: u16 = 1203;
    pub(super) const LOCK_WAIT_TIMEOUT: u16 = 1205;
    pub(super) const DEADLOCK: u16 = 1213;
    /// The server runs with an option that forbids it: `read_only`.
    pub(super) const OPTION_PREVENTS: u16 = 1290;
    pub(super) const QUERY_INTERRUPTED: u16 = 1317;
    pub(super) const READ_ONLY_TRANSACTION: u16 = 1792;
    pub(super) const READ_ONLY_MODE: u16 = 1836;
    pub(super) const CONNECTION_KILLED: u16 = 1927;
    /// MariaDB's and MySQL's limit on the time of a statement.
    pub(super) const STATEMENT_TIMEOUT: u16 = 1969;
    pub(super) const QUERY_TIMEOUT: u16 = 3024;
}

/// The number of an error that the server reported.
fn number_of(error: &sqlx::Error) -> Option<u16> {
    let sqlx::Error::Database(native) = error else { return None };
    native.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number)
}

fn is_one_of(error: &sqlx::Error, wanted: &[u16]) -> bool {
    number_of(error).is_some_and(|number| wanted.contains(&number))
}

/// Reported about the session or the server, not about the statement.
fn is_about_the_session(error: &sqlx::Error) -> bool {
    is_one_of(error, &[number::SERVER_SHUTDOWN, number::CONNECTION_KILLED])
        || number_of(error).is_some_and(|number| {
            number::NETWORK.contains(&number) || number == number::PACKET_TOO_LARGE
        })
}

/// Whether the failed script, or the failed commit, certainly stored nothing.
pub(crate) fn is_definite(error: &sqlx::Error) -> bool {
    const DOUBTFUL: &[u16] = &[
        number::ERROR_DURING_COMMIT,
        number::QUERY_INTERRUPTED,
        number::STATEMENT_TIMEOUT,
        number::QUERY_TIMEOUT,
    ];
    match error {
        sqlx::Error::Database(_) => {
            let too_large = is_one_of(error, &[number::PACKET_TOO_LARGE]);
            number_of(error).is_some()
                && !is_one_of(error, DOUBTFUL)
                && (too_large || !is_about_the_session(error))
        }
        // Refused before anything was sent.
        sqlx::Error::Encode(_) | sqlx::Error::PoolClosed | sqlx::Error::Configuration(_) => true,
        _ => false,
    }
}

/// Whether a transaction failed for a reason that is over once it is rolled back: running it again,
/// as a whole, can store nothing twice. A key that somebody else stored a moment ago is met by the
/// look that comes before each insert.
pub(crate) fn is_passing(error: &sqlx::Error) -> bool {
    is_one_of(
        error,
        &[number::DEADLOCK, number::LOCK_WAIT_TIMEOUT, number::CHECK_READ, number::DUPLICATE_ENTRY],
    )
}

/// Whether the database is not there.
pub(crate) fn is_unknown_database(error: &sqlx::Error) -> bool {
    is_one_of(error, &[number::UNKNOWN_DATABASE])
}

/// Whether the connection can be used again once it was rolled back.
pub(crate) fn keeps_the_session(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(_)) && !is_about_the_session(error)
}

/// Whether the error tells that the server went away or changed its role, so that other connections
/// are suspect too.
pub(crate) fn is_about_the_server(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(_) => {
            is_about_the_session(error)
                || is_one_of(
                    error,
                    &[
                        number::OPTION_PREVENTS,
                        number::READ_ONLY_TRANSACTION,
                        number::READ_ONLY_MODE,
                    ],
                )
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        _ => false,
    }
}

fn retry_of(error: &sqlx::Error) -> Retry {
    const LATER: &[u16] = &[
        number::TOO_MANY_CONNECTIONS,
        number::TOO_MANY_USER_CONNECTIONS,
        number::DISK_FULL,
        number::RECORD_FILE_FULL,
        number::OUT_OF_MEMORY,
        number::OUT_OF_RESOURCES,
        number::ERROR_DURING_COMMIT,
        number::QUERY_INTERRUPTED,
        number::STATEMENT_TIMEOUT,
        number::QUERY_TIMEOUT,
    ];
    match error {
        sqlx::Error::Database(_) => {
            let too_large = is_one_of(error, &[number::PACKET_TOO_LARGE]);
            let later = is_about_the_server(error) || is_passing(error) || is_one_of(error, LATER);
            if later && !too_large { Retry::Later } else { Retry::Never }
        }
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut => Retry::Later,
        // The stream is out of step; the next connection is not.
        sqlx::Error::Protocol(_) => Retry::Later,
        sqlx::Error::PoolClosed => Retry::AfterReopen,
        // No session could be had: for the reason inside, or because it is not as it was set, which
        // an operator can mend.
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
