//! A whole backend: the servers of one service, formed into what the service is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::disk::Disk;
use crate::mariadb::{self, MariaDb};
use crate::mongod::{self, Mongod};
use crate::postgres::{self, Postgres};
use crate::process::{self, Life, wait_until};
use crate::procfs::Identity;
use crate::proxy::Proxy;
use crate::redis::{self, Redis, Role};
use crate::scratch::Scratch;
use crate::server::{Kind, Place, Server};
use crate::service::Service;

/// How long servers that all answer may take to agree: elections, a cluster's gossip.
const FORM_LIMIT: Duration = Duration::from_secs(60);

/// How long the others may take to replace a lost primary. A Sentinel whose clock jumps, as on a
/// machine that stalls, does nothing for half a minute, and an attempt that failed is repeated after
/// ten seconds.
const TAKE_OVER_LIMIT: Duration = Duration::from_secs(120);

/// How to start a backend.
#[derive(Debug, Default)]
pub struct Options {
    folder: Option<PathBuf>,
    ports: Vec<u16>,
    arguments: Vec<String>,
    disk_mib: Option<u32>,
    standalone: bool,
    detached: bool,
}

impl Options {
    /// In a temporary folder, on free ports, at safe settings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps everything below `folder`, which stays when the backend is dropped. What an earlier
    /// backend left there is removed.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Uses these ports, one for each server.
    #[must_use]
    pub fn ports(mut self, ports: Vec<u16>) -> Self {
        self.ports = ports;
        self
    }

    /// Gives every server these arguments, after those it has: `["--appendonly", "no"]`,
    /// `["-c", "fsync=off"]`.
    #[must_use]
    pub fn arguments<A: Into<String>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Keeps everything on a [`Disk`] of its own of so many MiB, instead of in a folder.
    #[must_use]
    pub fn disk(mut self, mib: u32) -> Self {
        self.disk_mib = Some(mib);
        self
    }

    /// Starts mongod as no member of a replica set.
    #[must_use]
    pub fn standalone(mut self) -> Self {
        self.standalone = true;
        self
    }

    /// Whether this process may have what is asked for.
    #[must_use]
    pub fn are_possible(&self) -> bool {
        self.disk_mib.is_none() || Disk::is_possible()
    }

    /// Lets the servers outlive this process.
    pub(crate) fn detached(mut self) -> Self {
        self.detached = true;
        self
    }
}

/// A running backend. Its servers end with this process, however that ends, and when this is
/// dropped.
#[derive(Debug)]
pub struct Backend {
    service: Service,
    standalone: bool,
    // Before the folder: the servers are gone when it is removed.
    servers: Vec<Server>,
    disk: Option<Disk>,
    _temporary: Option<Scratch>,
}

impl Backend {
    /// Starts a backend and waits until it is ready to work.
    ///
    /// # Errors
    /// If a program is missing, or a server does not come up; the error shows the end of its log.
    pub fn start(service: Service, options: Options) -> Result<Self> {
        let disk = options.disk_mib.map(Disk::new).transpose()?;
        let temporary = match (&disk, &options.folder) {
            (None, None) => Some(Scratch::new()?),
            _ => None,
        };
        let made = disk.as_ref().map(Disk::path).or(temporary.as_ref().map(Scratch::path));
        let folder = made.map(Path::to_owned).or_else(|| options.folder.clone());
        let folder = folder.context("a backend without a folder")?;
        let standalone = options.standalone;
        let servers = Vec::new();
        let mut backend = Self { service, standalone, servers, disk, _temporary: temporary };
        let life = if options.detached { Life::Detached } else { Life::WithUs };
        let sentinel = service == Service::RedisSentinel;
        for nth in 0..count(service) {
            let primary = backend.servers.first().map(|server| server.place().port);
            let kind = match standalone {
                true => Box::new(Mongod::Standalone),
                false => kind(service, nth, primary),
            };
            let name = format!("{}-{nth}", service.name());
            let port = options.ports.get(nth).copied();
            // A Sentinel is no server of data: it would not know their settings.
            let own = if sentinel && nth == 2 { &[] } else { options.arguments.as_slice() };
            backend.servers.push(Server::start(kind, folder.join(name), port, life, own)?);
        }
        backend.form()?;
        backend.wait_until_ready()?;
        Ok(backend)
    }

    fn form(&self) -> Result<()> {
        match self.service {
            Service::RedisCluster => redis::join_cluster(&self.places()),
            Service::Mongo | Service::MongoSet if !self.standalone => {
                mongod::initiate(&self.places())
            }
            _ => Ok(()),
        }
    }

    /// Waits until it takes writes.
    ///
    /// # Errors
    /// If it does not, within a minute.
    pub fn wait_until_ready(&self) -> Result<()> {
        let name = self.service.name();
        let ready = wait_until(FORM_LIMIT, || self.is_ready());
        ensure!(ready, "{name} answers, but is not ready; {}", self.last_words());
        Ok(())
    }

    /// The end of the log of the server that would know why.
    fn last_words(&self) -> String {
        let log = self.places().last().map(|place| place.log());
        log.map(|log| process::tail(&log)).unwrap_or_default()
    }

    /// Whether it takes writes.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let places = self.places();
        let answer = self.servers.iter().all(Server::answers);
        answer
            && match self.service {
                Service::RedisCluster => redis::cluster_is_ready(&places),
                Service::RedisSentinel => {
                    places.get(2).is_some_and(|sentinel| redis::sentinel_is_ready(sentinel))
                }
                Service::Mongo | Service::MongoSet => mongod::is_ready(&places),
                _ => true,
            }
    }

    fn places(&self) -> Vec<&Place> {
        self.servers.iter().map(Server::place).collect()
    }

    /// The service.
    #[must_use]
    pub fn service(&self) -> Service {
        self.service
    }

    /// Where clients find it.
    #[must_use]
    pub fn uri(&self) -> String {
        let places = self.places();
        let one = |uri: fn(&Place) -> String| places.first().map(|place| uri(place));
        let uri = match self.service {
            Service::Postgres => one(postgres::uri),
            Service::Mysql => one(mariadb::uri),
            Service::Redis => one(redis::uri),
            Service::RedisCluster => Some(redis::cluster_uri(&places)),
            Service::RedisSentinel => places.get(2).map(|place| redis::sentinel_uri(place)),
            Service::Mongo if self.standalone => one(mongod::direct_uri),
            Service::Mongo | Service::MongoSet => Some(mongod::uri(&places)),
        };
        uri.unwrap_or_default()
    }

    /// A proxy before its servers; the nodes of a cluster send clients there from now on.
    ///
    /// # Errors
    /// If there is no free port, or the cluster does not take to it.
    pub fn proxy(&self) -> Result<Proxy> {
        let places = self.places();
        let servers: Vec<_> = places.iter().map(|place| place.address()).collect();
        let proxy = Proxy::start(&servers)?;
        if self.service == Service::RedisCluster {
            redis::announce(&places, proxy.addresses())?;
        }
        Ok(proxy)
    }

    /// Where clients find it that go through its proxy; `None`: they would learn of the servers' own
    /// addresses and go there.
    #[must_use]
    pub fn uri_through(&self, proxy: &Proxy) -> Option<String> {
        let seen = |address: &SocketAddr| Place { folder: PathBuf::new(), port: address.port() };
        let seen: Vec<Place> = proxy.addresses().iter().map(seen).collect();
        let first = seen.first()?;
        match self.service {
            Service::Postgres => Some(postgres::uri(first)),
            Service::Mysql => Some(mariadb::uri(first)),
            Service::Redis => Some(redis::uri(first)),
            Service::RedisCluster => Some(redis::cluster_uri(&seen.iter().collect::<Vec<_>>())),
            Service::Mongo => Some(mongod::direct_uri(first)),
            Service::RedisSentinel | Service::MongoSet => None,
        }
    }

    /// Its ports, one for each server.
    #[must_use]
    pub fn ports(&self) -> Vec<u16> {
        self.places().into_iter().map(|place| place.port).collect()
    }

    /// Its servers' processes, with their places; without those that do not run.
    pub(crate) fn members(&self) -> Vec<(Identity, &Place)> {
        let member = |server| Some((Server::identity(server)?, server.place()));
        self.servers.iter().filter_map(member).collect()
    }

    /// SIGKILL to every server and its children; returns when they are gone.
    ///
    /// # Errors
    /// If one cannot be killed.
    pub fn kill(&mut self) -> Result<()> {
        self.servers.iter_mut().try_for_each(Server::kill)
    }

    /// Starts every server again on its folder and port, and waits until the backend is ready.
    ///
    /// # Errors
    /// If a server does not come up.
    pub fn restart(&mut self) -> Result<()> {
        self.servers.iter_mut().try_for_each(Server::restart)?;
        self.wait_until_ready()
    }

    /// Ends every server in an orderly way and starts it with these arguments in place of the
    /// [options'](Options::arguments).
    ///
    /// # Errors
    /// If a server does not end, or does not come up.
    pub fn restart_with<A: Into<String>>(
        &mut self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Result<()> {
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        for server in &mut self.servers {
            server.stop()?;
            server.argue(&arguments);
        }
        self.restart()
    }

    /// Leaves no room on its disk.
    ///
    /// # Errors
    /// If it has [none of its own](Options::disk).
    pub fn fill_disk(&self) -> Result<()> {
        self.disk.as_ref().context("a backend without a disk of its own")?.fill()
    }

    /// Makes room on its disk again; a server that ended for lack of it is started again, as whoever
    /// watches over servers would do.
    ///
    /// # Errors
    /// If it has no disk of its own, or a server does not come up.
    pub fn free_disk(&mut self) -> Result<()> {
        self.disk.as_ref().context("a backend without a disk of its own")?.free()?;
        for server in &mut self.servers {
            if !server.is_alive() {
                server.restart()?;
            }
        }
        self.wait_until_ready()
    }

    /// SIGKILL to one server; the others stay.
    ///
    /// # Errors
    /// If there is no such server, or it cannot be killed.
    pub fn kill_one(&mut self, nth: usize) -> Result<()> {
        self.servers.get_mut(nth).context("there is no such server")?.kill()
    }

    /// Starts one server again; does not wait for the others to take notice.
    ///
    /// # Errors
    /// If there is no such server, or it does not come up.
    pub fn restart_one(&mut self, nth: usize) -> Result<()> {
        self.servers.get_mut(nth).context("there is no such server")?.restart()
    }

    /// The server that takes the writes; `None`: there is none, or all do.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        let places = self.places();
        match self.service {
            Service::MongoSet => mongod::primary(&places),
            Service::RedisSentinel => {
                let address = redis::primary(places.get(2)?).ok()?;
                places.iter().position(|place| place.address() == address)
            }
            _ => None,
        }
    }

    /// SIGKILL to the server that takes the writes; when another one does, it is started again.
    /// Returns when it follows the other: who that was, and who took over. A slow machine may have
    /// seen yet another change by then, so neither need be what [`primary`](Self::primary) says.
    ///
    /// # Errors
    /// If there is no other that could, or none does within two minutes.
    pub fn fail_over(&mut self) -> Result<(usize, usize)> {
        let old = self.present_primary()?;
        self.kill_one(old)?;
        let new = self.successor(old)?;
        self.restart_one(old)?;
        self.wait_until_ready()?;
        Ok((old, new))
    }

    /// Has the mongod that takes the writes hand over to another one; returns when one took over:
    /// as [`fail_over`](Self::fail_over).
    ///
    /// # Errors
    /// If there is no other that could, or none does within two minutes.
    pub fn step_down(&self) -> Result<(usize, usize)> {
        let old = self.present_primary()?;
        let places = self.places();
        mongod::step_down(places.get(old).context("a primary without a place")?)?;
        let new = self.successor(old)?;
        self.wait_until_ready()?;
        Ok((old, new))
    }

    fn present_primary(&self) -> Result<usize> {
        self.primary().with_context(|| format!("{} has no primary", self.service.name()))
    }

    /// Waits until another server than `old` takes the writes.
    fn successor(&self, old: usize) -> Result<usize> {
        let mut new = None;
        wait_until(TAKE_OVER_LIMIT, || {
            new = self.primary().filter(|primary| *primary != old);
            new.is_some()
        });
        new.with_context(|| {
            format!("nobody took over in {}; {}", self.service.name(), self.last_words())
        })
    }

    /// SIGSTOP to every server and its children: connections stay, nothing answers.
    ///
    /// # Errors
    /// If a server does not run.
    pub fn pause(&self) -> Result<()> {
        self.servers.iter().try_for_each(Server::pause)
    }

    /// SIGCONT after a [pause](Self::pause).
    ///
    /// # Errors
    /// If a server does not run.
    pub fn resume(&self) -> Result<()> {
        self.servers.iter().try_for_each(Server::resume)
    }

    /// Ends every server in an orderly way.
    ///
    /// # Errors
    /// If one had to be killed.
    pub fn stop(mut self) -> Result<()> {
        // The last first: a Sentinel would make an election of the others' end.
        self.servers.iter_mut().rev().try_for_each(Server::stop)
    }

    /// Leaves detached servers to themselves.
    pub(crate) fn let_go(mut self) {
        self.servers.iter_mut().for_each(Server::let_go);
    }
}

/// The kind of the service's server of that number; `primary` is the port of the first.
fn kind(service: Service, nth: usize, primary: Option<u16>) -> Box<dyn Kind> {
    match service {
        Service::Postgres => Box::new(Postgres),
        Service::Mysql => Box::new(MariaDb),
        Service::Redis => Box::new(Redis(Role::Single)),
        Service::RedisCluster => Box::new(Redis(Role::ClusterNode)),
        Service::RedisSentinel => Box::new(Redis(match (nth, primary) {
            (0, _) | (_, None) => Role::Primary,
            (1, Some(primary)) => Role::ReplicaOf(primary),
            (_, Some(primary)) => Role::SentinelOf(primary),
        })),
        Service::Mongo | Service::MongoSet => Box::new(Mongod::Member),
    }
}

/// Whether the service's server on that port answers.
pub(crate) fn answers(service: Service, port: u16) -> bool {
    kind(service, 0, None).answers(&Place { folder: PathBuf::new(), port })
}

fn count(service: Service) -> usize {
    match service {
        Service::Postgres | Service::Mysql | Service::Redis | Service::Mongo => 1,
        Service::RedisCluster | Service::RedisSentinel | Service::MongoSet => 3,
    }
}
