//! The conformance suite over MySQL and MariaDB: a database of the shared server for each namespace.

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

struct MySqlHarness {
    uri: String,
}

impl MySqlHarness {
    /// The server's URI with another database in it, and our parameters.
    fn uri(&self, database: &str) -> String {
        let (base, query) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let server = base.rsplit_once('/').map_or(base, |(server, _)| server);
        format!("{server}/{database}?connections={CONNECTIONS}&{query}")
    }
}

#[async_trait]
impl Harness for MySqlHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "mysql".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "MariaDB".into(),
            mode: "server".into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        // The database is found from the namespace alone: a child process opens the same one.
        let uri = self.uri(&ns.to_string());
        let drivers = zaqar_storage_sql::open(&uri, OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        let options: sqlx::mysql::MySqlConnectOptions = self.uri.parse()?;
        let mut connection = options.connect().await.context("reaching the server")?;
        let drop = format!("DROP DATABASE IF EXISTS `{ns}`");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&mut connection).await?;
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

zaqar_conformance::main!(|| match zaqar_testbed::uri(Service::Mysql) {
    Some(uri) => Availability::from(MySqlHarness { uri }),
    None => Availability::Absent {
        backend: "mysql",
        variable: "ZAQAR_TEST_MYSQL_URI",
        hint: "mysql://zaqar@127.0.0.1:3306/zaqar, or `cargo xtask services up`",
    },
});
