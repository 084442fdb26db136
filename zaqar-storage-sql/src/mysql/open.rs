//! Opening a store: the first session, its settings, migrations, and who the store is.

use std::sync::Arc;

use sqlx::mysql::MySqlConnection;
use zaqar_core::{DriverInfo, OpenError};
use zaqar_storage_lanes::{Gate, LaneLimits, Lanes};

use crate::connections::Connections;
use crate::{OpenOptions, SqlDrivers};

use super::config::MySqlConfig;
use super::driver::{MyControl, MyData, Store};
use super::error::open_failed;
use super::health::Watch;
use super::memory::Memory;
use super::migrate::migrate;
use super::posts::PostLane;
use super::server::Server;
use super::session::MyDial;
use super::settings::{self, Finding, Findings};
use super::sql::{Script, Sql, sql};
use super::step::{Answers, run};

/// Opens the store at `uri`.
pub(crate) async fn open(uri: &str, options: OpenOptions) -> Result<SqlDrivers, OpenError> {
    let config = MySqlConfig::parse(uri)?;
    let dial = MyDial { options: config.options.clone() };
    let (mut connection, packet_max) = dial.first(&config.database).await?;
    refuse_read_only(&mut connection).await?;
    migrate(&mut connection).await?;
    // An older copy of the store shows a lower count of openings than this handle has seen.
    let count = sql("UPDATE store SET epoch = epoch + 1");
    script(&mut connection, vec![count]).await?;
    let answers = script(&mut connection, settings::look()).await?;
    let findings = settings::read(&answers).map_err(open_failed)?;
    if !options.unreliable {
        refuse_unsafe(&findings)?;
    }
    let limits = LaneLimits::new();
    let gate = Gate::new(config.connections, limits.waiting_max);
    let server = Arc::new(Server {
        connections: Connections::with(dial, connection),
        gate: Arc::clone(&gate),
        clock: options.clock,
        memory: Memory::default(),
        packet_max,
    });
    let info = DriverInfo {
        name: "mysql",
        version: env!("CARGO_PKG_VERSION"),
        backend: findings.version.clone(),
        location: config.location(),
    };
    let posts = Lanes::new(PostLane { server: Arc::clone(&server) }, Some(gate), limits);
    let watch = Arc::new(Watch::of(&config.database, &findings));
    let store = Arc::new(Store { server, posts, info, watch });
    Ok(SqlDrivers {
        control: Arc::new(MyControl { store: Arc::clone(&store) }),
        data: Arc::new(MyData { store }),
    })
}

fn refuse_unsafe(findings: &Findings) -> Result<(), OpenError> {
    match findings.unsafe_settings.first() {
        Some(Finding { setting, value, safe }) => Err(OpenError::Unsafe {
            setting: setting.clone(),
            value: value.clone(),
            safe: safe.clone(),
        }),
        None => Ok(()),
    }
}

/// A replica, or another server that takes no writes, takes no migration either: told apart before.
async fn refuse_read_only(connection: &mut MySqlConnection) -> Result<(), OpenError> {
    let ask = sql("SHOW GLOBAL VARIABLES LIKE 'read_only'");
    let answers = script(connection, vec![ask]).await?;
    let value = answers.rows(0).first().map_or(Ok("unknown"), |row| row.try_get(1));
    match value.map_err(open_failed)? {
        "OFF" | "0" => Ok(()),
        value => Err(OpenError::Unsafe {
            setting: "read_only".to_owned(),
            value: value.to_owned(),
            safe: "OFF: the primary".to_owned(),
        }),
    }
}

async fn script(
    connection: &mut MySqlConnection,
    statements: Vec<Sql>,
) -> Result<Answers, OpenError> {
    let script = Script::of(statements).map_err(open_failed)?;
    run(connection, script).await.map_err(open_failed)
}
