//! Checkpoints: moving the write-ahead log into the database, out of the writer's way.
//!
//! SQLite's automatic checkpoint runs inside the writer's commit and makes its slowest callers wait
//! for it. Here a connection of its own copies what is committed, passively, a little at a time,
//! while the writer goes on. The log is reused from its start once all of it was copied and no
//! reader needs it, which the writer's next commit sees by itself.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;

/// How often to look, unless woken.
const INTERVAL: Duration = Duration::from_millis(100);
/// Pages in the log from which on a pass is worth its flush.
const PAGES_MIN: i64 = 1_000;

/// Copies until `stop` is notified, then once more.
pub(crate) async fn run(mut connection: SqliteConnection, stop: Arc<Notify>) {
    let mut copied = 0;
    loop {
        let stopping = tokio::select! {
            () = stop.notified() => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        match pass(&mut connection, copied, stopping).await {
            Ok(now_copied) => copied = now_copied,
            Err(error) => tracing::warn!(%error, "a checkpoint failed; the next one goes on"),
        }
        if stopping {
            break;
        }
    }
    if let Err(error) = sqlx::Connection::close(connection).await {
        tracing::debug!(%error, "closing the checkpoint connection failed");
    }
}

/// One look, and a passive checkpoint if enough has gathered; returns the pages copied so far.
async fn pass(
    connection: &mut SqliteConnection,
    copied: i64,
    stopping: bool,
) -> Result<i64, sqlx::Error> {
    // NOOP tells how long the log is without copying anything; it is as cheap as a read.
    let (pages, done) = checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)").await?;
    let copied = copied.min(done);
    if stopping || pages.saturating_sub(copied) >= PAGES_MIN {
        let (_, done) = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
        return Ok(done);
    }
    Ok(copied)
}

/// Returns the pages in the log and those copied.
async fn checkpoint(
    connection: &mut SqliteConnection,
    pragma: &'static str,
) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(pragma).fetch_one(connection).await?;
    Ok((row.try_get(1)?, row.try_get(2)?))
}
