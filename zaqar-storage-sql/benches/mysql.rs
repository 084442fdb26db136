//! The hot paths on MariaDB or MySQL beside the raw server, at the same durability, in the same run.
//!
//! `cargo bench -p zaqar-storage-sql --features mysql --bench mysql`, with `ZAQAR_TEST_MYSQL_URI` or
//! after `cargo xtask services up`, prints a line for each: what it did, how many messages a second,
//! and the ratio to the raw loop. Rounds alternate, so that a busy machine slows both sides; trust
//! the ratios.

mod servers;

use std::time::Instant;

use anyhow::{Context, Result};
use servers::{CALLERS, ROUND, Raw, body, compare, total};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tokio::task::JoinSet;
use zaqar_testbed::Service;

const DATABASE: &str = "zaqar_bench";

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo passes --bench; a plain test run of the bench target does nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    let uri = zaqar_testbed::uri(Service::Mysql).context("no MySQL server is known")?;
    compare(&MySql { uri }).await
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
             expires bigint, body longtext) ENGINE = InnoDB"
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

    fn uri(&self) -> String {
        let (base, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
        format!("{server}/{DATABASE}?{query}")
    }
}

async fn run(connection: &mut MySqlConnection, text: String) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(text)).execute(connection).await?;
    Ok(())
}
