//! `zaqar-bench`: measures Zaqar servers. Exits with 1 when a check failed, with 2 on an error.

use std::process::ExitCode;

use clap::Parser;
use zaqar_bench::cli::{Cli, Command, Task};
use zaqar_bench::{fan_out, rounds, sockets, suite, wait};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli.command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("zaqar-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(command: &Command) -> anyhow::Result<bool> {
    match command.task() {
        Task::Workload(workload, options) => rounds::run(workload, options, command_line()),
        Task::Sockets(options) => sockets::command(options),
        Task::FanOut(options) => fan_out::command(options),
        Task::Wait(options) => wait::command(options),
        #[cfg(feature = "raw-sqlite")]
        Task::RawSqlite(options) => zaqar_bench::raw_sqlite::command(options),
        Task::Suite(options) => suite::run(options, command_line()),
    }
}

/// The command line as it was given, but for the token.
fn command_line() -> String {
    let mut words: Vec<String> = Vec::new();
    let mut hide = false;
    for word in std::env::args() {
        words.push(match word.split_once('=') {
            _ if hide => "(hidden)".to_owned(),
            Some(("--token", _)) => "--token=(hidden)".to_owned(),
            _ => word.clone(),
        });
        hide = word == "--token";
    }
    words.join(" ")
}
