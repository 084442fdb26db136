//! The hot paths on MariaDB or MySQL beside the raw server, at the same durability, in the same run.
//!
//! `cargo bench -p zaqar-storage-sql --features mysql --bench mysql`, with `ZAQAR_TEST_MYSQL_URI` or
//! after `cargo xtask services up`, prints a line for each: what it did, how many messages a second,
//! and the ratio to the raw loop. Rounds alternate, so that a busy machine slows both sides; trust
//! the ratios.

mod servers;

use std::time::Instant;

use anyhow::{Context, Result};
use servers::{CALLERS, LEASE_MS, ROUND, Raw, TENS, body, total};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row as _};
use tokio::task::JoinSet;
use zaqar_core::{ClaimId, Clock as _, DisciplinedClock};
use zaqar_testbed::Service;

const DATABASE: &str = "zaqar_bench";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let uri = zaqar_testbed::uri(Service::Mysql).context("no MySQL server is known")?;
    servers::run(&MySql { uri }).await
}

struct MySql {
    uri: String,
}

impl MySql {
    async fn connect(&self) -> Result<MySqlConnection> {
        let options: MySqlConnectOptions = self.uri.parse()?;
        Ok(options.connect().await?)
    }
}

impl Raw for MySql {
    async fn clear(&self) -> Result<()> {
        let mut connection = self.connect().await?;
        run(&mut connection, format!("DROP DATABASE IF EXISTS {DATABASE}")).await?;
        Ok(connection.close().await?)
    }

    async fn inserts(&self, batch: usize) -> Result<f64> {
        let mut connection = self.connect().await?;
        run(&mut connection, format!("CREATE DATABASE {DATABASE}")).await?;
        let make = format!(
            "CREATE TABLE {DATABASE}.m (id bigint AUTO_INCREMENT PRIMARY KEY, queue bigint, \
             expires bigint, until bigint NOT NULL DEFAULT 0, claim binary(16), body longtext) \
             ENGINE = InnoDB"
        );
        run(&mut connection, make).await?;
        let mut connections = Vec::new();
        for _ in 0..CALLERS {
            connections.push(self.connect().await?);
        }
        let rows = vec!["(1, 2000000000000, ?)"; batch].join(", ");
        let insert = format!("INSERT INTO {DATABASE}.m (queue, expires, body) VALUES {rows}");
        let start = Instant::now();
        let mut tasks = JoinSet::new();
        for mut connection in connections {
            let insert = insert.clone();
            tasks.spawn(async move {
                let (body, mut stored) = (body(), 0);
                while start.elapsed() < ROUND {
                    let mut query = sqlx::query(AssertSqlSafe(insert.as_str()));
                    for _ in 0..batch {
                        query = query.bind(&body);
                    }
                    query.execute(&mut connection).await?;
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
            let mut connection = self.connect().await?;
            let level = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
            run(&mut connection, level.to_owned()).await?;
            connections.push(connection);
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
        let (base, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
        format!("{server}/{DATABASE}?{query}")
    }
}

/// Leases up to ten rows in a transaction, then deletes those that are still held.
async fn claim_and_delete(connection: &mut MySqlConnection, now: i64) -> Result<usize> {
    let claim = ClaimId::random().as_bytes().to_vec();
    let mut transaction = connection.begin().await?;
    let select = format!(
        "SELECT id, body FROM {DATABASE}.m WHERE queue = 1 AND until <= ? ORDER BY id \
         LIMIT {TENS} FOR UPDATE SKIP LOCKED"
    );
    let rows = sqlx::query(AssertSqlSafe(select)).bind(now).fetch_all(&mut *transaction).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let ids = vec!["?"; rows.len()].join(", ");
    let hold = format!("UPDATE {DATABASE}.m SET until = ?, claim = ? WHERE id IN ({ids})");
    let mut hold = sqlx::query(AssertSqlSafe(hold)).bind(now + LEASE_MS).bind(claim.clone());
    for row in &rows {
        hold = hold.bind(row.try_get::<i64, _>(0)?);
    }
    hold.execute(&mut *transaction).await?;
    transaction.commit().await?;
    let remove =
        format!("DELETE FROM {DATABASE}.m WHERE id IN ({ids}) AND claim = ? AND until > ?");
    let mut remove = sqlx::query(AssertSqlSafe(remove));
    for row in &rows {
        remove = remove.bind(row.try_get::<i64, _>(0)?);
    }
    let removed = remove.bind(claim).bind(now).execute(&mut *connection).await?;
    anyhow::ensure!(removed.rows_affected() == rows.len() as u64, "a claimed row went");
    Ok(rows.len())
}

async fn run(connection: &mut MySqlConnection, text: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}
