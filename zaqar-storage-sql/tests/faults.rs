//! The backend ring over SQL servers: one that belongs to one trial is killed, frozen and cut off
//! under load.

use std::process::ExitCode;
use std::sync::Arc;

use zaqar_conformance::fault::backend::SIGKILL;
use zaqar_conformance::faults_main::Faults;
use zaqar_conformance::{Availability, Drivers, Namespace, Subject};
use zaqar_core::Clock;
use zaqar_storage_sql::OpenOptions;
use zaqar_testbed::{Options, Service};

zaqar_conformance::backend_control!(Private, zaqar_testbed);

fn main() -> ExitCode {
    Faults::new(zaqar_conformance::binary!())
        .on("postgres", || postgres(Options::new(), "", false))
        .catches("commits_that_do_not_wait_for_the_disk", SIGKILL, "lost", || {
            // Seldom written, what was committed still is in the memory of the server when it dies.
            let lazy = Options::new().arguments(["-c", "wal_writer_delay=10s"]);
            postgres(lazy, "&options[synchronous_commit]=off", true)
        })
        .run()
}

/// The driver on a server with these options, and with `parameters` added to its URI.
fn postgres(
    options: Options,
    parameters: &'static str,
    unreliable: bool,
) -> anyhow::Result<Availability> {
    let subject = Subject {
        driver: "postgres".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        backend: "PostgreSQL".into(),
        mode: "default".into(),
    };
    let open = move |uri: String, ns: Namespace, clock: Arc<dyn Clock>| async move {
        let uri = format!("{uri}?schema={ns}{parameters}");
        let options = OpenOptions::new(clock).unreliable(unreliable);
        let drivers = zaqar_storage_sql::open(&uri, options).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    };
    Private::harness(subject, Service::Postgres, options, open)
}
