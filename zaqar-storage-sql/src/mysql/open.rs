//! Opening a store: the first session, its settings, migrations, and who the store is.

use std::sync::Arc;

use sqlx::mysql::MySqlConnection;
use zaqar_core::{DriverInfo, OpenError};
use zaqar_storage_lanes::{Gate, LaneLimits, Lanes};

use crate::connections::Connections;
use crate::control::Control;
use crate::findings::{Finding, refuse};
use crate::{OpenOptions, SqlDrivers};

use super::config::MySqlConfig;
use super::driver::{MyData, Store};
use super::durable;
use super::durable::Horizon;
use super::error::open_failed;
use super::health::Watch;
use super::memory::Memory;
use super::migrate::migrate;
use super::posts::PostLane;
use super::removals::RemovalLane;
use super::server::Server;
use super::session::MyDial;
use super::settings;
use super::sql::{Script, Sql, sql};
use super::step::{Answers, run};
use super::takes::TakeLane;

/// Opens the store at `uri`.
pub(crate) async fn open(uri: &str, options: OpenOptions) -> Result<SqlDrivers, OpenError> {
    let config = MySqlConfig::parse(uri)?;
    let dial = MyDial { options: config.options.clone() };
    let (mut connection, packet_max) = dial.first(&config.database).await?;
    refuse_read_only(&mut connection).await?;
    migrate(&mut connection).await?;
    durable::mark(&mut connection).await.map_err(open_failed)?;
    // An older copy of the store shows a lower count of openings than this handle has seen.
    let count = sql("UPDATE store SET epoch = epoch + 1");
    script(&mut connection, vec![count]).await?;
    let answers = script(&mut connection, settings::look()).await?;
    let findings = settings::read(&answers).map_err(open_failed)?;
    refuse(&findings.unsafe_settings, options.unreliable)?;
    let limits = LaneLimits::new();
    let gate = Gate::new(config.connections, limits.waiting_max);
    let server = Arc::new(Server {
        connections: Connections::with(dial, connection),
        gate: Arc::clone(&gate),
        memory: Memory::new(Arc::clone(&options.clock)),
        clock: options.clock,
        horizon: Horizon::default(),
        packet_max,
    });
    let info = DriverInfo {
        name: "mysql",
        version: env!("CARGO_PKG_VERSION"),
        backend: findings.version.clone(),
        location: config.location(),
    };
    let posts = Lanes::new(PostLane::new(Arc::clone(&server)), Some(gate), limits);
    let takes = Lanes::new(TakeLane { server: Arc::clone(&server) }, None, limits);
    let removals = Lanes::new(RemovalLane { server: Arc::clone(&server) }, None, limits);
    let watch = Arc::new(Watch::of(&config.database, &findings));
    let store = Arc::new(Store { server, posts, takes, removals, info, watch });
    Ok(SqlDrivers {
        control: Arc::new(Control { store: Arc::clone(&store) }),
        data: Arc::new(MyData { store }),
    })
}

/// A replica, or another server that takes no writes, takes no migration either: told apart before.
async fn refuse_read_only(connection: &mut MySqlConnection) -> Result<(), OpenError> {
    let ask = sql("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('read_only', 'innodb_read_only')");
    let answers = script(connection, vec![ask]).await?;
    for row in answers.rows(0) {
        let read = || Ok((row.try_get::<&str>(0)?.to_lowercase(), row.try_get::<&str>(1)?));
        let (setting, value) = read().map_err(open_failed)?;
        if !matches!(value, "OFF" | "0") {
            return Err(Finding::new(&setting, value, "OFF: the primary").into());
        }
    }
    Ok(())
}

async fn script(
    connection: &mut MySqlConnection,
    statements: Vec<Sql>,
) -> Result<Answers, OpenError> {
    let script = Script::of(statements).map_err(open_failed)?;
    run(connection, script).await.map_err(open_failed)
}
