//! The backend ring over SQL servers: one that belongs to one trial is killed, frozen and cut off
//! under load.

use std::process::ExitCode;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};
use zaqar_conformance::fault::backend::sigkill;
use zaqar_conformance::faults_main::Faults;
use zaqar_conformance::{Availability, Drivers, Namespace, Subject};
use zaqar_core::Clock;
use zaqar_storage_sql::{OpenOptions, SCHEMES};
use zaqar_testbed::{Options, Service};

zaqar_conformance::backend_control!(Private, zaqar_testbed);

/// What it looks like when the latest posts, deletes or claims are undone.
const FORGOTTEN: [&str; 3] = ["lost", "resurrected", "double-claimed"];

const LAZY_POSTGRES: &str = "postgres_commits_that_do_not_wait_for_the_disk";
const LAZY_MYSQL: &str = "mysql_commits_that_do_not_wait_for_the_disk";

/// Writes what is committed at its leisure.
const LAZY_INNODB: [&str; 2] =
    ["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-log-at-timeout=1000"];

fn main() -> ExitCode {
    let mut faults = Faults::new(zaqar_conformance::binary!())
        .on("postgres", || postgres(Options::new(), "", false))
        .logs_to("/pg_wal/")
        .catches(LAZY_POSTGRES, sigkill, &FORGOTTEN, lazy_postgres)
        .catches_unflushed(LAZY_POSTGRES, "/pg_wal/", lazy_postgres)
        .catches("postgres_tables_that_are_not_logged", sigkill, &FORGOTTEN, unlogged)
        .fills_up("postgres-full-disk", full_disk);
    if SCHEMES.contains(&"mysql") {
        faults = faults
            .on("mysql", || mysql(Options::new(), false))
            .logs_to("/ib_logfile")
            .catches(LAZY_MYSQL, sigkill, &FORGOTTEN, lazy_mysql)
            .catches_unflushed(LAZY_MYSQL, "/ib_logfile", lazy_mysql);
    }
    faults.run()
}

/// The driver on a server with these options, and with `parameters` added to its URI.
fn postgres(
    options: Options,
    parameters: &'static str,
    unreliable: bool,
) -> anyhow::Result<Availability> {
    let subject = subject("postgres", "PostgreSQL");
    let open = move |uri: String, ns: Namespace, clock| {
        open(format!("{uri}?schema={ns}{parameters}"), clock, unreliable)
    };
    Private::harness(subject, Service::Postgres, options, open)
}

fn lazy_postgres() -> anyhow::Result<Availability> {
    // Seldom written, what was committed still is in the memory of the server when it dies.
    let lazy = Options::new().arguments(["-c", "wal_writer_delay=10s"]);
    postgres(lazy, "&options[synchronous_commit]=off", true)
}

fn lazy_mysql() -> anyhow::Result<Availability> {
    mysql(Options::new().arguments(LAZY_INNODB), true)
}

/// The driver on a server that has little room beside its log and its catalogues.
fn full_disk() -> anyhow::Result<Availability> {
    let small = ["-c", "min_wal_size=32MB", "-c", "max_wal_size=64MB"];
    let options = Options::new().disk(192).arguments(small);
    // A report of its own.
    let subject = Subject { mode: "full-disk".into(), ..subject("postgres", "PostgreSQL") };
    let open =
        move |uri: String, ns: Namespace, clock| open(format!("{uri}?schema={ns}"), clock, false);
    Private::harness(subject, Service::Postgres, options, open)
}

/// The driver on tables that the server empties when it recovers from a crash.
fn unlogged() -> anyhow::Result<Availability> {
    let open = move |uri: String, ns: Namespace, clock| async move {
        let drivers = open(format!("{uri}?schema={ns}"), clock, true).await?;
        let mut raw = uri.parse::<PgConnectOptions>()?.connect().await?;
        for table in ["messages", "bodies"] {
            let alter = format!("ALTER TABLE {ns}.{table} SET UNLOGGED");
            sqlx::raw_sql(AssertSqlSafe(alter)).execute(&mut raw).await?;
        }
        Ok(drivers)
    };
    Private::harness(subject("postgres", "PostgreSQL"), Service::Postgres, Options::new(), open)
}

/// The driver on a server with these options, in a database for each namespace.
fn mysql(options: Options, unreliable: bool) -> anyhow::Result<Availability> {
    let subject = subject("mysql", "MariaDB");
    let open = move |uri: String, ns: Namespace, clock| {
        let server = uri.rsplit_once('/').map_or(uri.as_str(), |(server, _)| server);
        open(format!("{server}/{ns}"), clock, unreliable)
    };
    Private::harness(subject, Service::Mysql, options, open)
}

fn subject(driver: &str, backend: &str) -> Subject {
    Subject {
        driver: driver.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        backend: backend.into(),
        mode: "server".into(),
    }
}

async fn open(uri: String, clock: Arc<dyn Clock>, unreliable: bool) -> anyhow::Result<Drivers> {
    let options = OpenOptions::new(clock).unreliable(unreliable);
    let drivers = zaqar_storage_sql::open(&uri, options).await?;
    Ok(Drivers { control: drivers.control, data: drivers.data })
}
