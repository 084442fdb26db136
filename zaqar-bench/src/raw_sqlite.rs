//! Inserting rows into SQLite without any server: what a durable server on SQLite can approach.
//!
//! One connection, write-ahead log, `synchronous=FULL`, one prepared multi-row insert for each
//! commit, so that every commit is one hop to the thread that runs SQLite.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::report::{print, write_json};

const SCHEMA: &str = "CREATE TABLE message (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, \
    created INTEGER NOT NULL, ttl INTEGER NOT NULL, body TEXT NOT NULL)";

/// Options of the raw loop.
#[derive(Debug, Clone, Args)]
pub struct RawOptions {
    /// Rows inserted in each transaction
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rows_per_commit: u32,

    /// Bytes of one row's body
    #[arg(long, default_value_t = 1024)]
    pub body_bytes: usize,

    /// Time to insert, in seconds
    #[arg(long, default_value_t = 5)]
    pub seconds: u64,

    /// Database file to make and remove, on the disk that the server under test uses
    #[arg(long, value_name = "FILE", default_value = "zaqar-bench-raw.sqlite")]
    pub path: PathBuf,

    /// Write the results to a file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What the raw loop reached.
#[derive(Debug, Clone, Serialize)]
pub struct RawResult {
    /// Rows in each transaction.
    pub rows_per_commit: u32,
    /// Bytes of one row's body.
    pub body_bytes: usize,
    /// Time inserted.
    pub seconds: f64,
    /// Rows inserted.
    pub rows: u64,
    /// Rows per second.
    pub rows_per_s: f64,
    /// Mean time of a commit.
    pub commit_us_mean: f64,
}

/// Runs the loop and prints what it reached.
///
/// # Errors
/// The file exists already or cannot be written.
pub fn command(options: &RawOptions) -> anyhow::Result<bool> {
    let result = measure(options)?;
    print(&describe(&result))?;
    if let Some(path) = &options.json {
        write_json(path, &result)?;
    }
    Ok(true)
}

/// One line about a result.
#[must_use]
pub fn describe(result: &RawResult) -> String {
    let RawResult { rows_per_commit, rows_per_s, commit_us_mean, seconds, .. } = result;
    format!(
        "raw-sqlite  {rows_per_commit} rows per commit: {rows_per_s:.0} rows/s, \
         {commit_us_mean:.0} µs per commit, {seconds:.1} s"
    )
}

/// Runs the loop on a new file and removes the file.
///
/// # Errors
/// The file exists already or cannot be written.
pub fn measure(options: &RawOptions) -> anyhow::Result<RawResult> {
    let path = options.path.as_path();
    ensure!(!path.exists(), "{} exists; the raw loop makes a file of its own", path.display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(insert_rows(options));
    let removed = remove(path);
    let result = result?;
    removed?;
    Ok(result)
}

async fn insert_rows(options: &RawOptions) -> anyhow::Result<RawResult> {
    let connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&connect)
        .await
        .with_context(|| format!("cannot open {}", options.path.display()))?;
    sqlx::query(SCHEMA).execute(&mut connection).await?;
    let insert: Arc<str> = insert_sql(options.rows_per_commit).into();
    let body: Arc<str> = "x".repeat(options.body_bytes).into();
    let duration = Duration::from_secs(options.seconds);
    let started = Instant::now();
    let mut commits = 0_u64;
    while started.elapsed() < duration {
        let created = i64::try_from(started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&insert)));
        for _ in 0..options.rows_per_commit {
            query = query.bind(1_i64).bind(created).bind(3600_i64).bind(Arc::clone(&body));
        }
        query.execute(&mut connection).await?;
        commits += 1;
    }
    let elapsed = started.elapsed();
    let rows = commits * u64::from(options.rows_per_commit);
    let counted: i64 =
        sqlx::query_scalar("SELECT count(*) FROM message").fetch_one(&mut connection).await?;
    ensure!(u64::try_from(counted) == Ok(rows), "{counted} rows stored instead of {rows}");
    connection.close().await?;
    Ok(RawResult {
        rows_per_commit: options.rows_per_commit,
        body_bytes: options.body_bytes,
        seconds: elapsed.as_secs_f64(),
        rows,
        rows_per_s: rows as f64 / elapsed.as_secs_f64(),
        commit_us_mean: elapsed.as_secs_f64() * 1e6 / commits.max(1) as f64,
    })
}

fn insert_sql(rows: u32) -> String {
    let mut sql = String::from("INSERT INTO message (queue, created, ttl, body) VALUES ");
    for row in 0..rows {
        let comma = if row == 0 { "" } else { "," };
        // Writing to a string does not fail.
        write!(sql, "{comma}(?,?,?,?)").ok();
    }
    sql
}

/// Removes the database and the files beside it.
fn remove(path: &Path) -> anyhow::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::remove_file(&name) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loop_stores_what_it_counts_and_removes_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw.sqlite");
        let options =
            RawOptions { rows_per_commit: 10, body_bytes: 100, seconds: 1, path, json: None };
        let result = measure(&options).unwrap();
        assert!(result.rows > 0 && result.rows.is_multiple_of(10), "{result:?}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = RawOptions {
            rows_per_commit: 1,
            body_bytes: 100,
            seconds: 1,
            path: file.path().to_owned(),
            json: None,
        };
        assert!(measure(&options).is_err());
        assert!(file.path().exists());
    }
}
