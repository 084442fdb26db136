//! Opening a store: the first session, its settings, migrations, and who the store is.

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use zaqar_core::{DriverInfo, OpenError};
use zaqar_storage_lanes::{Gate, LaneLimits, Lanes};

use crate::connections::Connections;
use crate::control::Control;
use crate::findings::{Finding, refuse};
use crate::{OpenOptions, SqlDrivers};

use super::config::PostgresConfig;
use super::driver::{PgData, Store};
use super::error::open_failed;
use super::health::Watch;
use super::memory::Memory;
use super::migrate::migrate;
use super::posts::PostLane;
use super::server::Server;
use super::session::PgDial;
use super::settings::{self, Findings};

/// Opens the store at `uri`.
pub(crate) async fn open(uri: &str, options: OpenOptions) -> Result<SqlDrivers, OpenError> {
    let config = PostgresConfig::parse(uri)?;
    let dial = PgDial { options: config.options.clone(), unreliable: options.unreliable };
    let (mut connection, level) = dial.first().await?;
    refuse_read_only(&mut connection).await?;
    migrate(&mut connection, &config.schema).await?;
    count_opening(&mut connection, &config.schema).await?;
    let (findings, version) = examine(&mut connection, &config.schema).await?;
    refuse(&findings.unsafe_settings, options.unreliable)?;
    for warning in &findings.warnings {
        tracing::warn!(location = %config.location(), "{warning}");
    }
    let limits = LaneLimits::new();
    let gate = Gate::new(config.connections, limits.waiting_max);
    let server = Arc::new(Server {
        connections: Connections::with(dial, connection),
        gate: Arc::clone(&gate),
        memory: Memory::new(Arc::clone(&options.clock)),
        clock: options.clock,
        level,
    });
    let info = DriverInfo {
        name: "postgres",
        version: env!("CARGO_PKG_VERSION"),
        backend: format!("PostgreSQL {version}"),
        location: config.location(),
    };
    let posts = Lanes::new(PostLane { server: Arc::clone(&server) }, Some(gate), limits);
    let watch = Arc::new(Watch::of(&config.schema, level, &findings));
    let store = Arc::new(Store { server, posts, info, watch });
    Ok(SqlDrivers {
        control: Arc::new(Control { store: Arc::clone(&store) }),
        data: Arc::new(PgData { store }),
    })
}

/// A standby, or a server that takes no writes, takes no migration either: told apart before.
async fn refuse_read_only(connection: &mut PgConnection) -> Result<(), OpenError> {
    let select = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') <> 'off'";
    let row = one(connection, select.to_owned()).await?;
    let checks = [
        ("pg_is_in_recovery", "true", "false: the primary"),
        ("transaction_read_only", "on", "off"),
    ];
    for (column, (setting, value, safe)) in checks.into_iter().enumerate() {
        if row.try_get(column).map_err(open_failed)? {
            return Err(Finding::new(setting, value, safe).into());
        }
    }
    Ok(())
}

/// Counts this opening: an older copy of the store shows a lower count than this handle has seen.
async fn count_opening(connection: &mut PgConnection, schema: &str) -> Result<(), OpenError> {
    let update = format!("UPDATE {schema}.store SET epoch = epoch + 1");
    let update: Arc<str> = update.into();
    let done = sqlx::query(AssertSqlSafe(update)).execute(connection).await;
    done.map(drop).map_err(open_failed)
}

async fn examine(
    connection: &mut PgConnection,
    schema: &str,
) -> Result<(Findings, String), OpenError> {
    let row = settings::look(schema).fetch_one(&mut *connection).await.map_err(open_failed)?;
    let findings = settings::read(&row).map_err(open_failed)?;
    let row = one(connection, "SHOW server_version".to_owned()).await?;
    Ok((findings, row.try_get(0).map_err(open_failed)?))
}

async fn one(connection: &mut PgConnection, text: String) -> Result<PgRow, OpenError> {
    let text: Arc<str> = text.into();
    sqlx::query(AssertSqlSafe(text)).fetch_one(connection).await.map_err(open_failed)
}
