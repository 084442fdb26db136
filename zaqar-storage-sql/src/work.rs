//! Work on a server that may not answer.

use std::time::Duration;

use zaqar_core::{Effect, Error, Result, Retry};

/// How long an operation may take, once it has begun: longer than a statement may, or than it may
/// wait for locks.
pub(crate) const WORK_MAX: Duration = Duration::from_secs(30);

/// Gives up an operation that takes too long; its connection is dropped with it.
pub(crate) async fn bounded<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let late = |_| {
        Err(Error::backend(operation, Effect::Unknown, Retry::Later, "the server did not answer"))
    };
    tokio::time::timeout(WORK_MAX, work).await.unwrap_or_else(late)
}

/// A failure to connect, told apart from one after something was sent.
pub(crate) fn not_sent(error: sqlx::Error) -> sqlx::Error {
    match error {
        sqlx::Error::PoolClosed | sqlx::Error::PoolTimedOut => error,
        // Encoding and configuration are known to come before anything is sent.
        other => sqlx::Error::Configuration(Box::new(other)),
    }
}
