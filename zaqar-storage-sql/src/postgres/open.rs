//! Opening a store: the first session, its settings, migrations, and who the store is.

use std::sync::Arc;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use zaqar_core::{DriverInfo, OpenError};
use zaqar_storage_lanes::{Gate, LaneLimits, Lanes};

use crate::connections::Connections;
use crate::{OpenOptions, SqlDrivers};

use super::config::PostgresConfig;
use super::driver::{PgControl, PgData, Store};
use super::error::open_failed;
use super::health::Watch;
use super::memory::Memory;
use super::migrate::migrate;
use super::posts::PostLane;
use super::server::Server;
use super::session::PgDial;
use super::settings::{self, Finding, Findings};

/// Opens the store at `uri`.
pub(crate) async fn open(uri: &str, options: OpenOptions) -> Result<SqlDrivers, OpenError> {
    let config = PostgresConfig::parse(uri)?;
    let dial = PgDial { options: config.options.clone(), unreliable: options.unreliable };
    let (mut connection, level) = dial.first().await?;
    refuse_standby(&mut connection, options.unreliable).await?;
    migrate(&mut connection, &config.schema).await?;
    count_opening(&mut connection, &config.schema).await?;
    let (findings, version) = examine(&mut connection, &config.schema).await?;
    if let (Some(finding), false) = (findings.unsafe_settings.first(), options.unreliable) {
        let Finding { setting, value, safe } = finding.clone();
        return Err(OpenError::Unsafe { setting, value, safe });
    }
    for warning in &findings.warnings {
        tracing::warn!(location = %config.location(), "{warning}");
    }
    let limits = LaneLimits::new();
    let gate = Gate::new(config.connections, limits.waiting_max);
    let server = Arc::new(Server {
        connections: Connections::with(dial, connection),
        gate: Arc::clone(&gate),
        clock: options.clock,
        memory: Memory::default(),
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
        control: Arc::new(PgControl { store: Arc::clone(&store) }),
        data: Arc::new(PgData { store }),
    })
}

/// A standby takes no migration either, so it is told apart before.
async fn refuse_standby(connection: &mut PgConnection, unreliable: bool) -> Result<(), OpenError> {
    let row = one(connection, "SELECT pg_is_in_recovery()".to_owned()).await?;
    if row.try_get(0).map_err(open_failed)? && !unreliable {
        return Err(OpenError::Unsafe {
            setting: "pg_is_in_recovery".to_owned(),
            value: "true".to_owned(),
            safe: "false: the primary".to_owned(),
        });
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
