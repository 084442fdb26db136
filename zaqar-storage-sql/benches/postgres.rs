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
use servers::{CALLERS, ROUND, Raw, body, compare, total};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::task::JoinSet;
use zaqar_testbed::Service;

const SCHEMA: &str = "zaqar_bench";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let uri = zaqar_testbed::uri(Service::Postgres).context("no PostgreSQL server is known")?;
    compare(&Postgres { uri }).await
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
             PRIMARY KEY, queue bigint, expires bigint, body text)"
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

    fn uri(&self) -> String {
        let mark = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{mark}schema={SCHEMA}", self.uri)
    }
}

async fn run(connection: &mut PgConnection, text: String) -> Result<()> {
    let text: Arc<str> = text.into();
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}
