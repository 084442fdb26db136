//! The hot paths on PostgreSQL beside the raw server, at the same durability, in the same run.
//!
//! `cargo bench -p zaqar-storage-sql --features postgres --bench postgres`, with
//! `ZAQAR_TEST_POSTGRES_URI` or after `cargo xtask services up`, prints a line for each: what it did,
//! how many messages a second, and the ratio to the raw loop. Rounds alternate, so that a busy
//! machine slows both sides; trust the ratios.

mod servers;

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use servers::{CALLERS, LEASE_MS, ROUND, Raw, TENS, body, total};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tokio::task::JoinSet;
use zaqar_core::{ClaimId, Clock as _, DisciplinedClock};
use zaqar_testbed::Service;

const SCHEMA: &str = "zaqar_bench";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let uri = zaqar_testbed::uri(Service::Postgres).context("no PostgreSQL server is known")?;
    servers::run(&Postgres { uri }).await
}

struct Postgres {
    uri: String,
}

impl Postgres {
    async fn connect(&self) -> Result<PgConnection> {
        let options: PgConnectOptions = self.uri.parse()?;
        let settings = [("search_path", SCHEMA), ("synchronous_commit", "on")];
        Ok(options.options(settings).connect().await?)
    }
}

impl Raw for Postgres {
    async fn clear(&self) -> Result<()> {
        let mut connection = self.connect().await?;
        let text = format!(
            "SET client_min_messages = error; DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CHECKPOINT"
        );
        run(&mut connection, text).await?;
        Ok(connection.close().await?)
    }

    async fn inserts(&self, batch: usize) -> Result<f64> {
        let mut connection = self.connect().await?;
        let make = format!(
            "CREATE SCHEMA {SCHEMA}; CREATE TABLE m (id bigint GENERATED ALWAYS AS IDENTITY \
             PRIMARY KEY, queue bigint, expires bigint, until bigint NOT NULL DEFAULT 0, \
             claim bytea, body text)"
        );
        run(&mut connection, make).await?;
        let mut connections = Vec::new();
        for _ in 0..CALLERS {
            connections.push(self.connect().await?);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in connections {
            tasks.spawn(async move {
                let (body, mut stored) = (body(), 0);
                while start.elapsed() < ROUND {
                    sqlx::query(
                        "INSERT INTO m (queue, expires, body) SELECT 1, 2000000000000, * \
                         FROM unnest($1::text[])",
                    )
                    .bind(vec![body.as_str(); batch])
                    .execute(&mut connection)
                    .await?;
                    stored += batch;
                }
                connection.close().await?;
                anyhow::Ok(stored)
            });
        }
        total(tasks, start).await
    }

    async fn claims(&self) -> Result<f64> {
        let mut connections = Vec::new();
        for _ in 0..CALLERS {
            connections.push(self.connect().await?);
        }
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in connections {
            tasks.spawn(async move {
                let (clock, mut done) = (DisciplinedClock::from_system(), 0);
                while start.elapsed() < ROUND {
                    let now = clock.now().as_millis();
                    match claim_and_delete(&mut connection, now).await? {
                        0 => break,
                        rows => done += rows,
                    }
                }
                connection.close().await?;
                anyhow::Ok(done)
            });
        }
        total(tasks, start).await
    }

    fn uri(&self) -> String {
        let mark = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{mark}schema={SCHEMA}", self.uri)
    }
}

/// Leases up to ten rows, then deletes those that are still held; a statement each.
async fn claim_and_delete(connection: &mut PgConnection, now: i64) -> Result<usize> {
    let claim = ClaimId::random().as_bytes().to_vec();
    let rows = sqlx::query(
        "WITH free AS MATERIALIZED (SELECT id FROM m WHERE queue = 1 AND until <= $1 \
           ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED) \
         UPDATE m SET until = $3, claim = $4 FROM free WHERE m.id = free.id \
         RETURNING m.id, m.body",
    )
    .bind(now)
    .bind(TENS as i64)
    .bind(now + LEASE_MS)
    .bind(&claim)
    .fetch_all(&mut *connection)
    .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let removed = sqlx::query("DELETE FROM m WHERE id = ANY($1) AND claim = $2 AND until > $3")
        .bind(ids)
        .bind(claim)
        .bind(now)
        .execute(&mut *connection)
        .await?;
    anyhow::ensure!(removed.rows_affected() == rows.len() as u64, "a claimed row went");
    Ok(rows.len())
}

async fn run(connection: &mut PgConnection, text: String) -> Result<()> {
    let text: Arc<str> = text.into();
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}
