//! The backend ring over Redis: servers that belong to one trial are killed, frozen and cut off
//! under load.

use std::process::ExitCode;
use std::sync::Arc;

use zaqar_conformance::fault::backend::sigkill;
use zaqar_conformance::faults_main::Faults;
use zaqar_conformance::{Availability, Drivers, Namespace, Subject};
use zaqar_core::Clock;
use zaqar_storage_redis::OpenOptions;
use zaqar_testbed::{Options, Service};

zaqar_conformance::backend_control!(Private, zaqar_testbed);

/// A deployment, and how the driver is told to use it.
#[derive(Clone, Copy)]
struct Deployment {
    service: Service,
    mode: &'static str,
    /// Added to the URI.
    parameters: &'static str,
    /// Given to the servers.
    arguments: &'static [&'static str],
    /// The size of the disk that they have for themselves.
    disk_mib: Option<u32>,
    unreliable: bool,
}

const SERVER: Deployment = Deployment {
    service: Service::Redis,
    mode: "server",
    parameters: "",
    arguments: &[],
    disk_mib: None,
    unreliable: false,
};

const CLUSTER: Deployment =
    Deployment { service: Service::RedisCluster, mode: "cluster", ..SERVER };

/// Every replica that could be promoted has what was acknowledged.
const SENTINEL: Deployment = Deployment {
    service: Service::RedisSentinel,
    mode: "sentinel",
    parameters: "&wait_replicas=1",
    ..SERVER
};

/// It ends when it cannot write, as it must where each answer promises that it did.
const FULL: Deployment = Deployment { mode: "full-disk", disk_mib: Some(8), ..SERVER };

const FORGETFUL: Deployment = Deployment {
    mode: "forgetful",
    arguments: &["--appendonly", "no"],
    unreliable: true,
    ..SERVER
};

const LAZY: Deployment = Deployment {
    mode: "lazy",
    arguments: &["--appendfsync", "everysec"],
    unreliable: true,
    ..SERVER
};

fn main() -> ExitCode {
    Faults::new(zaqar_conformance::binary!())
        .on("redis", || start(SERVER))
        .logs_to("/appendonlydir/")
        .on("redis-cluster", || start(CLUSTER))
        .fails_over("redis-sentinel", || start(SENTINEL))
        .fills_up("redis-full-disk", || start(FULL))
        .catches("a_server_without_append_only_file", sigkill, &["lost"], || start(FORGETFUL))
        .catches_unflushed("a_server_that_flushes_each_second", "/appendonlydir/", || start(LAZY))
        .run()
}

fn start(deployment: Deployment) -> anyhow::Result<Availability> {
    let Deployment { service, mode, parameters, arguments, disk_mib, unreliable } = deployment;
    let subject = Subject {
        driver: "redis".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        backend: "Redis".into(),
        mode: mode.into(),
    };
    let open = move |uri: String, ns: Namespace, clock: Arc<dyn Clock>| async move {
        let uri = format!("{uri}?prefix={ns}{parameters}");
        let options = OpenOptions::new(clock).unreliable(unreliable);
        let drivers = zaqar_storage_redis::open(&uri, options).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    };
    let mut options = Options::new().arguments(arguments.iter().copied());
    if let Some(mib) = disk_mib {
        options = options.disk(mib);
    }
    Private::harness(subject, service, options, open)
}
