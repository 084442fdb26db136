//! The backend ring over Redis: servers that belong to one trial are killed, frozen and cut off
//! under load.

use std::process::ExitCode;
use std::sync::Arc;

use zaqar_conformance::fault::backend::SIGKILL;
use zaqar_conformance::faults_main::Faults;
use zaqar_conformance::{Availability, Drivers, Namespace, Subject};
use zaqar_core::Clock;
use zaqar_storage_redis::OpenOptions;
use zaqar_testbed::{Options, Service};

zaqar_conformance::backend_control!(Private, zaqar_testbed);

fn main() -> ExitCode {
    Faults::new(zaqar_conformance::binary!())
        .on("redis", || start(Service::Redis, "server", Options::new(), false))
        .on("redis-cluster", || start(Service::RedisCluster, "cluster", Options::new(), false))
        .catches("a_server_without_append_only_file", SIGKILL, "lost", || {
            let forgetful = Options::new().arguments(["--appendonly", "no"]);
            start(Service::Redis, "forgetful", forgetful, true)
        })
        .run()
}

fn start(
    service: Service,
    mode: &'static str,
    options: Options,
    unreliable: bool,
) -> anyhow::Result<Availability> {
    let subject = Subject {
        driver: "redis".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        backend: "Redis".into(),
        mode: mode.into(),
    };
    let open = move |uri: String, ns: Namespace, clock: Arc<dyn Clock>| async move {
        let uri = format!("{uri}?prefix={ns}");
        let options = OpenOptions::new(clock).unreliable(unreliable);
        let drivers = zaqar_storage_redis::open(&uri, options).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    };
    Private::harness(subject, service, options, open)
}
