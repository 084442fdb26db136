//! Opening a file: connections, settings, migrations, tasks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::oneshot;
use zaqar_core::{DriverInfo, OpenError};

use crate::control::Control;
use crate::error::{is_busy, open_error};
use crate::findings::{Finding, refuse};
use crate::{OpenOptions, SqlDrivers};

use super::checkpoint::{self, Checkpoints};
use super::config::SqliteConfig;
use super::driver::{SqliteData, Store};
use super::engine::{BUSY_TIMEOUT, Engine};
use super::file::File;
use super::head_cache::HeadCache;
use super::intake::Intake;
use super::reader::Reader;
use super::statement::{FromValue, query};
use super::writer::Writer;

/// How often opening is tried while others are at it, and the pause between two attempts.
const ATTEMPTS_MAX: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Settings of the writer. Checkpoints have a connection of their own.
///
/// The page cache (in KiB; negative, as SQLite wants it) is small on purpose: a commit that split a
/// page looks through the whole cache (balancing borrows a page number from behind the end of the
/// file, which then has to be cut off), and what the writer needs is at the queues' two ends.
const WRITER: &str = "PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY; \
     PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -4096";

/// Opens the file at `uri` and starts its writer.
pub(crate) async fn open(uri: &str, options: OpenOptions) -> Result<SqlDrivers, OpenError> {
    let config = SqliteConfig::parse(uri)?;
    let connect = SqliteConnectOptions::new()
        .filename(&config.path)
        .create_if_missing(true)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", "0")
        .disable_statement_logging();
    // It makes and migrates the file, and does the checkpoints from then on.
    let checkpointer = prepared(&connect).await?;
    let file = File::at(&config.path).map_err(|error| open_error(sqlx::Error::Io(error)))?;
    refuse(&file.findings(), options.unreliable)?;
    let engine = Engine::open(&config.path, WRITER).map_err(open_error)?;
    let unsafe_settings = check_settings(&engine)?;
    refuse(&unsafe_settings, options.unreliable)?;
    let version: String = setting(&engine, "SELECT sqlite_version()")?;

    let intake = Arc::new(Intake::default());
    let checkpoints = Arc::new(Checkpoints::default());
    let writer = Writer {
        engine,
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
        backend: format!("SQLite {version}"),
        location: config.path.display().to_string(),
    };
    let store = Arc::new(Store {
        intake,
        reader: Reader::new(config.path),
        clock: options.clock,
        info,
        unsafe_settings,
        file,
        checkpoints,
        tasks: Mutex::new(tasks),
    });
    Ok(SqlDrivers {
        control: Arc::new(Control { store: Arc::clone(&store) }),
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

/// Settings that the file did not take though they keep what is accepted (G15).
fn check_settings(engine: &Engine) -> Result<Vec<Finding>, OpenError> {
    let journal: String = setting(engine, "PRAGMA journal_mode")?;
    let synchronous: i64 = setting(engine, "PRAGMA synchronous")?;
    let mut findings = Vec::new();
    if journal != "wal" {
        findings.push(Finding::new("journal_mode", &journal, "wal"));
    }
    if synchronous < 2 {
        findings.push(Finding::new("synchronous", &synchronous.to_string(), "2 (FULL)"));
    }
    Ok(findings)
}

fn setting<T: for<'r> FromValue<'r>>(engine: &Engine, text: &'static str) -> Result<T, OpenError> {
    let read = || engine.rows(&query(text))?.first().ok_or(sqlx::Error::RowNotFound)?.try_get(0);
    read().map_err(open_error)
}

/// A connection to the file, which is made and migrated if need be.
///
/// While another process does the same, SQLite refuses some statements at once instead of waiting.
async fn prepared(connect: &SqliteConnectOptions) -> Result<SqliteConnection, OpenError> {
    let mut attempt = 1;
    loop {
        let prepared = async {
            let mut connection = connect.connect().await.map_err(open_error)?;
            migrate(&mut connection).await?;
            Ok(connection)
        };
        match prepared.await {
            Err(OpenError::Backend { source }) if is_busy(&*source) && attempt < ATTEMPTS_MAX => {
                attempt += 1;
                tokio::time::sleep(PAUSE).await;
            }
            prepared => return prepared,
        }
    }
}

/// Brings the schema to this version; refuses one that a newer version wrote.
///
/// Each step is a transaction, and nothing keeps another process from taking the same one: then one of
/// the two fails, and finds less to do.
async fn migrate(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let supported = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    let mut done = steps_done(connection).await?;
    loop {
        match MIGRATIONS.run_direct(None, connection, false).await {
            Ok(()) => return Ok(()),
            Err(MigrateError::VersionMissing(found)) => {
                return Err(OpenError::SchemaTooNew { found, supported });
            }
            Err(error) => {
                let before = std::mem::replace(&mut done, steps_done(connection).await?);
                if done <= before {
                    return Err(OpenError::Backend { source: Box::new(error) });
                }
            }
        }
    }
}

/// How many steps of the schema were taken, by whomever.
async fn steps_done(connection: &mut SqliteConnection) -> Result<i64, OpenError> {
    let backend = |error: sqlx::Error| OpenError::Backend { source: Box::new(error) };
    let known = "SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'";
    let known: i64 =
        sqlx::query_scalar(known).fetch_one(&mut *connection).await.map_err(backend)?;
    if known == 0 {
        return Ok(0);
    }
    let count = "SELECT count(*) FROM _sqlx_migrations";
    sqlx::query_scalar(count).fetch_one(connection).await.map_err(backend)
}
