//! The conformance suite over MongoDB: a database for each namespace.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use zaqar_conformance::{
    Availability, Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver,
};
use zaqar_core::Clock;
use zaqar_storage_mongo::OpenOptions;
use zaqar_testbed::Service;

/// How long nothing must have happened in a transaction whose process is taken for dead.
const IDLE: Duration = Duration::from_secs(1);

async fn end_idle_transactions(client: &Client) -> anyhow::Result<()> {
    let admin = client.database("admin");
    let idle = i64::try_from(IDLE.as_micros())?;
    let pipeline = [
        doc! { "$currentOp": { "allUsers": false, "idleSessions": true } },
        doc! { "$match": { "type": "idleSession", "transaction.timeInactiveMicros": { "$gte": idle } } },
    ];
    let mut cursor = admin.aggregate(pipeline).await?;
    while cursor.advance().await? {
        let found: Document = cursor.deserialize_current()?;
        let id = found.get_document("lsid")?.get("id").context("a session has an id")?;
        admin.run_command(doc! { "killSessions": [{ "id": id }] }).await?;
    }
    Ok(())
}

struct MongoHarness {
    uri: String,
}

impl MongoHarness {
    fn find() -> Availability {
        match zaqar_testbed::uri(Service::Mongo) {
            Some(uri) => Self { uri }.into(),
            None => Availability::Absent {
                backend: Service::Mongo.name(),
                variable: Service::Mongo.variable(),
                hint: "the URI of a replica set, or run `cargo xtask services up`",
            },
        }
    }

    /// The database is found from the namespace alone: a child process opens the same one.
    fn database(&self, ns: &Namespace) -> anyhow::Result<String> {
        let (address, options) = self.uri.split_once('?').unwrap_or((&self.uri, ""));
        let (scheme, hosts) = address.split_once("://").context("a URI has a scheme")?;
        let hosts = hosts.trim_end_matches('/');
        Ok(format!("{scheme}://{hosts}/{ns}?{options}"))
    }
}

#[async_trait]
impl Harness for MongoHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "mongodb".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "MongoDB".into(),
            mode: "replica-set".into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let uri = self.database(ns)?;
        let drivers = zaqar_storage_mongo::open(&uri, OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        let client = Client::with_uri_str(&self.uri).await?;
        let database = client.database(ns.as_str());
        let mut drop = Box::pin(database.run_command(doc! { "dropDatabase": 1 }).into_future());
        // It waits for open transactions, and everybody for it: a child that was killed left its own.
        let dropped = loop {
            match tokio::time::timeout(IDLE, &mut drop).await {
                Ok(dropped) => break dropped,
                Err(_) => end_idle_transactions(&client).await?,
            }
        };
        dropped.context("dropping the database")?;
        client.clone().shutdown().immediate(true).await;
        Ok(())
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

zaqar_conformance::main!(MongoHarness::find);
