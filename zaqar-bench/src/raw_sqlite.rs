//! SQLite without any server: what a durable server on SQLite can approach.
//!
//! One connection, write-ahead log, `synchronous=FULL`, one prepared text for each commit, so that
//! every commit is one hop to the thread that runs SQLite. Inserts are one multi-row statement;
//! claims mark the first free rows and return them, and delete those of the commit before.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde::Serialize;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::report::{print, write_json};

const SCHEMA: &str = "CREATE TABLE message (id INTEGER PRIMARY KEY, queue INTEGER NOT NULL, \
    created INTEGER NOT NULL, ttl INTEGER NOT NULL, body TEXT NOT NULL); \
    CREATE TABLE state (id INTEGER PRIMARY KEY, held INTEGER NOT NULL); \
    CREATE INDEX free ON state (id) WHERE held = 0; \
    CREATE INDEX taken ON state (id) WHERE held > 0";

/// Deletes what the commit before claimed, claims the next rows and reads their bodies.
const CLAIM_DELETE: &str = "BEGIN IMMEDIATE; \
    DELETE FROM message WHERE id IN (SELECT id FROM state INDEXED BY taken WHERE held > 0); \
    DELETE FROM state INDEXED BY taken WHERE held > 0; \
    UPDATE state SET held = 1 WHERE id IN \
      (SELECT id FROM state INDEXED BY free WHERE held = 0 ORDER BY id LIMIT ?); \
    SELECT group_concat(body, char(30)) FROM message \
      WHERE id IN (SELECT id FROM state INDEXED BY taken WHERE held > 0); \
    COMMIT";

/// Rows that wait to be claimed, for each second of the loop: more than it can take.
const ROWS_TO_CLAIM_PER_S: u64 = 100_000;

/// What the raw loop does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum RawWork {
    /// Inserts rows
    Insert,
    /// Claims rows that were inserted before, and deletes them
    ClaimDelete,
}

impl RawWork {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::ClaimDelete => "claim and delete",
        }
    }
}

/// Options of the raw loop.
#[derive(Debug, Clone, Args)]
pub struct RawOptions {
    /// What to do with the rows
    #[arg(long, value_enum, default_value_t = RawWork::Insert)]
    pub work: RawWork,

    /// Rows in each transaction
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rows_per_commit: u32,

    /// Bytes of one row's body
    #[arg(long, default_value_t = 1024)]
    pub body_bytes: usize,

    /// Pause between commits, in milliseconds: what one costs a machine that was idle
    #[arg(long, default_value_t = 0)]
    pub pause_ms: u64,

    /// Time to work, in seconds
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
    /// What was done with the rows.
    pub work: RawWork,
    /// Rows in each transaction.
    pub rows_per_commit: u32,
    /// Bytes of one row's body.
    pub body_bytes: usize,
    /// Time worked, pauses left out.
    pub seconds: f64,
    /// Rows done.
    pub rows: u64,
    /// Rows per second.
    pub rows_per_s: f64,
    /// Mean time of a commit.
    pub commit_us_mean: f64,
    /// Median time of a commit.
    pub commit_us_p50: f64,
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
    let RawResult { work, rows_per_commit, rows_per_s, seconds, .. } = result;
    let RawResult { commit_us_mean, commit_us_p50, .. } = result;
    format!(
        "raw-sqlite  {}, {rows_per_commit} rows per commit: {rows_per_s:.0} rows/s, \
         {commit_us_mean:.0} µs per commit (p50 {commit_us_p50:.0}), {seconds:.1} s",
        work.name()
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
    let result = runtime.block_on(work(options));
    let removed = remove(path);
    let result = result?;
    removed?;
    Ok(result)
}

async fn work(options: &RawOptions) -> anyhow::Result<RawResult> {
    let connect = SqliteConnectOptions::new()
        .filename(&options.path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let mut connection = SqliteConnection::connect_with(&connect)
        .await
        .with_context(|| format!("cannot open {}", options.path.display()))?;
    sqlx::raw_sql(SCHEMA).execute(&mut connection).await?;
    let mut commits = match options.work {
        RawWork::Insert => insert_rows(&mut connection, options).await?,
        RawWork::ClaimDelete => claim_rows(&mut connection, options).await?,
    };
    connection.close().await?;
    commits.times.sort_unstable();
    let busy: Duration = commits.times.iter().sum();
    let p50 = commits.times.get(commits.times.len() / 2).copied().unwrap_or_default();
    let rows = commits.count() * u64::from(options.rows_per_commit);
    Ok(RawResult {
        work: options.work,
        rows_per_commit: options.rows_per_commit,
        body_bytes: options.body_bytes,
        seconds: busy.as_secs_f64(),
        rows,
        rows_per_s: rows as f64 / busy.as_secs_f64(),
        commit_us_mean: busy.as_secs_f64() * 1e6 / commits.count().max(1) as f64,
        commit_us_p50: p50.as_secs_f64() * 1e6,
    })
}

/// How long each commit took.
struct Commits {
    until: Instant,
    pause: Duration,
    times: Vec<Duration>,
}

impl Commits {
    fn start(options: &RawOptions) -> Self {
        let until = Instant::now() + Duration::from_secs(options.seconds);
        Self { until, pause: Duration::from_millis(options.pause_ms), times: Vec::new() }
    }

    /// Pauses if it is to; whether there is time for another.
    async fn next(&self) -> bool {
        if !self.pause.is_zero() {
            tokio::time::sleep(self.pause).await;
        }
        Instant::now() < self.until
    }

    fn count(&self) -> u64 {
        self.times.len() as u64
    }
}

async fn insert_rows(
    connection: &mut SqliteConnection,
    options: &RawOptions,
) -> anyhow::Result<Commits> {
    let insert: Arc<str> = insert_sql(options.rows_per_commit).into();
    let body: Arc<str> = "x".repeat(options.body_bytes).into();
    let mut commits = Commits::start(options);
    while commits.next().await {
        let begun = Instant::now();
        let mut query = sqlx::query(AssertSqlSafe(Arc::clone(&insert)));
        for _ in 0..options.rows_per_commit {
            let created = i64::try_from(commits.count())?;
            query = query.bind(1_i64).bind(created).bind(3600_i64).bind(Arc::clone(&body));
        }
        query.execute(&mut *connection).await?;
        commits.times.push(begun.elapsed());
    }
    let rows = commits.count() * u64::from(options.rows_per_commit);
    let counted = count(connection).await?;
    ensure!(counted == rows, "{counted} rows stored instead of {rows}");
    Ok(commits)
}

async fn claim_rows(
    connection: &mut SqliteConnection,
    options: &RawOptions,
) -> anyhow::Result<Commits> {
    let rows = options.seconds.saturating_mul(ROWS_TO_CLAIM_PER_S);
    let fill = "BEGIN; \
         WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n LIMIT ?) \
         INSERT INTO message SELECT n, 1, n, 3600, ? FROM n; \
         INSERT INTO state SELECT id, 0 FROM message; \
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE)";
    let body = "x".repeat(options.body_bytes);
    sqlx::query(fill).bind(i64::try_from(rows)?).bind(body).execute(&mut *connection).await?;
    let mut commits = Commits::start(options);
    while commits.next().await {
        let begun = Instant::now();
        let limit = i64::from(options.rows_per_commit);
        sqlx::query(CLAIM_DELETE).bind(limit).fetch_all(&mut *connection).await?;
        commits.times.push(begun.elapsed());
    }
    let per_commit = u64::from(options.rows_per_commit);
    // What the last commit claimed is not deleted yet.
    let left = rows.saturating_sub(commits.count().saturating_sub(1) * per_commit);
    let counted = count(connection).await?;
    ensure!(left >= per_commit, "all {rows} rows were claimed before the time was up");
    ensure!(counted == left, "{counted} rows are left instead of {left}");
    Ok(commits)
}

async fn count(connection: &mut SqliteConnection) -> anyhow::Result<u64> {
    let counted: i64 =
        sqlx::query_scalar("SELECT count(*) FROM message").fetch_one(connection).await?;
    Ok(u64::try_from(counted)?)
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
    fn the_loops_do_what_they_count_and_remove_their_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("raw.sqlite");
        for work in [RawWork::Insert, RawWork::ClaimDelete] {
            let path = path.clone();
            let options = RawOptions {
                work,
                rows_per_commit: 10,
                body_bytes: 100,
                pause_ms: 0,
                seconds: 1,
                path,
                json: None,
            };
            let result = measure(&options).unwrap();
            assert!(result.rows > 0 && result.rows.is_multiple_of(10), "{result:?}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn an_existing_file_is_left_alone() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let options = RawOptions {
            work: RawWork::Insert,
            rows_per_commit: 1,
            body_bytes: 100,
            pause_ms: 1,
            seconds: 1,
            path: file.path().to_owned(),
            json: None,
        };
        assert!(measure(&options).is_err());
        assert!(file.path().exists());
    }
}
