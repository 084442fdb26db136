//! The conformance suite over MySQL and MariaDB: a database of the shared server for each namespace.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_conformance::{
    Availability, Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver,
};
use zaqar_core::Clock;
use zaqar_storage_sql::{OpenOptions, scratch};
use zaqar_testbed::Service;

/// Connections of each handle: enough to race, few enough for many cases at once.
const CONNECTIONS: usize = 8;

struct MySqlHarness {
    uri: String,
}

impl MySqlHarness {
    fn new(server: &str) -> Self {
        let mark = if server.contains('?') { '&' } else { '?' };
        Self { uri: format!("{server}{mark}connections={CONNECTIONS}") }
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
        let uri = scratch::uri(&self.uri, ns.as_str())?;
        let drivers = zaqar_storage_sql::open(&uri, OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        Ok(scratch::remove(&self.uri, ns.as_str()).await?)
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

zaqar_conformance::main!(|| match zaqar_testbed::uri(Service::Mysql) {
    Some(uri) => Availability::from(MySqlHarness::new(&uri)),
    None => Availability::Absent {
        backend: "mysql",
        variable: "ZAQAR_TEST_MYSQL_URI",
        hint: "mysql://zaqar@127.0.0.1:3306/zaqar, or `cargo xtask services up`",
    },
});
