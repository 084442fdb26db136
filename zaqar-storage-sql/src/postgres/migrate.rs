//! The schema's version: brought up to date under a lock, refused when it is newer than ours.

use std::sync::Arc;

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};
use zaqar_core::OpenError;

use super::error::open_failed;

/// Every version of the schema and how to get there from the one before.
const MIGRATIONS: &[(i64, &str)] = &[
    (1, include_str!("../../migrations/postgres/0001_initial.sql")),
    (2, include_str!("../../migrations/postgres/0002_catalogue.sql")),
    (3, include_str!("../../migrations/postgres/0003_live_moves.sql")),
    (4, include_str!("../../migrations/postgres/0004_dead_letter_origins.sql")),
];

/// Serialises migrations of all stores in a database; the number is ours alone.
const LOCK: i64 = 0x7a61_7161_7253_514c;

/// Brings the schema to this version; refuses one that a newer version wrote.
pub(crate) async fn migrate(connection: &mut PgConnection, schema: &str) -> Result<(), OpenError> {
    let supported = MIGRATIONS.iter().map(|(version, _)| *version).max().unwrap_or(0);
    if version(connection, schema).await? == supported {
        return Ok(());
    }
    // One transaction: the schema is of the old version or of the new one, whatever happens.
    run(
        connection,
        // Read committed: what is looked at after the lock must be what its last holder left.
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; \
             SELECT pg_advisory_xact_lock({LOCK})"
        ),
    )
    .await?;
    let found = version(connection, schema).await?;
    if found > supported {
        run(connection, "ROLLBACK".to_owned()).await?;
        return Err(OpenError::SchemaTooNew { found, supported });
    }
    let mut script = String::new();
    if found == 0 {
        script.push_str(&format!(
            "DO $$ BEGIN IF to_regnamespace('{schema}') IS NULL THEN \
               CREATE SCHEMA {schema}; END IF; END $$;\
             CREATE TABLE {schema}.schema_version (version bigint NOT NULL);\
             INSERT INTO {schema}.schema_version (version) VALUES (0);\n"
        ));
    }
    for (version, statements) in MIGRATIONS.iter().filter(|(version, _)| *version > found) {
        script.push_str(statements);
        script.push_str(&format!("UPDATE {schema}.schema_version SET version = {version};\n"));
    }
    script.push_str("COMMIT");
    run(connection, script).await
}

/// The version of the schema; 0 if there is none.
async fn version(connection: &mut PgConnection, schema: &str) -> Result<i64, OpenError> {
    // From the catalogue itself: `to_regclass` answers from the session's cache, which within a
    // transaction does not notice what others committed while this one waited for the lock.
    let known: bool = sqlx::query(
        "SELECT EXISTS (SELECT 1 FROM pg_class AS c \
           JOIN pg_namespace AS n ON n.oid = c.relnamespace \
           WHERE n.nspname = $1 AND c.relname = 'schema_version')",
    )
    .bind(schema)
    .fetch_one(&mut *connection)
    .await
    .and_then(|row| row.try_get(0))
    .map_err(open_failed)?;
    if !known {
        return Ok(0);
    }
    let select = format!("SELECT version FROM {schema}.schema_version");
    let row = sqlx::query(AssertSqlSafe(select)).fetch_one(connection).await;
    row.and_then(|row| row.try_get(0)).map_err(open_failed)
}

/// Runs a script of ours; the schema's name in it was checked to need no quoting.
async fn run(connection: &mut PgConnection, script: String) -> Result<(), OpenError> {
    let script: Arc<str> = script.into();
    let done = sqlx::raw_sql(AssertSqlSafe(script)).execute(connection).await;
    done.map(drop).map_err(open_failed)
}
