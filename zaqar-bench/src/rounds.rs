//! Rounds of one workload, on one server or alternating between two.

use crate::options::Options;
use crate::report::{
    Machine, ReportFile, Round, compare, print_comparison, print_round, write_json,
};
use crate::run::Progress;
use crate::workload::{Workload, run_round};

/// Rounds when two servers are compared and the number is not given.
const ROUNDS_COMPARED: u32 = 3;

/// Runs all rounds, prints them and writes the result file; answers whether all checks passed.
///
/// # Errors
/// The options do not fit, the queues cannot be prepared, or the file cannot be written.
pub fn run(workload: Workload, options: &Options, command: String) -> anyhow::Result<bool> {
    let servers = servers(options);
    let default = if servers.len() > 1 { ROUNDS_COMPARED } else { 1 };
    let rounds = options.rounds.unwrap_or(default);
    let progress = Progress::new(options.quiet);
    let (mut all, mut pairs) = (Vec::new(), Vec::new());
    for number in 1..=rounds {
        let title = format!("{} {number}/{rounds}", workload.name());
        let measure = |(url, pids): &(&str, &[u32])| -> anyhow::Result<Round> {
            let labelled = progress.labelled(format!("{title} {url}"));
            let round = run_round(workload, options, url, pids, &labelled)?;
            print_round(&title, &round)?;
            Ok(round)
        };
        match servers.as_slice() {
            [first, second] => {
                // Turned about in every other round, so that a drift of the machine cancels out.
                let pair = if number % 2 == 1 {
                    let first = measure(first)?;
                    (first, measure(second)?)
                } else {
                    let second = measure(second)?;
                    (measure(first)?, second)
                };
                all.extend([pair.0.clone(), pair.1.clone()]);
                pairs.push(pair);
            }
            one => {
                for server in one {
                    all.push(measure(server)?);
                }
            }
        }
    }
    let comparison = compare(&pairs);
    if let Some(comparison) = &comparison {
        print_comparison(comparison)?;
    }
    let passed = all.iter().all(|round| round.passed);
    if let Some(path) = &options.json {
        let report = ReportFile {
            version: env!("CARGO_PKG_VERSION"),
            command,
            machine: Machine::here(),
            workload: workload.name(),
            rounds: all,
            comparison,
        };
        write_json(path, &report)?;
    }
    Ok(passed)
}

fn servers(options: &Options) -> Vec<(&str, &[u32])> {
    let mut servers = vec![(options.url.as_str(), options.server_pid.as_slice())];
    if let Some(url) = &options.compare {
        servers.push((url, options.compare_pid.as_slice()));
    }
    servers
}
