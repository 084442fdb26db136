//! The harness over Redis: a key prefix for each namespace.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver};
use zaqar_core::Clock;
use zaqar_storage_redis::OpenOptions;

/// Keys that one step of a wipe looks at.
const STEP: usize = 1_000;

/// How long a wipe waits for a server.
const PATIENCE: Duration = Duration::from_secs(60);

/// The suite on servers that other tests use too.
pub(crate) struct RedisHarness {
    uri: String,
    mode: &'static str,
    /// Every server that holds data.
    servers: Vec<String>,
}

impl RedisHarness {
    /// A harness over the servers at `uri`.
    pub(crate) fn new(uri: String, mode: &'static str) -> Self {
        // Tests' servers have no password; each is reached by itself to be wiped.
        let hosts = uri.split("://").nth(1).unwrap_or_default();
        let hosts = hosts.split(['/', '?']).next().unwrap_or_default();
        let scheme = if uri.starts_with("rediss") { "rediss" } else { "redis" };
        let servers = hosts.split(',').map(|host| format!("{scheme}://{host}/")).collect();
        Self { uri, mode, servers }
    }

    /// The keys are found from the namespace alone: a child process opens the same ones.
    fn uri(&self, ns: &Namespace) -> String {
        let mark = if self.uri.contains('?') { '&' } else { '?' };
        format!("{}{mark}prefix={ns}", self.uri)
    }
}

/// Removes every key of a prefix from one server. Only tests may walk all keys.
async fn wipe_server(server: &str, prefix: &str) -> anyhow::Result<()> {
    let client = redis::Client::open(server)?;
    // Servers of tests share a slow disk.
    let patient = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let connection = client.get_multiplexed_async_connection_with_config(&patient);
    let mut connection = connection.await.context("reaching the server")?;
    let mut cursor = "0".to_owned();
    loop {
        let mut scan = redis::cmd("SCAN");
        scan.arg(&cursor).arg("MATCH").arg(format!("{prefix}:*")).arg("COUNT").arg(STEP);
        let (next, keys): (String, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
        let mut unlink = redis::pipe();
        for key in &keys {
            unlink.cmd("UNLINK").arg(key).ignore();
        }
        if !keys.is_empty() {
            unlink.query_async::<()>(&mut connection).await?;
        }
        if next == "0" {
            return Ok(());
        }
        cursor = next;
    }
}

#[async_trait]
impl Harness for RedisHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "redis".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "Redis".into(),
            mode: self.mode.into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let drivers = zaqar_storage_redis::open(&self.uri(ns), OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        for server in &self.servers {
            wipe_server(server, ns.as_str()).await?;
        }
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}
