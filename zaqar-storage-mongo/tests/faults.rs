//! The backend ring over MongoDB: a replica set that belongs to one trial is killed, frozen and cut
//! off under load.

use std::process::ExitCode;
use std::sync::Arc;

use zaqar_conformance::faults_main::Faults;
use zaqar_conformance::{Availability, Drivers, Namespace, Subject};
use zaqar_core::Clock;
use zaqar_storage_mongo::OpenOptions;
use zaqar_testbed::{Options, Service};

zaqar_conformance::backend_control!(Private, zaqar_testbed);

fn main() -> ExitCode {
    Faults::new(zaqar_conformance::binary!())
        .on("mongo", || backend(Service::Mongo))
        .logs_to("/journal/")
        .changes_places("mongo-set", || backend(Service::MongoSet))
        .run()
}

fn backend(service: Service) -> anyhow::Result<Availability> {
    let subject = Subject {
        driver: "mongodb".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        backend: "mongod".into(),
        mode: service.name().into(),
    };
    let open = move |uri: String, ns: Namespace, clock: Arc<dyn Clock>| async move {
        let uri = uri.replace("/?", &format!("/{ns}?"));
        let drivers = zaqar_storage_mongo::open(&uri, OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    };
    Private::harness(subject, service, Options::new(), open)
}
