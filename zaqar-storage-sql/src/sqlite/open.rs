//! Opening a file: connections, settings, migrations, tasks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row};
use tokio::sync::oneshot;
use zaqar_core::{DriverInfo, OpenError};

use crate::error::open_error;
use crate::{OpenOptions, SqlDrivers};

use super::checkpoint::{self, Checkpoints};
use super::config::SqliteConfig;
use super::driver::{SqliteControl, SqliteData, Store};
use super::heads::HeadCache;
use super::intake::Intake;
use super::reader::Reader;
use super::writer::Writer;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Connections for reading.
const READERS: u32 = 4;
/// How long to wait for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Page cache of the writer, in KiB (negative, as SQLite wants it). Small on purpose: a commit that
/// split a page looks through the whole cache (balancing borrows a page number from behind the end
/// of the file, which then has to be cut off), and what the writer needs is at the queues' two ends.
const WRITER_CACHE: &str = "-4096";
/// Page cache of each reader, in KiB.
const READER_CACHE: &str = "-8192";
/// Rows that a statement may return before its reader has fetched them.
const ROW_BUFFER: usize = 2_048;
/// Prepared statements kept by a connection: every text of this crate, and each size of insert.
const STATEMENTS_MAX: usize = 256;

/// Opens the file at `uri` and starts its writer.
pub(crate) async fn open(uri: &str, options: OpenOptions) -> Result<SqlDrivers, OpenError> {
    let config = SqliteConfig::parse(uri)?;
    let connect = SqliteConnectOptions::new()
        .filename(&config.path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .statement_cache_capacity(STATEMENTS_MAX)
        .row_buffer_size(ROW_BUFFER)
        .pragma("temp_store", "MEMORY")
        .disable_statement_logging();
    let writing = connect
        .clone()
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Checkpoints have a connection of their own.
        .pragma("wal_autocheckpoint", "0")
        .pragma("cache_size", WRITER_CACHE);
    let mut writer = writing.connect().await.map_err(open_error)?;
    let safe = check_settings(&mut writer, options.unreliable).await?;
    migrate(&mut writer).await?;
    let backend = format!("SQLite {}", version(&mut writer).await?);
    let checkpointer = writing.connect().await.map_err(open_error)?;
    let readers = SqlitePoolOptions::new()
        .max_connections(READERS)
        .test_before_acquire(false)
        .connect_lazy_with(connect.pragma("query_only", "ON").pragma("cache_size", READER_CACHE));

    let intake = Arc::new(Intake::default());
    let checkpoints = Arc::new(Checkpoints::default());
    let writer = Writer {
        connection: writer,
        intake: Arc::clone(&intake),
        clock: Arc::clone(&options.clock),
        heads: HeadCache::default(),
        checkpoints: Arc::clone(&checkpoints),
    };
    let tasks = vec![
        tokio::spawn(start_writer(writer)?),
        tokio::spawn(checkpoint::run(checkpointer, Arc::clone(&checkpoints))),
    ];
    let info = DriverInfo {
        name: "sqlite",
        version: env!("CARGO_PKG_VERSION"),
        backend,
        location: config.path.display().to_string(),
    };
    let store = Arc::new(Store {
        intake,
        reader: Reader::new(readers),
        clock: options.clock,
        info,
        safe,
        checkpoints,
        tasks: Mutex::new(tasks),
    });
    Ok(SqlDrivers {
        control: Arc::new(SqliteControl { store: Arc::clone(&store) }),
        data: Arc::new(SqliteData { store }),
    })
}

/// Starts the writer on a thread of its own; the future ends with it.
///
/// Between two batches everybody waits for the writer. As a task among others it would queue behind
/// the very requests that it answers; a thread runs as soon as the disk is done.
fn start_writer(writer: Writer) -> Result<impl Future<Output = ()>, OpenError> {
    let backend = |error: std::io::Error| OpenError::Backend { source: Box::new(error) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(backend)?;
    let (ended, end) = oneshot::channel();
    let work = move || {
        runtime.block_on(writer.run());
        // Nobody waits for it only where the store was dropped without being closed.
        ended.send(()).unwrap_or_default();
    };
    std::thread::Builder::new().name("zaqar-writer".to_owned()).spawn(work).map_err(backend)?;
    Ok(async move {
        if end.await.is_err() {
            tracing::error!("the writer ended before it was asked to");
        }
    })
}

/// Checks that the file took the settings that keep what is accepted (G15).
async fn check_settings(
    connection: &mut SqliteConnection,
    unreliable: bool,
) -> Result<bool, OpenError> {
    let journal: String = setting(connection, "PRAGMA journal_mode").await?;
    let synchronous: i64 = setting(connection, "PRAGMA synchronous").await?;
    let wrong = if journal != "wal" {
        Some(("journal_mode", journal, "wal"))
    } else if synchronous < 2 {
        Some(("synchronous", synchronous.to_string(), "2 (FULL)"))
    } else {
        None
    };
    match wrong {
        Some((setting, value, safe)) if !unreliable => {
            Err(OpenError::Unsafe { setting: setting.to_owned(), value, safe: safe.to_owned() })
        }
        wrong => Ok(wrong.is_none()),
    }
}

async fn setting<T>(connection: &mut SqliteConnection, pragma: &'static str) -> Result<T, OpenError>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    let row = sqlx::query(pragma).fetch_one(connection).await.map_err(open_error)?;
    row.try_get(0).map_err(open_error)
}

async fn version(connection: &mut SqliteConnection) -> Result<String, OpenError> {
    setting(connection, "SELECT sqlite_version()").await
}

/// Brings the schema to this version; refuses one that a newer version wrote.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let supported = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    match MIGRATIONS.run_direct(None, connection, false).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(found)) => {
            Err(OpenError::SchemaTooNew { found, supported })
        }
        Err(error) => Err(OpenError::Backend { source: Box::new(error) }),
    }
}
