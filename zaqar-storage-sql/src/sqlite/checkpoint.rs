//! Checkpoints: moving the write-ahead log into the database, out of the writer's way.
//!
//! SQLite's automatic checkpoint runs inside the writer's commit and makes its slowest callers wait
//! for it. Here a connection of its own copies what is committed, passively, a little at a time,
//! while the writer goes on. SQLite starts the log afresh at the first write that finds all of it
//! copied. Under unbroken load no pass ever catches up, so once the log is long the writer copies
//! the last few pages itself, between two batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::Notify;

use super::engine::Engine;
use super::statement::query;

/// How often to look.
const INTERVAL: Duration = Duration::from_millis(100);
/// Pages in the log from which on a pass is worth its flush.
const PAGES_MIN: i64 = 1_000;
/// Pages in the log from which on the writer must help to start it afresh: 64 MiB.
const PAGES_MAX: i64 = 16_384;

/// What checkpointer and writer tell each other.
#[derive(Debug, Default)]
pub(crate) struct Checkpoints {
    /// The log is long, and all but its last pages are copied.
    writer_wanted: AtomicBool,
    writer_done: Notify,
    stop: Notify,
}

impl Checkpoints {
    /// Ends the checkpointer after a last pass.
    pub(crate) fn stop(&self) {
        self.stop.notify_one();
    }

    /// Between two batches: copies the log's last pages if that is wanted. No reader is waited for.
    pub(crate) fn help(&self, writer: &Engine) {
        if !self.writer_wanted.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = writer.rows(&query("PRAGMA wal_checkpoint(PASSIVE)")) {
            tracing::warn!(%error, "the writer's checkpoint failed; a later one goes on");
        }
        self.writer_done.notify_one();
    }
}

/// Copies until it is stopped, then once more.
pub(crate) async fn run(mut connection: SqliteConnection, checkpoints: Arc<Checkpoints>) {
    let mut copied = 0;
    loop {
        let stopping = tokio::select! {
            () = checkpoints.stop.notified() => true,
            () = tokio::time::sleep(INTERVAL) => false,
        };
        match pass(&mut connection, &checkpoints, copied, stopping).await {
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

/// One look, and a checkpoint if enough has gathered; returns the pages copied so far.
async fn pass(
    connection: &mut SqliteConnection,
    checkpoints: &Checkpoints,
    copied: i64,
    stopping: bool,
) -> Result<i64, sqlx::Error> {
    // NOOP tells how long the log is without copying anything; it is as cheap as a read.
    let (pages, done) = checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)").await?;
    let copied = copied.min(done);
    if !stopping && pages.saturating_sub(copied) < PAGES_MIN {
        return Ok(copied);
    }
    let (pages, done) = checkpoint(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    if !stopping && pages > PAGES_MAX {
        checkpoints.writer_wanted.store(true, Ordering::Release);
        // Two checkpoints at once would only refuse each other. An idle writer writes no log.
        tokio::select! {
            () = checkpoints.writer_done.notified() => {}
            () = checkpoints.stop.notified() => checkpoints.stop.notify_one(),
        }
    }
    Ok(done)
}

/// Returns the pages in the log and those copied.
async fn checkpoint(
    connection: &mut SqliteConnection,
    pragma: &'static str,
) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query(pragma).fetch_one(connection).await?;
    Ok((row.try_get(1)?, row.try_get(2)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{ConnectOptions as _, raw_sql};

    use super::*;

    const SHORT: &str = "INSERT INTO t VALUES (zeroblob(3000))";
    /// Over a thousand pages.
    const LONG: &str = "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1500) \
                        INSERT INTO t SELECT zeroblob(3000) FROM n";

    /// A database whose log holds what `write` writes.
    async fn logged(folder: &Path, write: &'static str) -> SqliteConnection {
        let options = SqliteConnectOptions::new()
            .filename(folder.join("logged.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .pragma("wal_autocheckpoint", "0");
        let mut connection = options.connect().await.expect("a database");
        for statement in ["CREATE TABLE t (body BLOB)", write] {
            raw_sql(statement).execute(&mut connection).await.expect("a statement");
        }
        connection
    }

    async fn pages_and_done(connection: &mut SqliteConnection) -> (i64, i64) {
        checkpoint(connection, "PRAGMA wal_checkpoint(NOOP)").await.expect("a look at the log")
    }

    #[tokio::test]
    async fn a_short_log_is_left_alone_until_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = logged(folder.path(), SHORT).await;
        let checkpoints = Checkpoints::default();
        let copied = pass(&mut connection, &checkpoints, 0, false).await.expect("a pass");
        let (pages, done) = pages_and_done(&mut connection).await;
        assert!(pages > 0 && (copied, done) == (0, 0), "{done} of {pages} pages, {copied} told");
        let copied = pass(&mut connection, &checkpoints, 0, true).await.expect("the last pass");
        assert_eq!(pages_and_done(&mut connection).await, (pages, pages));
        assert_eq!(copied, pages);
    }

    #[tokio::test]
    async fn a_long_log_is_copied_and_not_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut connection = logged(folder.path(), LONG).await;
        let checkpoints = Checkpoints::default();
        let copied = pass(&mut connection, &checkpoints, 0, false).await.expect("a pass");
        let (pages, done) = pages_and_done(&mut connection).await;
        assert!(pages >= PAGES_MIN && (copied, done) == (pages, pages), "{done} of {pages}");
        let again = pass(&mut connection, &checkpoints, copied, false).await.expect("a pass");
        assert_eq!(again, pages, "nothing new is left to copy");
    }

    #[tokio::test]
    async fn a_stopped_checkpointer_has_copied_everything() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut writer = logged(folder.path(), SHORT).await;
        let second = SqliteConnectOptions::new().filename(folder.path().join("logged.db"));
        let second = second.connect().await.expect("a second connection");
        let checkpoints = Arc::new(Checkpoints::default());
        checkpoints.stop();
        run(second, checkpoints).await;
        let (pages, done) = pages_and_done(&mut writer).await;
        assert!(pages > 0 && done == pages, "{done} of {pages} pages");
    }

    #[tokio::test]
    async fn the_writer_copies_when_it_is_asked_and_then_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut watching = logged(folder.path(), SHORT).await;
        let writer = Engine::open(&folder.path().join("logged.db"), "").expect("a writer");
        let checkpoints = Checkpoints::default();
        checkpoints.help(&writer);
        assert_eq!(pages_and_done(&mut watching).await.1, 0, "nobody asked");
        checkpoints.writer_wanted.store(true, Ordering::Release);
        checkpoints.help(&writer);
        let (pages, done) = pages_and_done(&mut watching).await;
        assert!(pages > 0 && done == pages, "{done} of {pages} pages");
        assert!(!checkpoints.writer_wanted.load(Ordering::Acquire));
    }
}
