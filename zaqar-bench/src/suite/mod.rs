//! The standard set: every workload in a fixed form, with the raw engine beside it.
//!
//! Each round goes once through everything, so that all figures of a round were taken within
//! minutes of each other and their ratios mean something on a machine that is not quiet.

mod markdown;
mod scenario;

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::scenario::{SCENARIOS, Scenario};
use crate::options::Options;
use crate::report::{Machine, Round, Spread, print, print_round, write_json};
use crate::run::Progress;
use crate::workload::run_round;

#[cfg(feature = "raw-sqlite")]
use crate::raw_sqlite::{RawOptions, RawResult, RawWork, describe, measure};

/// Rounds when the number is not given.
const ROUNDS: u32 = 3;

/// The raw result that ratios are taken with, in rows per commit.
const RAW_BASE: u32 = 100;

/// Options of the suite.
#[derive(Debug, Args)]
pub struct SuiteOptions {
    /// Only the scenarios whose name holds this text; several separated by commas
    #[arg(long, value_delimiter = ',')]
    pub only: Vec<String>,

    /// Messages in flight ahead, and waiting, in the deep scenario
    #[arg(long, default_value_t = 200_000)]
    pub depth: u64,

    /// Claims measured on each queue of the deep scenario
    #[arg(long, default_value_t = 1000)]
    pub claims: u32,

    /// File for the raw insert loop, on the disk that the server under test uses; it is removed
    #[cfg(feature = "raw-sqlite")]
    #[arg(long, value_name = "FILE", default_value = "zaqar-bench-raw.sqlite")]
    pub raw_path: PathBuf,

    /// Leave the raw insert loop out
    #[cfg(feature = "raw-sqlite")]
    #[arg(long)]
    pub no_raw: bool,

    /// Seconds of each raw insert loop
    #[cfg(feature = "raw-sqlite")]
    #[arg(long, default_value_t = 3)]
    pub raw_seconds: u64,

    /// Write a table in Markdown to a file
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// The common options; connections, batch and messages are set by the scenarios
    #[command(flatten)]
    pub options: Options,
}

/// The rounds of one scenario.
#[derive(Debug, Serialize)]
struct Series {
    name: &'static str,
    connections: u16,
    batch: Option<u16>,
    rounds: Vec<Round>,
    /// Messages per second over the raw loop's rows per second, round by round.
    of_raw: Option<Spread>,
    #[serde(skip)]
    scenario: &'static Scenario,
}

/// The rows per second of a raw loop, round by round.
#[derive(Debug, Serialize)]
struct RawSeries {
    work: &'static str,
    rows_per_commit: u32,
    rows_per_s: Vec<f64>,
}

/// Everything the suite found.
#[derive(Debug, Serialize)]
struct SuiteReport {
    version: &'static str,
    command: String,
    machine: Machine,
    depth: u64,
    raw: Vec<RawSeries>,
    scenarios: Vec<Series>,
}

/// Runs the suite; answers whether all checks passed.
///
/// # Errors
/// A queue cannot be prepared or a file cannot be written.
pub fn run(options: &SuiteOptions, command: String) -> anyhow::Result<bool> {
    anyhow::ensure!(options.options.compare.is_none(), "the suite measures one server");
    let chosen = |scenario: &&Scenario| {
        options.only.is_empty() || options.only.iter().any(|part| scenario.name.contains(part))
    };
    let mut series: Vec<Series> = SCENARIOS
        .iter()
        .filter(chosen)
        .map(|scenario| Series {
            name: scenario.name,
            connections: scenario.connections,
            batch: scenario.batch,
            rounds: Vec::new(),
            of_raw: None,
            scenario,
        })
        .collect();
    anyhow::ensure!(!series.is_empty(), "no scenario has such a name");
    let mut raw = Vec::new();
    let rounds = options.options.rounds.unwrap_or(ROUNDS);
    let progress = Progress::new(options.options.quiet);
    for number in 1..=rounds {
        run_raw(options, &mut raw)?;
        for series in &mut series {
            let title = format!("{} {number}/{rounds}", series.name);
            let labelled = progress.labelled(title.clone());
            let (workload, adapted) = series.scenario.adapt(options);
            let (url, pids) = (&adapted.url, &adapted.server_pid);
            let round = run_round(workload, &adapted, url, pids, &labelled)?;
            print_round(&title, &round)?;
            series.rounds.push(round);
        }
    }
    for series in &mut series {
        series.of_raw = of_raw(&series.rounds, &raw, series.scenario.raw_work());
    }
    let report = SuiteReport {
        version: env!("CARGO_PKG_VERSION"),
        command,
        machine: Machine::here(),
        depth: options.depth,
        raw,
        scenarios: series,
    };
    finish(options, &report)
}

fn finish(options: &SuiteOptions, report: &SuiteReport) -> anyhow::Result<bool> {
    let table = markdown::render(report);
    print(&table)?;
    if let Some(path) = &options.options.json {
        write_json(path, report)?;
    }
    if let Some(path) = &options.markdown {
        std::fs::write(path, table)
            .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))?;
    }
    Ok(report.scenarios.iter().flat_map(|series| &series.rounds).all(|round| round.passed))
}

fn of_raw(rounds: &[Round], raw: &[RawSeries], work: &str) -> Option<Spread> {
    let base =
        raw.iter().find(|series| series.work == work && series.rows_per_commit == RAW_BASE)?;
    let pairs = rounds.iter().zip(&base.rows_per_s);
    Spread::of(pairs.map(|(round, rows_per_s)| round.messages_per_s / rows_per_s))
}

#[cfg(feature = "raw-sqlite")]
fn run_raw(options: &SuiteOptions, raw: &mut Vec<RawSeries>) -> anyhow::Result<()> {
    if options.no_raw {
        return Ok(());
    }
    let loops = [
        (RawWork::Insert, 1),
        (RawWork::Insert, 10),
        (RawWork::Insert, RAW_BASE),
        (RawWork::ClaimDelete, RAW_BASE),
    ];
    for (work, rows_per_commit) in loops {
        let result: RawResult = measure(&RawOptions {
            work,
            rows_per_commit,
            body_bytes: options.options.body_bytes,
            pause_ms: 0,
            seconds: options.raw_seconds,
            path: options.raw_path.clone(),
            json: None,
        })?;
        print(&describe(&result))?;
        let work = work.name();
        let same = |s: &&mut RawSeries| s.work == work && s.rows_per_commit == rows_per_commit;
        match raw.iter_mut().find(same) {
            Some(series) => series.rows_per_s.push(result.rows_per_s),
            None => {
                let rows_per_s = vec![result.rows_per_s];
                raw.push(RawSeries { work, rows_per_commit, rows_per_s });
            }
        }
    }
    print("")?;
    Ok(())
}

#[cfg(not(feature = "raw-sqlite"))]
fn run_raw(_options: &SuiteOptions, _raw: &mut Vec<RawSeries>) -> anyhow::Result<()> {
    Ok(())
}
