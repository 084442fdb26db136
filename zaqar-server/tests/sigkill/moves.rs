//! Queues are moved from engine to engine under load, while the server and whoever moves them are
//! killed in the middle: nothing that was acknowledged is lost, nothing is stored twice, nothing
//! deleted comes back, and no client meets an error that trying again does not mend (G17).
//!
//! `ZAQAR_MOVES_STRIKES` sets how often the command that moves a queue is killed at each hop (2
//! unless set), `ZAQAR_MOVES_MESSAGES` how many messages lie there before the first one (200),
//! `ZAQAR_MOVES_PART` how many are on their way at a time (40).

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::json;
use zaqar_testbed::Service;

use crate::heads::load::{Load, fill};
use crate::ledger::Ledger;
use crate::support::client::{CLIENT_ID, Client};
use crate::support::program::{Program, command};
use crate::uris::{file_uri, uri_in};
use crate::walk::QUEUES;
use crate::{Plan, setting, walk};

/// The pools, in the order in which queues go through them and back to the first.
const HOPS: [(&str, Option<Service>); 5] = [
    ("sqlite", None),
    ("redis", Some(Service::Redis)),
    ("mongo", Some(Service::Mongo)),
    ("postgres", Some(Service::Postgres)),
    ("mysql", Some(Service::Mysql)),
];
/// After so many milliseconds a command is killed: from, to.
const STRIKE_MS: (u64, u64) = (30, 400);
/// Longer than any move of the test takes.
const PATIENCE: Duration = Duration::from_secs(600);

/// A server over one control file, and the commands on the same.
struct Installation {
    arguments: Vec<String>,
    port: u16,
    program: Option<Program>,
}

impl Installation {
    fn new(folder: &Path, control: &str) -> anyhow::Result<Self> {
        let config = folder.join("zaqar.toml");
        let text = format!(
            "pooling = true\nadmin_mode = true\n\n[transport]\nmax_messages_per_page = 1000\n\
             \n[migration]\nmessages_per_part = {}\n",
            setting("ZAQAR_MOVES_PART", 40)
        );
        std::fs::write(&config, text)?;
        let arguments = ["--config", &config.display().to_string(), "--storage", control]
            .into_iter()
            .chain(["--admin-bind", "", "--log-level", "error"])
            .map(str::to_owned)
            .collect();
        Ok(Self { arguments, port: zaqar_testbed::free_port()?, program: None })
    }

    async fn start(&mut self) -> anyhow::Result<SocketAddr> {
        let port = self.port.to_string();
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.extend(["--port", &port]);
        let program = Program::start(&mut command(&arguments)).await?;
        let address = program.address;
        self.program = Some(program);
        Ok(address)
    }

    async fn kill(&mut self) -> anyhow::Result<()> {
        let mut program = self.program.take().context("no server runs")?;
        Ok(program.child.kill().await?)
    }

    /// Moves a queue; killed after `strike`, if there is one. Whether the command came to its end.
    async fn migrate(
        &self,
        project: &str,
        queue: &str,
        pool: &str,
        strike: Option<Duration>,
    ) -> anyhow::Result<bool> {
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.extend(["migrate", "queue", queue, "--project", project, "--to", pool]);
        let mut child = command(&arguments).stdout(Stdio::null()).spawn()?;
        match tokio::time::timeout(strike.unwrap_or(PATIENCE), child.wait()).await {
            Ok(ended) => {
                let ended = ended?;
                ensure!(ended.success(), "migrate {queue} to {pool} ended with {ended}");
                Ok(true)
            }
            Err(_elapsed) => {
                ensure!(strike.is_some(), "migrate {queue} to {pool} does not end");
                child.kill().await?;
                Ok(false)
            }
        }
    }
}

async fn put_pool(address: SocketAddr, name: &str, uri: &str, weight: u32) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    let body = json!({"uri": uri, "weight": weight}).to_string();
    let request = Request::builder()
        .method(Method::PUT)
        .uri(format!("/v2/pools/{name}"))
        .header("host", "localhost")
        .header("client-id", CLIENT_ID)
        .header("x-project-id", "admin")
        .header("x-roles", "admin")
        .body(Full::new(Bytes::from(body)))?;
    let answer = client.send(request).await?;
    ensure!(answer.status == StatusCode::CREATED, "{} {}", answer.status, answer.text());
    Ok(())
}

/// What was done to the moves.
#[derive(Debug, Default)]
struct Strikes {
    movers: u64,
    servers: u64,
}

/// Moves both queues to a pool: each command is killed a few times first, and the server once.
async fn hop(
    installation: &mut Installation,
    project: &str,
    pool: &str,
    plan: &mut Plan,
    strikes: &mut Strikes,
) -> anyhow::Result<()> {
    for (number, queue) in QUEUES.into_iter().enumerate() {
        let mut is_there = false;
        for _ in 0..setting("ZAQAR_MOVES_STRIKES", 2) {
            let strike = Duration::from_millis(plan.between(STRIKE_MS));
            is_there = installation.migrate(project, queue, pool, Some(strike)).await?;
            strikes.movers += u64::from(!is_there);
        }
        if number == 0 {
            installation.kill().await?;
            strikes.servers += 1;
            installation.start().await?;
        }
        if !is_there {
            installation.migrate(project, queue, pool, None).await?;
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_queues_are_moved_and_their_movers_killed() {
    let folder = tempfile::tempdir().unwrap();
    let namespace = format!("zaqar_moves_{}", uuid::Uuid::new_v4().simple());
    let mut installation = Installation::new(folder.path(), &file_uri(&folder)).unwrap();
    let address = installation.start().await.unwrap();
    for (number, (name, service)) in HOPS.into_iter().enumerate() {
        let uri = match service {
            None => Some(format!("sqlite:{}", folder.path().join("pool.db").display())),
            Some(service) => uri_in(service, &namespace),
        };
        let Some(uri) = uri else { return };
        put_pool(address, name, &uri, u32::from(number == 0)).await.unwrap();
    }
    let (begun, project) = (Instant::now(), format!("moves-{}", std::process::id()));
    let ledger = Arc::new(Ledger::default());
    fill(address, &project, &ledger, setting("ZAQAR_MOVES_MESSAGES", 200)).await.unwrap();
    let load = Load::start(address, &project, &ledger);
    load.acknowledged(100).await.unwrap();
    let (mut plan, mut strikes) = (Plan(setting("ZAQAR_SIGKILL_SEED", 0x5eed)), Strikes::default());
    let onwards = HOPS.iter().cycle().skip(1).take(HOPS.len());
    for (pool, _) in onwards {
        hop(&mut installation, &project, pool, &mut plan, &mut strikes).await.unwrap();
        // Work goes on wherever the queues are.
        load.acknowledged(load.count() + 50).await.unwrap();
        println!("{pool} after {:.1} s: {}", begun.elapsed().as_secs_f64(), ledger.counts());
    }
    let repeats = load.end().await.unwrap();
    walk::compare(address, &project, &ledger).await.unwrap();
    let counts = ledger.counts();
    println!(
        "{strikes:?}, {} hops in {:.1} s, {repeats} repeats; {counts}",
        HOPS.len(),
        begun.elapsed().as_secs_f64()
    );
    let violations = ledger.violations();
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(counts.posted > 0 && counts.claimed > 0 && counts.deleted > 0, "{counts}");
    // A run in which nothing was cut off would have shown nothing.
    assert!(strikes.movers > 0, "no mover was killed before it had ended");
    assert_eq!((counts.in_doubt, counts.deletions_in_doubt), (0, 0), "{counts}");
    installation.program.take().unwrap().terminate().await.unwrap();
}
