//! Which server a slot is on: the only one, the master that the sentinels name, or the node of a
//! cluster that holds it.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use redis::{ErrorKind, RedisError, Value};

use crate::checks::Checks;
use crate::config::{Config, Mode};
use crate::error::Failure;
use crate::keys::SLOTS;
use crate::link::Link;

type Address = (String, u16);

/// The servers of a store.
#[derive(Debug)]
pub(crate) struct Topology {
    config: Config,
    checks: Arc<Checks>,
    known: RwLock<Known>,
    /// Held while the servers are looked up, so that one does.
    refreshing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    links: HashMap<Address, Arc<Link>>,
    /// The server of everything, unless it is a cluster.
    only: Option<Arc<Link>>,
    /// The last slot of each range, in order, with its node.
    ranges: Vec<(u16, Arc<Link>)>,
    /// Counts look-ups.
    version: u64,
}

impl Topology {
    pub(crate) fn new(config: Config, checks: Arc<Checks>) -> Self {
        let refreshing = tokio::sync::Mutex::default();
        Self { config, checks, known: RwLock::default(), refreshing }
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server of a slot, as far as is known.
    pub(crate) fn link(&self, slot: u16) -> Option<Arc<Link>> {
        let known = self.read();
        let range = || {
            let at = known.ranges.partition_point(|(last, _)| *last < slot);
            known.ranges.get(at).map(|(_, link)| link)
        };
        known.only.as_ref().or_else(range).cloned()
    }

    /// The server at an address.
    pub(crate) fn link_at(&self, address: &Address) -> Result<Arc<Link>, RedisError> {
        if let Some(link) = self.read().links.get(address) {
            return Ok(Arc::clone(link));
        }
        let link = Link::new(&self.config, address.clone(), Some(Arc::clone(&self.checks)))?;
        let mut known = self.write();
        Ok(Arc::clone(known.links.entry(address.clone()).or_insert_with(|| Arc::new(link))))
    }

    /// All servers that hold data.
    pub(crate) fn masters(&self) -> Vec<Arc<Link>> {
        let known = self.read();
        let nodes = known.ranges.iter().map(|(_, link)| link);
        let mut masters: Vec<Arc<Link>> = Vec::new();
        for link in known.only.iter().chain(nodes) {
            if !masters.iter().any(|present| Arc::ptr_eq(present, link)) {
                masters.push(Arc::clone(link));
            }
        }
        masters
    }

    /// Lets go of every connection.
    pub(crate) fn disconnect(&self) {
        self.read().links.values().for_each(|link| link.disconnect());
    }

    /// A slot was found elsewhere.
    pub(crate) fn moved(&self, slot: u16, link: &Arc<Link>) {
        let mut known = self.write();
        let at = known.ranges.partition_point(|(last, _)| *last < slot);
        let first = match at.checked_sub(1).and_then(|before| known.ranges.get(before)) {
            Some((last, _)) => last.saturating_add(1),
            None => 0,
        };
        let Some((last, before)) = known.ranges.get(at).cloned() else { return };
        let mut parts = Vec::new();
        if slot > first {
            parts.push((slot - 1, Arc::clone(&before)));
        }
        parts.push((slot, Arc::clone(link)));
        if slot < last {
            parts.push((last, before));
        }
        known.ranges.splice(at..=at, parts);
    }

    /// Looks the servers up again, unless somebody did while this waited.
    pub(crate) async fn refresh(&self) -> Result<(), Failure> {
        let version = self.read().version;
        let _only = self.refreshing.lock().await;
        if self.read().version != version {
            return Ok(());
        }
        match &self.config.mode {
            Mode::Single => {
                let link = self.first_host()?;
                self.write().only = Some(link);
            }
            Mode::Sentinel(master) => {
                let address = self.ask_sentinels(master).await?;
                let link = self.link_at(&address).map_err(not_sent)?;
                self.write().only = Some(link);
            }
            Mode::Cluster => {
                let ranges = self.ask_nodes().await?;
                self.write().ranges = ranges;
            }
        }
        self.write().version += 1;
        Ok(())
    }

    fn first_host(&self) -> Result<Arc<Link>, Failure> {
        let missing = || (ErrorKind::InvalidClientConfig, "no server is named").into();
        let host = self.config.hosts.first().ok_or_else(missing).map_err(not_sent)?;
        self.link_at(host).map_err(not_sent)
    }

    /// The address that the first sentinel that answers gives for the master.
    async fn ask_sentinels(&self, master: &str) -> Result<Address, Failure> {
        let mut command = redis::cmd("SENTINEL");
        command.arg("get-master-addr-by-name").arg(master);
        let mut last = not_sent((ErrorKind::Io, "no sentinel knows the master").into());
        for host in &self.config.hosts {
            let sentinel = Link::sentinel(&self.config, host.clone()).map_err(not_sent)?;
            let answer = match sentinel.connection().await {
                Ok(connection) => sentinel.send(connection, &command).await,
                Err(failure) => Err(failure),
            };
            match answer.map(|value| address_of(&value)) {
                Ok(Some(address)) => return Ok(address),
                Ok(None) => {}
                Err(failure) => last = unsent(failure),
            }
        }
        Err(last)
    }

    /// The slots' nodes, as the first node that answers has them.
    async fn ask_nodes(&self) -> Result<Vec<(u16, Arc<Link>)>, Failure> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let mut seeds: Vec<Address> = self.read().links.keys().cloned().collect();
        seeds.extend(self.config.hosts.iter().cloned());
        let mut last = not_sent((ErrorKind::Io, "no node knows the slots").into());
        for seed in seeds {
            let node = self.link_at(&seed).map_err(not_sent)?;
            let answer = match node.connection().await {
                Ok(connection) => node.send(connection, &command).await,
                Err(failure) => Err(failure),
            };
            match answer {
                Ok(value) => {
                    let ranges = self.read_slots(&value, &seed)?;
                    if !ranges.is_empty() {
                        return Ok(ranges);
                    }
                }
                Err(failure) => last = unsent(failure),
            }
        }
        Err(last)
    }

    fn read_slots(&self, value: &Value, seed: &Address) -> Result<Vec<(u16, Arc<Link>)>, Failure> {
        let mut ranges = Vec::new();
        for range in value.as_sequence().unwrap_or_default() {
            let Some([_, Value::Int(last), master, ..]) = range.as_sequence() else { continue };
            let Some((host, port)) = address_of(master) else { continue };
            // A node that does not know its own address is where it was asked.
            let host = if host.is_empty() { seed.0.clone() } else { host };
            let link = self.link_at(&(host, port)).map_err(not_sent)?;
            ranges.push((u16::try_from(*last).unwrap_or(SLOTS - 1), link));
        }
        ranges.sort_by_key(|(last, _)| *last);
        Ok(ranges)
    }
}

/// Host and port at the front of a list.
fn address_of(value: &Value) -> Option<Address> {
    let [host, port, ..] = value.as_sequence()? else { return None };
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Value::SimpleString(text) => Some(text.clone()),
        Value::Nil => Some(String::new()),
        _ => None,
    };
    let port = match port {
        Value::Int(port) => u16::try_from(*port).ok()?,
        other => text(other)?.parse().ok()?,
    };
    Some((text(host)?, port))
}

fn not_sent(error: RedisError) -> Failure {
    Failure::NotSent(Arc::new(error))
}

/// A look-up that failed: whatever was to be done after it was not sent.
fn unsent(failure: Failure) -> Failure {
    match failure {
        Failure::InDoubt(error) => Failure::NotSent(error),
        Failure::Silent => not_sent((ErrorKind::Io, "no answer in time").into()),
        other => other,
    }
}
