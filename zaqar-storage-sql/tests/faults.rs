//! The backend ring over SQL servers: one that belongs to one trial is killed, frozen and cut off
//! under load.

use std::process::ExitCode;
use std::sync::Arc;

use zaqar_conformance::faults_main::Faults;
use zaqar_conformance::{Availability, Drivers, Namespace, Subject};
use zaqar_core::Clock;
use zaqar_storage_sql::OpenOptions;
use zaqar_testbed::{Options, Service};

zaqar_conformance::backend_control!(Private, zaqar_testbed);

fn main() -> ExitCode {
    Faults::new(zaqar_conformance::binary!()).on("postgres", postgres).run()
}

fn postgres() -> anyhow::Result<Availability> {
    let subject = Subject {
        driver: "postgres".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        backend: "PostgreSQL".into(),
        mode: "default".into(),
    };
    let open = move |uri: String, ns: Namespace, clock: Arc<dyn Clock>| async move {
        let uri = format!("{uri}?schema={ns}");
        let drivers = zaqar_storage_sql::open(&uri, OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    };
    Private::harness(subject, Service::Postgres, Options::new(), open)
}
