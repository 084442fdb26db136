//! Posts over HTTP beside raw inserts on the same server, in the same run: rounds alternate, so that
//! a busy machine slows both.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use clap::ValueEnum;

use crate::server::Server;
use crate::services::ForTests;
use crate::workspace::Workspace;
use crate::{build, process};

const ROUNDS: usize = 5;
/// How long the posts of a round are measured, in seconds.
const POSTS_S: &str = "3";

/// A database server that messages are kept in.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Backend {
    Postgres,
    Mysql,
    Redis,
    Mongo,
}

impl Backend {
    /// The service's name, the driver's package, and its benchmark.
    fn place(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Postgres => ("postgres", "zaqar-storage-sql", "postgres"),
            Self::Mysql => ("mysql", "zaqar-storage-sql", "mysql"),
            Self::Redis => ("redis", "zaqar-storage-redis", "hot_paths"),
            Self::Mongo => ("mongo", "zaqar-storage-mongo", "hot_paths"),
        }
    }
}

pub(crate) fn bench(workspace: &Workspace, backend: Backend) -> Result<()> {
    let (service, package, bench) = backend.place();
    let released = build::released_whole(workspace)?;
    let program = |name| released.get(name).with_context(|| format!("no program `{name}`"));
    let benches = build::bench(workspace, package, bench)?;
    let raw = benches.get(bench).with_context(|| format!("no benchmark `{bench}`"))?;

    let databases = ForTests::start(workspace)?;
    let measured = || {
        let uris = databases.uris();
        let uri = uris.iter().find(|(name, _)| *name == service).map(|(_, uri)| *uri);
        let uri = uri.with_context(|| format!("no {service} server is known"))?;
        let folder = workspace.target_dir.join("bench");
        let server = Server::start(program("zaqar-server")?, &folder, Some(uri))?;
        let rounds = alternate(
            || raw_rate(raw, &databases.environment),
            || posts_rate(program("zaqar-bench")?, &server, &folder),
        );
        server.stop()?;
        rounds
    };
    let rounds = measured();
    databases.stop()?;
    show(service, &rounds?);
    Ok(())
}

fn alternate(
    raw: impl Fn() -> Result<f64>,
    posts: impl Fn() -> Result<f64>,
) -> Result<Vec<(f64, f64)>> {
    let round = |number| {
        let (raw, posts) = (raw()?, posts()?);
        println!("    round {number}: raw {raw:.0}, posts {posts:.0}, ratio {:.2}", posts / raw);
        Ok((raw, posts))
    };
    (1..=ROUNDS).map(round).collect()
}

/// Raw inserts of 1 by sixteen callers: rows a second.
fn raw_rate(bench: &Path, environment: &[(&'static str, String)]) -> Result<f64> {
    let environment = environment.iter().map(|(name, value)| (*name, value));
    let mut command = Command::new(bench);
    let said = process::capture(command.args(["--bench", "raw"]).envs(environment))?;
    let rate = said.lines().next_back().unwrap_or_default();
    rate.trim().parse().with_context(|| format!("the benchmark said {said:?}, not a rate"))
}

/// Posts of 1 over sixteen connections: messages a second.
fn posts_rate(bench: &Path, server: &Server, folder: &Path) -> Result<f64> {
    let results = folder.join("beside.json");
    process::capture(
        Command::new(bench)
            .args(["post", "--connections", "16", "--duration", POSTS_S, "--keep", "--quiet"])
            .args(["--url", &server.url(), "--server-pid", &server.pid().to_string(), "--json"])
            .arg(&results),
    )?;
    let results = std::fs::read(&results).context("cannot read the results")?;
    let results: serde_json::Value = serde_json::from_slice(&results).context("no JSON")?;
    let rate = results.pointer("/rounds/0/messages_per_s").and_then(serde_json::Value::as_f64);
    rate.context("the results name no rate")
}

fn show(service: &str, rounds: &[(f64, f64)]) {
    let raw = median(rounds.iter().map(|(raw, _)| *raw));
    let posts = median(rounds.iter().map(|(_, posts)| *posts));
    let ratio = median(rounds.iter().map(|(raw, posts)| posts / raw));
    println!(
        "{service}: raw inserts of 1 {raw:.0}/s, posts of 1 over HTTP {posts:.0}/s; median of {ROUNDS}"
    );
    println!("{service}: the ratio of a round's two, median: {ratio:.2}");
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
