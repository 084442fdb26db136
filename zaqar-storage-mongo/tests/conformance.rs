//! The conformance suite over MongoDB: a database for each namespace.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_conformance::{
    Availability, Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver,
};
use zaqar_core::Clock;
use zaqar_storage_mongo::{OpenOptions, scratch};
use zaqar_testbed::Service;

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
        // The database is found from the namespace alone: a child process opens the same one.
        let uri = scratch::uri(&self.uri, ns.as_str())?;
        let drivers = zaqar_storage_mongo::open(&uri, OpenOptions::new(clock)).await?;
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

zaqar_conformance::main!(MongoHarness::find);
