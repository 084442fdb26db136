//! Opening a store: its servers, their settings, its record.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use zaqar_core::{DriverInfo, OpenError};

use crate::checks::{Checks, Findings};
use crate::config::Config;
use crate::driver::{RedisControl, RedisData};
use crate::error::{Failure, open_error};
use crate::gate::Gate;
use crate::identity::Identity;
use crate::store::Store;
use crate::topology::Topology;
use crate::{OpenOptions, RedisDrivers};

/// Opens the store at `uri`, making its record if it is new.
///
/// # Errors
/// [`OpenError`] says what is wrong with the URI, the servers or their settings. Nothing was changed.
pub async fn open(uri: &str, options: OpenOptions) -> Result<RedisDrivers, OpenError> {
    let config = Config::parse(uri)?;
    let checks = Arc::new(Checks::of(&config, options.unreliable));
    let topology = Topology::new(config.clone(), Arc::clone(&checks));
    topology.refresh().await.map_err(failed)?;
    let findings = examine(&topology, &checks).await?;
    checks.enforce();
    let info = DriverInfo {
        name: "redis",
        version: env!("CARGO_PKG_VERSION"),
        backend: findings.backend,
        location: config.location(),
    };
    let store = Arc::new(Store {
        config,
        checks,
        topology,
        gate: Gate::new(),
        clock: options.clock,
        info,
        identity: Mutex::new(Identity::default()),
        closed: AtomicBool::new(false),
    });
    store.identify().await?;
    Ok(RedisDrivers {
        control: Arc::new(RedisControl { store: Arc::clone(&store) }),
        data: Arc::new(RedisData { store }),
    })
}

/// Examines every server; the first unsafe setting is refused (G15).
async fn examine(topology: &Topology, checks: &Checks) -> Result<Findings, OpenError> {
    let mut last = Findings::default();
    for master in topology.masters() {
        last = master.examine(checks).await.map_err(failed)?;
        last.permit_open(checks.unreliable)?;
    }
    Ok(last)
}

fn failed(failure: Failure) -> OpenError {
    open_error(failure.into_error("open", false))
}
