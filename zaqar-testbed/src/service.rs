//! The services that tests run against, by name.

use std::env;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Result, bail};

use crate::install::is_installed;
use crate::state::State;

/// Written by cargo into every build folder.
const BUILD_FOLDER_MARK: &str = "CACHEDIR.TAG";

/// A database, set up in one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// One PostgreSQL server.
    Postgres,
    /// One MariaDB server.
    Mysql,
    /// One Redis server.
    Redis,
    /// A Redis cluster of three nodes.
    RedisCluster,
    /// A Redis primary and its replica, watched by a Sentinel.
    RedisSentinel,
    /// A replica set of one mongod.
    Mongo,
    /// A replica set of three mongods.
    MongoSet,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 7] = [
        Self::Postgres,
        Self::Mysql,
        Self::Redis,
        Self::RedisCluster,
        Self::RedisSentinel,
        Self::Mongo,
        Self::MongoSet,
    ];

    /// Those that a test run has without being asked.
    pub const USUAL: [Self; 5] =
        [Self::Postgres, Self::Mysql, Self::Redis, Self::RedisCluster, Self::Mongo];

    /// Its name, as `ZAQAR_CONFORMANCE_REQUIRE` has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Mysql => "mysql",
            Self::Redis => "redis",
            Self::RedisCluster => "redis-cluster",
            Self::RedisSentinel => "redis-sentinel",
            Self::Mongo => "mongo",
            Self::MongoSet => "mongo-set",
        }
    }

    /// The environment variable that says where one runs.
    #[must_use]
    pub fn variable(self) -> &'static str {
        match self {
            Self::Postgres => "ZAQAR_TEST_POSTGRES_URI",
            Self::Mysql => "ZAQAR_TEST_MYSQL_URI",
            Self::Redis => "ZAQAR_TEST_REDIS_URI",
            Self::RedisCluster => "ZAQAR_TEST_REDIS_CLUSTER_URI",
            Self::RedisSentinel => "ZAQAR_TEST_REDIS_SENTINEL_URI",
            Self::Mongo => "ZAQAR_TEST_MONGO_URI",
            Self::MongoSet => "ZAQAR_TEST_MONGO_SET_URI",
        }
    }
}

impl FromStr for Service {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match Self::ALL.into_iter().find(|service| service.name() == text) {
            Some(service) => Ok(service),
            None => bail!("there is no service {text:?}"),
        }
    }
}

/// Where a shared server of that kind runs: what the environment says, or else what
/// `cargo xtask services up` wrote down, if the server is still there.
#[must_use]
pub fn uri(service: Service) -> Option<String> {
    let given = env::var(service.variable()).ok().filter(|uri| !uri.is_empty());
    given.or_else(|| State::load(&services_folder(&build_folder()?)).ok()?.uri(service))
}

/// [`uri`], for a test of one service: `None` leaves the test out, and says so.
///
/// # Errors
/// There is no such server, though `ZAQAR_CONFORMANCE_REQUIRE` names it.
pub fn uri_unless_absent(service: Service) -> Result<Option<String>> {
    let found = uri(service);
    if found.is_none() {
        let required = env::var("ZAQAR_CONFORMANCE_REQUIRE").unwrap_or_default();
        judge_absence(service, &required)?;
        eprintln!("left out: no server {} is known", service.name());
    }
    Ok(found)
}

/// Whether the service's programs are there, for a test that starts one of its own: `false` leaves
/// the test out, and says so.
///
/// # Errors
/// They are not, though `ZAQAR_CONFORMANCE_REQUIRE` names the service.
pub fn installed_unless_absent(service: Service) -> Result<bool> {
    let installed = is_installed(service);
    if !installed {
        let required = env::var("ZAQAR_CONFORMANCE_REQUIRE").unwrap_or_default();
        judge_absence(service, &required)?;
        eprintln!("left out: the programs of {} are not installed", service.name());
    }
    Ok(installed)
}

fn judge_absence(service: Service, required: &str) -> Result<()> {
    if required.split(',').any(|name| name.trim() == service.name()) {
        bail!("no server {} is known, and it is required", service.name());
    }
    Ok(())
}

/// Where the shared servers of a build folder are.
#[must_use]
pub fn services_folder(build_folder: &Path) -> PathBuf {
    build_folder.join("services")
}

/// The build folder that this program was built into.
pub(crate) fn build_folder() -> Option<PathBuf> {
    let above = |path: PathBuf| {
        path.ancestors().find(|path| path.join(BUILD_FOLDER_MARK).is_file()).map(Path::to_owned)
    };
    let named =
        env::var_os("CARGO_TARGET_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    named.or_else(|| above(env::current_exe().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_that_is_required_must_not_be_absent() {
        assert!(judge_absence(Service::Redis, "postgres, redis").is_err());
        judge_absence(Service::Redis, "redis-cluster,postgres").unwrap();
        judge_absence(Service::Redis, "").unwrap();
    }

    #[test]
    fn every_service_is_found_by_its_name() {
        for service in Service::ALL {
            assert_eq!(service.name().parse::<Service>().unwrap(), service);
        }
        assert!("oracle".parse::<Service>().is_err());
    }

    #[test]
    fn a_test_finds_the_folder_it_was_built_into() {
        let folder = build_folder().unwrap();
        assert!(env::current_exe().unwrap().starts_with(&folder));
    }
}
