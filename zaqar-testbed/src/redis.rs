//! Redis: one server, a cluster, a primary with a replica under a Sentinel.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::install::programs;
use crate::process::wait_until;
use crate::server::{self, Kind, PROBE_LIMIT, Place};

/// The name that the Sentinel knows the primary by.
const PRIMARY: &str = "zaqar";

/// How long the nodes of a cluster may take to learn each other's ports.
const ANNOUNCE_LIMIT: Duration = Duration::from_secs(30);

/// What a server is within its deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Single,
    ClusterNode,
    /// Takes writes only while its replica follows.
    Primary,
    ReplicaOf(u16),
    SentinelOf(u16),
}

/// A server that writes every command to its file, and waits for the disk, before it answers.
#[derive(Debug)]
pub(crate) struct Redis(pub(crate) Role);

impl Redis {
    /// The settings, in a file: a server under a Sentinel writes down its new role there.
    fn settings(&self, place: &Place) -> String {
        let mut lines = vec![
            format!("port {}", place.port),
            "bind 127.0.0.1".to_owned(),
            format!("dir \"{}\"", place.folder.display()),
        ];
        if !matches!(self.0, Role::SentinelOf(_)) {
            lines.extend(["appendonly yes", "appendfsync always", "save \"\""].map(String::from));
        }
        match self.0 {
            Role::Single => {}
            Role::ClusterNode => {
                let settings = [
                    "cluster-enabled yes",
                    "cluster-config-file nodes.conf",
                    "cluster-node-timeout 2000",
                ];
                lines.extend(settings.map(String::from));
            }
            Role::Primary => {
                lines.push("min-replicas-to-write 1".into());
                lines.push("repl-diskless-sync-delay 0".into());
            }
            Role::ReplicaOf(primary) => {
                lines.push(format!("replicaof 127.0.0.1 {primary}"));
                // A replica that is promoted has none itself until the old primary is back.
                lines.push("min-replicas-to-write 1".into());
                lines.push("repl-diskless-sync-delay 0".into());
            }
            Role::SentinelOf(primary) => {
                lines.push(format!("sentinel monitor {PRIMARY} 127.0.0.1 {primary} 1"));
                lines.push(format!("sentinel down-after-milliseconds {PRIMARY} 1000"));
                lines.push(format!("sentinel failover-timeout {PRIMARY} 5000"));
            }
        }
        lines.push(String::new());
        lines.join("\n")
    }
}

impl Kind for Redis {
    fn program(&self) -> Result<PathBuf> {
        programs::find("redis-server")
    }

    fn arguments(&self, place: &Place) -> Vec<OsString> {
        let mut arguments = vec![OsString::from(place.folder.join("redis.conf"))];
        if let Role::SentinelOf(_) = self.0 {
            arguments.push("--sentinel".into());
        }
        arguments
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        fs::write(place.folder.join("redis.conf"), self.settings(place))
            .context("writing the server's settings")
    }

    fn answers(&self, place: &Place) -> bool {
        let mut answer = [0; 5];
        server::exchange(place.address(), b"PING\r\n", &mut answer) && &answer == b"+PONG"
    }
}

/// Makes a cluster of the servers at `places`.
pub(crate) fn join_cluster(places: &[&Place]) -> Result<()> {
    let log = places.first().context("a cluster without nodes")?.folder.join("join.log");
    let nodes = places.iter().map(|place| place.address().to_string());
    let mut command = Command::new(programs::find("redis-cli")?);
    command.args(["--cluster", "create"]).args(nodes);
    server::run(command.args(["--cluster-replicas", "0", "--cluster-yes"]), &log)
}

/// Whether every node sees the whole cluster at work.
pub(crate) fn cluster_is_ready(places: &[&Place]) -> bool {
    places.iter().all(|place| {
        ask(place.address(), "CLUSTER INFO").is_ok_and(|info| info.contains("cluster_state:ok"))
    })
}

/// Has the nodes of a cluster tell clients the ports of `addresses` instead of their own, now and
/// after each restart.
pub(crate) fn announce(places: &[&Place], addresses: &[SocketAddr]) -> Result<()> {
    for (place, address) in places.iter().zip(addresses) {
        let port = address.port();
        ask(place.address(), &format!("CONFIG SET cluster-announce-port {port}"))?;
        ask(place.address(), "CONFIG REWRITE")?;
    }
    let told = |place: &Place| {
        let slots = ask(place.address(), "CLUSTER SLOTS").unwrap_or_default();
        let port = |address: &SocketAddr| format!("{}\n", address.port());
        addresses.iter().all(|address| slots.contains(&port(address)))
    };
    let all = || places.iter().all(|place| told(place));
    ensure!(wait_until(ANNOUNCE_LIMIT, all), "the cluster does not announce the proxy");
    Ok(())
}

/// Whether the Sentinel knows a primary that takes writes because a replica follows it.
pub(crate) fn sentinel_is_ready(sentinel: &Place) -> bool {
    let ready = || -> Result<bool> {
        let known = ask(sentinel.address(), &format!("SENTINEL REPLICAS {PRIMARY}"))?;
        let primary = primary(sentinel)?;
        let info = ask(primary, "INFO replication")?;
        Ok(!known.is_empty()
            && info.contains("role:master")
            && info.contains("min_slaves_good_slaves:1"))
    };
    ready().unwrap_or(false)
}

/// The primary that the Sentinel names.
pub(crate) fn primary(sentinel: &Place) -> Result<SocketAddr> {
    let command = format!("SENTINEL GET-MASTER-ADDR-BY-NAME {PRIMARY}");
    let answer = ask(sentinel.address(), &command)?;
    let port = answer.lines().find_map(|line| line.trim().parse::<u16>().ok());
    Ok(SocketAddr::from(([127, 0, 0, 1], port.context("the Sentinel names no port")?)))
}

/// Sends a command and returns the texts in the answer, one on a line.
fn ask(address: SocketAddr, command: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_LIMIT)?;
    stream.set_read_timeout(Some(PROBE_LIMIT))?;
    stream.set_write_timeout(Some(PROBE_LIMIT))?;
    write!(stream, "{command}\r\n")?;
    let mut text = String::new();
    answer(&mut BufReader::new(stream), &mut text)?;
    Ok(text)
}

/// Reads one answer of the Redis protocol.
fn answer(reader: &mut impl BufRead, text: &mut String) -> Result<()> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    let rest = line.get(1..).context("an empty answer")?;
    match line.as_bytes().first() {
        Some(b'*') => {
            for _ in 0..rest.parse::<i64>()?.max(0) {
                answer(reader, text)?;
            }
        }
        Some(b'$') => {
            if let Ok(length) = rest.parse::<usize>() {
                let mut bytes = vec![0; length + 2];
                reader.read_exact(&mut bytes)?;
                text.push_str(String::from_utf8_lossy(&bytes).trim_end());
                text.push('\n');
            }
        }
        kind => {
            ensure!(kind != Some(&b'-'), "the server refuses: {rest}");
            text.push_str(rest);
            text.push('\n');
        }
    }
    Ok(())
}

pub(crate) fn uri(place: &Place) -> String {
    format!("redis://{}/", place.address())
}

pub(crate) fn cluster_uri(places: &[&Place]) -> String {
    let nodes: Vec<String> = places.iter().map(|place| place.address().to_string()).collect();
    format!("redis+cluster://{}/", nodes.join(","))
}

pub(crate) fn sentinel_uri(sentinel: &Place) -> String {
    format!("redis+sentinel://{}/{PRIMARY}", sentinel.address())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str) -> Result<String> {
        let mut text = String::new();
        answer(&mut bytes.as_bytes(), &mut text).map(|()| text)
    }

    #[test]
    fn an_answer_of_several_texts_is_read_to_its_end() {
        let text = read("*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7000\r\n").unwrap();
        assert_eq!(text, "127.0.0.1\n7000\n");
        assert_eq!(read("+OK\r\n").unwrap(), "OK\n");
        assert_eq!(read("*-1\r\n").unwrap(), "");
    }

    #[test]
    fn a_refusal_is_an_error() {
        let error = read("-ERR unknown\r\n").unwrap_err();
        assert!(error.to_string().contains("ERR unknown"), "{error}");
    }

    #[test]
    fn what_is_acknowledged_is_on_disk_in_every_role_that_holds_data() {
        let place = Place { folder: "f".into(), port: 1 };
        for role in [Role::Single, Role::ClusterNode, Role::Primary, Role::ReplicaOf(2)] {
            let settings = Redis(role).settings(&place);
            assert!(settings.contains("appendonly yes\nappendfsync always\n"), "{settings}");
        }
    }
}
