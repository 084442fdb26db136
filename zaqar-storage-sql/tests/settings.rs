//! Every unsafe setting that these servers can be given is refused at opening, and turns the health
//! of a store red that was opened before: by its name, with its value and what would be safe.
//!
//! Each test has a server of its own and starts it again with one setting after the other.

use std::sync::Arc;

use anyhow::{Context, bail, ensure};
use sqlx::ConnectOptions;
use sqlx::mysql::MySqlConnectOptions;
use zaqar_core::{Clock, Health, ManualClock, OpenError};
use zaqar_storage_sql::{OpenOptions, SqlDrivers};
use zaqar_testbed::{Backend, Options, Service};

/// How often health is asked of a handle whose sessions all ended with the server.
const ASKED_MAX: usize = 100;

/// What is to be said of a setting.
struct Refusal {
    setting: &'static str,
    value: &'static str,
    safe: &'static str,
}

const fn refusal(setting: &'static str, value: &'static str, safe: &'static str) -> Refusal {
    Refusal { setting, value, safe }
}

impl Refusal {
    fn check_opening(&self, opened: Result<SqlDrivers, OpenError>) -> anyhow::Result<()> {
        let name = self.setting;
        let Err(OpenError::Unsafe { setting, value, safe }) = opened else {
            bail!("{name}: opened, or refused for another reason: {opened:?}");
        };
        ensure!(setting == name, "{setting} is named, not {name}");
        ensure!((value.as_str(), safe.as_str()) == (self.value, self.safe), "{value}, {safe}");
        Ok(())
    }

    fn check_health(&self, health: &Health) -> anyhow::Result<()> {
        let Self { setting, value, safe } = self;
        let wanted = format!("may lose messages: {setting} is {value}, must be {safe}");
        ensure!(!health.safe && health.warnings.contains(&wanted), "{wanted}: {health:?}");
        Ok(())
    }

    /// Of a server that a handle was opened on while it was safe.
    async fn check(&self, uri: &str, before: &SqlDrivers) -> anyhow::Result<()> {
        self.check_opening(open(uri).await)?;
        self.check_health(&health(before).await?)
    }
}

async fn open(uri: &str) -> Result<SqlDrivers, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    zaqar_storage_sql::open(uri, OpenOptions::new(clock)).await
}

/// The first answer: a session that ended with the server is found out by who uses it.
async fn health(drivers: &SqlDrivers) -> anyhow::Result<Health> {
    let mut last = None;
    for _ in 0..ASKED_MAX {
        match drivers.data.health().await {
            Ok(health) => return Ok(health),
            Err(error) => last = Some(error),
        }
    }
    bail!("health was not answered: {last:?}")
}

fn is_absent(service: Service) -> anyhow::Result<bool> {
    Ok(zaqar_testbed::uri_unless_absent(service)?.is_none())
}

#[tokio::test]
async fn each_unsafe_setting_of_postgresql_is_refused_by_name() -> anyhow::Result<()> {
    if is_absent(Service::Postgres)? {
        return Ok(());
    }
    let mut server = Backend::start(Service::Postgres, Options::new())?;
    let drivers = open(&server.uri()).await?;
    for wanted in [
        refusal("fsync", "off", "on"),
        refusal("full_page_writes", "off", "on"),
        refusal("data_sync_retry", "on", "off"),
        refusal("zero_damaged_pages", "on", "off"),
        refusal("ignore_checksum_failure", "on", "off"),
    ] {
        let setting = format!("{}={}", wanted.setting, wanted.value);
        server.restart_with(["-c".to_owned(), setting])?;
        wanted.check(&server.uri(), &drivers).await?;
    }
    server.restart_with(NOTHING)?;
    let health = health(&drivers).await?;
    ensure!(health.safe, "{health:?}");
    // Made without checksums: an operator should know, and that is no reason to refuse.
    let known = health.warnings.iter().any(|text| text.contains("data_checksums is off"));
    ensure!(known, "{health:?}");
    open(&server.uri()).await?.data.close().await;
    drivers.data.close().await;
    server.stop()
}

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn commits_that_a_synchronous_standby_may_not_have_are_refused() -> anyhow::Result<()> {
    if is_absent(Service::Postgres)? {
        return Ok(());
    }
    let standbys = ["-c", "synchronous_standby_names=elsewhere"];
    let server = Backend::start(Service::Postgres, Options::new().arguments(standbys))?;
    let local = format!("{}?options[synchronous_commit]=local", server.uri());
    let wanted = refusal(
        "synchronous_commit of a fresh session",
        "local (source client)",
        "on or remote_apply, set by the client (no pooler in between)",
    );
    wanted.check_opening(open(&local).await)?;
    server.stop()
}

#[tokio::test]
async fn a_standby_is_refused_and_a_primary_that_became_one_is_noticed() -> anyhow::Result<()> {
    if is_absent(Service::Postgres)? {
        return Ok(());
    }
    // The server's user must get into it, too.
    let folder = tempfile::Builder::new().permissions(open_to_all()).tempdir()?;
    let options = Options::new().folder(folder.path());
    let mut server = Backend::start(Service::Postgres, options)?;
    let drivers = open(&server.uri()).await?;
    std::fs::write(folder.path().join("postgres-0/data/standby.signal"), "")?;
    server.restart_with(NOTHING)?;
    let wanted = refusal("pg_is_in_recovery", "true", "false: the primary");
    wanted.check(&server.uri(), &drivers).await?;
    drivers.data.close().await;
    server.stop()
}

fn open_to_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o755)
}

#[tokio::test]
async fn each_unsafe_setting_of_mariadb_is_refused_by_name() -> anyhow::Result<()> {
    if is_absent(Service::Mysql)? {
        return Ok(());
    }
    let mut server = Backend::start(Service::Mysql, Options::new())?;
    let drivers = open(&server.uri()).await?;
    const FLUSHES: &str = "one that flushes";
    for (arguments, wanted) in [
        ("--innodb-flush-log-at-trx-commit=0", FLUSHED.with("0")),
        ("--innodb-flush-log-at-trx-commit=2", FLUSHED.with("2")),
        (
            "--skip-innodb-doublewrite",
            refusal("innodb_doublewrite", "OFF", "ON or DETECT_AND_RECOVER"),
        ),
        ("--innodb-force-recovery=1", refusal("innodb_force_recovery", "1", "0")),
        ("--innodb-flush-method=nosync", refusal("innodb_flush_method", "nosync", FLUSHES)),
        ("--innodb-flush-method=littlesync", refusal("innodb_flush_method", "littlesync", FLUSHES)),
        ("--wsrep-on=ON", refusal("wsrep_on", "ON", "OFF")),
        (
            "--log-bin=changes --sync-binlog=0",
            refusal("sync_binlog", "0", "1, where log_bin is on"),
        ),
    ] {
        server.restart_with(arguments.split(' '))?;
        wanted.check(&server.uri(), &drivers).await.context(arguments)?;
    }
    server.restart_with(["--log-bin=changes", "--sync-binlog=1"])?;
    let health = health(&drivers).await?;
    ensure!(health.safe, "{health:?}");
    open(&server.uri()).await?.data.close().await;
    drivers.data.close().await;
    server.stop()
}

const FLUSHED: Refusal = refusal("innodb_flush_log_at_trx_commit", "", "1 or 3");

impl Refusal {
    const fn with(self, value: &'static str) -> Self {
        Self { value, ..self }
    }
}

#[tokio::test]
async fn a_mariadb_that_takes_no_writes_is_refused_before_anything_is_changed() -> anyhow::Result<()>
{
    if is_absent(Service::Mysql)? {
        return Ok(());
    }
    let mut server = Backend::start(Service::Mysql, Options::new())?;
    let drivers = open(&server.uri()).await?;
    for (argument, setting) in
        [("--read-only", "read_only"), ("--innodb-read-only", "innodb_read_only")]
    {
        server.restart_with([argument])?;
        refusal(setting, "ON", "OFF: the primary").check_opening(open(&server.uri()).await)?;
        refusal(setting, "ON", "OFF or 0").check_health(&health(&drivers).await?)?;
    }
    drivers.data.close().await;
    server.stop()
}

#[tokio::test]
async fn tables_and_statements_that_mariadb_would_lose_or_refuse_are_named() -> anyhow::Result<()> {
    if is_absent(Service::Mysql)? {
        return Ok(());
    }
    let server = Backend::start(Service::Mysql, Options::new())?;
    let drivers = open(&server.uri()).await?;
    for (spoil, mend, wanted) in [
        (
            "ALTER TABLE releases ENGINE = MyISAM",
            "ALTER TABLE releases ENGINE = InnoDB",
            refusal("engine of table releases", "MyISAM", "InnoDB"),
        ),
        (
            "ALTER TABLE releases ADD COLUMN name VARCHAR(9) CHARACTER SET utf8mb4",
            "ALTER TABLE releases DROP COLUMN name",
            refusal("collation of column releases.name", "a text's", "binary"),
        ),
    ] {
        run_in_mariadb(&server.uri(), spoil).await?;
        wanted.check(&server.uri(), &drivers).await?;
        run_in_mariadb(&server.uri(), mend).await?;
        ensure!(health(&drivers).await?.safe, "after {mend}");
    }
    run_in_mariadb(&server.uri(), "SET GLOBAL max_allowed_packet = 4194304").await?;
    refusal("max_allowed_packet", "4194304", "at least 16777216")
        .check_health(&health(&drivers).await?)?;
    refusal("max_allowed_packet", "4194304", "at least 16777216, twice the largest batch of posts")
        .check_opening(open(&server.uri()).await)?;
    drivers.data.close().await;
    server.stop()
}

async fn run_in_mariadb(uri: &str, text: &'static str) -> anyhow::Result<()> {
    let mut connection = uri.parse::<MySqlConnectOptions>()?.connect().await?;
    sqlx::raw_sql(text).execute(&mut connection).await?;
    Ok(())
}
