//! `zaqar-simulation`: many queues on many pools, as a model. Exits with 1 when a check failed, with 2
//! on an error.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use zaqar_simulation::options::Options;
use zaqar_simulation::report::Report;

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("zaqar-simulation: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> anyhow::Result<bool> {
    let report = Report::new(options)?;
    if let Some(path) = &options.json {
        report.write_json(path)?;
    }
    let failures = report.failures();
    let mut out = io::stdout().lock();
    writeln!(out, "{}", report.text())?;
    for failure in &failures {
        writeln!(out, "FAILED: {failure}")?;
    }
    if failures.is_empty() {
        writeln!(out, "checks: what weights and formulas let expect was found")?;
    }
    Ok(failures.is_empty())
}
