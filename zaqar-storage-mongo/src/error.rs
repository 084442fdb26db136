//! Native errors of the MongoDB client, turned into ours. The only place that reads them.
//!
//! The client is told to send nothing twice by itself (`retryWrites=false`), so an error always
//! speaks of the only attempt. What this driver sends again are a whole transaction of which no
//! commit was sent, and a commit whose answer was lost: the server knows it by session and number
//! and carries it out once.

use std::fmt;

use mongodb::bson::Document;
use mongodb::error::{
    Error as Native, ErrorKind, NO_WRITES_PERFORMED, SYSTEM_OVERLOADED_ERROR,
    TRANSIENT_TRANSACTION_ERROR, UNKNOWN_TRANSACTION_COMMIT_RESULT, WriteFailure,
};
use zaqar_core::{Effect, Error, InvalidId, OpenError, Retry};

/// Result of a native call.
pub(crate) type NativeResult<T> = Result<T, Native>;

/// Server error codes that decide something here.
mod code {
    pub(super) const UNAUTHORIZED: i32 = 13;
    pub(super) const NAMESPACE_EXISTS: i32 = 48;
    pub(super) const COMMAND_NOT_FOUND: i32 = 59;
    pub(super) const NO_REPLICATION: i32 = 76;
    pub(super) const DUPLICATE_KEY: i32 = 11_000;
    /// Refused before anything was done: the node is no primary.
    pub(super) const NOT_PRIMARY: [i32; 3] = [10_058, 10_107, 13_435];
    /// Passes by itself: shutting down, stepping down, recovering, too long, write conflict.
    pub(super) const PASSING: [i32; 14] =
        [6, 7, 24, 50, 64, 89, 91, 112, 189, 262, 9001, 11_600, 11_602, 13_436];
}

/// Why a step failed: the operation was refused, or the engine failed under it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The operation looked and refused; it wrote nothing.
    Refused(Error),
    /// The engine failed; the transaction is to be aborted.
    Engine(Native),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Refused(error)
    }
}

impl From<InvalidId> for Failure {
    fn from(invalid: InvalidId) -> Self {
        Self::Refused(invalid.into())
    }
}

impl From<Native> for Failure {
    fn from(error: Native) -> Self {
        Self::Engine(error)
    }
}

/// What the log is told of a native error: its kind, without the server's whole answer.
#[derive(Debug)]
struct Cause(String);

impl Cause {
    fn of(error: &Native) -> Self {
        let code = code_of(error).map(|code| format!("code {code}: ")).unwrap_or_default();
        Self(format!("{code}{}", error.kind))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Cause {}

/// What the caller is told when the engine failed.
pub(crate) fn engine_error(operation: &'static str, effect: Effect, error: &Native) -> Error {
    Error::backend(operation, effect, retry_of(error), Cause::of(error))
}

/// A read that failed changed nothing.
pub(crate) fn failed(operation: &'static str, error: &Native) -> Error {
    engine_error(operation, Effect::None, error)
}

/// The same failure of an operation of which an earlier step took effect.
pub(crate) fn unsure(error: Error) -> Error {
    match error {
        Error::Backend { operation, retry, source, .. } => {
            Error::Backend { operation, effect: Effect::Unknown, retry, source }
        }
        other => other,
    }
}

/// What a caller is told when the task that worked for it ended without an answer.
pub(crate) fn vanished(operation: &'static str) -> Error {
    let cause = "the task that did it ended without an answer";
    Error::backend(operation, Effect::Unknown, Retry::Later, cause)
}

/// What an opener is told.
pub(crate) fn open_error(error: &Native) -> OpenError {
    OpenError::Backend { source: Box::new(Cause::of(error)) }
}

/// Stored data that does not fit its type: something else changed the database.
pub(crate) fn damaged(what: &'static str) -> Native {
    Native::custom(format!("stored {what} is not valid"))
}

/// A step that took longer than it may.
pub(crate) fn timed_out() -> Native {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Whether a write that was its own transaction may have taken effect.
pub(crate) fn effect_of(error: &Native) -> Effect {
    if error.contains_label(NO_WRITES_PERFORMED) {
        return Effect::None;
    }
    match &*error.kind {
        // Not a cleared pool: that is also how the client ends what is under way on a server that
        // stopped answering its monitor.
        ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Authentication { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::InvalidTlsConfig { .. }
        | ErrorKind::SessionsNotSupported
        | ErrorKind::IncompatibleServer { .. }
        | ErrorKind::Shutdown => Effect::None,
        // The client marks so what failed while the connection was being made.
        ErrorKind::Io(_) if error.contains_label(SYSTEM_OVERLOADED_ERROR) => Effect::None,
        ErrorKind::Command(refusal) if is_refusal(refusal.code) => Effect::None,
        ErrorKind::Write(WriteFailure::WriteError(refusal))
            if refusal.code == code::DUPLICATE_KEY =>
        {
            Effect::None
        }
        _ => Effect::Unknown,
    }
}

fn is_refusal(code: i32) -> bool {
    code::NOT_PRIMARY.contains(&code)
        || matches!(code, code::UNAUTHORIZED | code::COMMAND_NOT_FOUND)
}

/// Whether a transaction failed in a way that passes: nothing is stored, and the whole of it may be
/// done again.
pub(crate) fn is_transient(error: &Native) -> bool {
    error.contains_label(TRANSIENT_TRANSACTION_ERROR)
}

/// Whether a read that failed so may succeed when it is done again.
pub(crate) fn is_passing(error: &Native) -> bool {
    matches!(retry_of(error), Retry::Later)
}

/// Whether there was nobody to ask, although an election had its time.
pub(crate) fn is_nobody_there(error: &Native) -> bool {
    matches!(&*error.kind, ErrorKind::ServerSelection { .. })
}

/// Whether a commit may be sent again because its answer was lost.
pub(crate) fn is_commit_unknown(error: &Native) -> bool {
    error.contains_label(UNKNOWN_TRANSACTION_COMMIT_RESULT)
}

/// Whether a collection was to be made that is there.
pub(crate) fn is_namespace_exists(error: &Native) -> bool {
    code_of(error) == Some(code::NAMESPACE_EXISTS)
}

/// Whether this account may not ask.
pub(crate) fn is_unauthorized(error: &Native) -> bool {
    code_of(error) == Some(code::UNAUTHORIZED)
}

/// Whether the command is one of replica sets and this server is in none.
pub(crate) fn is_no_replication(error: &Native) -> bool {
    matches!(code_of(error), Some(code::NO_REPLICATION | code::COMMAND_NOT_FOUND))
}

/// A failure told inside an answer that is otherwise in order: some statement of a command that has
/// several, or the wait for the majority.
pub(crate) fn partial(reply: &Document) -> Option<Native> {
    let told =
        ["writeErrors", "writeConcernError"].into_iter().find(|key| reply.contains_key(key))?;
    let codes: Vec<String> = write_error_codes(reply).iter().map(i32::to_string).collect();
    Some(Native::custom(format!("the server answered with {told} {}", codes.join(", "))))
}

/// Whether all that failed of a command's statements are upserts that another one's were ahead of.
/// The server tries again by itself only where the filter is the unique key alone, which it is not
/// in a sharded collection.
pub(crate) fn lost_upserts_only(reply: &Document) -> bool {
    let codes = write_error_codes(reply);
    !reply.contains_key("writeConcernError")
        && !codes.is_empty()
        && codes.iter().all(|code| *code == code::DUPLICATE_KEY)
}

fn write_error_codes(reply: &Document) -> Vec<i32> {
    let errors = reply.get_array("writeErrors").into_iter().flatten();
    // An error without a code is one that nothing is known of.
    errors
        .map(|error| error.as_document().and_then(|one| one.get_i32("code").ok()).unwrap_or(0))
        .collect()
}

fn code_of(error: &Native) -> Option<i32> {
    match &*error.kind {
        ErrorKind::Command(refusal) => Some(refusal.code),
        ErrorKind::Write(WriteFailure::WriteError(refusal)) => Some(refusal.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(refusal)) => Some(refusal.code),
        _ => None,
    }
}

fn retry_of(error: &Native) -> Retry {
    if is_transient(error) || is_commit_unknown(error) {
        return Retry::Later;
    }
    match &*error.kind {
        ErrorKind::Io(_)
        | ErrorKind::ConnectionPoolCleared { .. }
        | ErrorKind::ServerSelection { .. }
        | ErrorKind::DnsResolve { .. }
        | ErrorKind::Write(WriteFailure::WriteConcernError(_))
        | ErrorKind::Custom(_) => Retry::Later,
        ErrorKind::Shutdown => Retry::AfterReopen,
        ErrorKind::Command(refusal)
            if code::PASSING.contains(&refusal.code)
                || code::NOT_PRIMARY.contains(&refusal.code) =>
        {
            Retry::Later
        }
        _ => Retry::Never,
    }
}
