//! The schema's version: brought up to date under a lock, refused when it is newer than ours.
//!
//! Statements of DDL commit by themselves, so a migration that was cut short is simply run again:
//! every statement of it may be.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::mysql::MySqlConnection;
use zaqar_core::OpenError;

use super::error::open_failed;
use super::row::SqlRow;
use super::sql::{Script, Sql, sql};
use super::step::run;

/// Every version of the schema and how to get there from the one before.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/mysql/0001_initial.sql")),
    (2, include_str!("../../migrations/mysql/0002_durable_before_seen.sql")),
    (3, include_str!("../../migrations/mysql/0003_catalogue.sql")),
    (4, include_str!("../../migrations/mysql/0004_live_moves.sql")),
    (5, include_str!("../../migrations/mysql/0005_dead_letter_origins.sql")),
];

/// Serialises the migrations of a database; the name is the server's, so it holds the database's.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('zaqar.', MD5(DATABASE())), 60)";
const UNLOCK: &str = "SELECT RELEASE_LOCK(CONCAT('zaqar.', MD5(DATABASE())))";

/// Brings the schema to this version; refuses one that a newer version wrote.
pub(crate) async fn migrate(connection: &mut MySqlConnection) -> Result<(), OpenError> {
    let supported = MIGRATIONS.iter().map(|(version, _)| *version).max().unwrap_or(0);
    if version(connection).await? == supported {
        return Ok(());
    }
    let locked = one(connection, sql(LOCK)).await?;
    let locked: Option<i64> = locked.map_or(Ok(None), |row| row.try_get(0)).map_err(open_failed)?;
    if locked != Some(1) {
        let reason = "another process is migrating the schema and does not finish";
        return Err(OpenError::Backend { source: reason.into() });
    }
    // A failure leaves the lock to the end of the session, which the caller drops.
    let found = version(connection).await?;
    if found > supported {
        return Err(OpenError::SchemaTooNew { found, supported });
    }
    for (version, statements) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        raw(connection, statements).await?;
        let write = sql("REPLACE INTO schema_version (only_one, version) VALUES (1, $1)");
        script(connection, vec![write.bind(*version)]).await?;
    }
    script(connection, vec![sql(UNLOCK)]).await
}

/// The version of the schema; 0 if there is none.
async fn version(connection: &mut MySqlConnection) -> Result<i64, OpenError> {
    let known = sql("SELECT 1 FROM information_schema.tables \
         WHERE table_schema = DATABASE() AND table_name = 'schema_version'");
    if one(connection, known).await?.is_none() {
        return Ok(0);
    }
    let found = one(connection, sql("SELECT version FROM schema_version")).await?;
    found.map_or(Ok(0), |row| row.try_get(0)).map_err(open_failed)
}

async fn one(
    connection: &mut MySqlConnection,
    statement: Sql,
) -> Result<Option<SqlRow>, OpenError> {
    let script = Script::of([statement]).map_err(open_failed)?;
    let mut answers = run(connection, script).await.map_err(open_failed)?;
    Ok(answers.take(0).into_iter().next())
}

async fn script(connection: &mut MySqlConnection, statements: Vec<Sql>) -> Result<(), OpenError> {
    let script = Script::of(statements).map_err(open_failed)?;
    run(connection, script).await.map(drop).map_err(open_failed)
}

/// Runs a migration's text.
async fn raw(connection: &mut MySqlConnection, text: &str) -> Result<(), OpenError> {
    let text: Arc<str> = text.into();
    let done = sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await;
    done.map(drop).map_err(open_failed)
}
