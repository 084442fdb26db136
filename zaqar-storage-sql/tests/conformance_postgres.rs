//! The conformance suite over PostgreSQL: a schema of the shared server for each namespace.

use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use zaqar_conformance::{
    Availability, Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver,
};
use zaqar_core::Clock;
use zaqar_storage_sql::OpenOptions;
use zaqar_testbed::Service;

/// Connections of each handle: enough to race, few enough for many cases at once.
const CONNECTIONS: usize = 8;

struct PostgresHarness {
    uri: String,
}

impl PostgresHarness {
    /// The schema is found from the namespace alone: a child process opens the same one.
    fn uri(&self, ns: &Namespace) -> String {
        let mark = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{mark}schema={ns}&connections={CONNECTIONS}", self.uri)
    }
}

#[async_trait]
impl Harness for PostgresHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "postgres".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "PostgreSQL".into(),
            mode: "server".into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let drivers = zaqar_storage_sql::open(&self.uri(ns), OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        let options: sqlx::postgres::PgConnectOptions = self.uri.parse()?;
        // What a test leaves behind need not survive a crash.
        let options = options.options([("synchronous_commit", "off")]);
        let mut connection = options.connect().await.context("reaching the server")?;
        let drop = format!("DROP SCHEMA IF EXISTS {ns} CASCADE");
        sqlx::query("SET client_min_messages = error").execute(&mut connection).await?;
        sqlx::query(AssertSqlSafe(drop)).execute(&mut connection).await?;
        connection.close().await?;
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

zaqar_conformance::main!(|| match zaqar_testbed::uri(Service::Postgres) {
    Some(uri) => Availability::from(PostgresHarness { uri }),
    None => Availability::Absent {
        backend: "postgres",
        variable: "ZAQAR_TEST_POSTGRES_URI",
        hint: "postgres://postgres@127.0.0.1:5432/postgres, or `cargo xtask services up`",
    },
});
