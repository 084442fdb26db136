//! The project's chores, as `cargo xtask NAME`: test gate, repository rules, set-up, databases,
//! benchmarks.

mod bench;
mod bench_beside;
mod build;
mod clients;
mod conformance;
mod features;
mod gate;
mod keystone;
mod licences;
mod mutants;
mod process;
mod python;
mod report_table;
mod schemathesis;
mod server;
mod services;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask", about = "The project's chores", version)]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Run everything a change must pass; stops at the first step that fails
    Test(gate::TestArgs),
    /// Check the repository's own rules
    Tidy(tidy::TidyArgs),
    /// Install a Python environment with the real clients; `services up` installs the databases
    Setup(python::SetupArgs),
    /// Start, stop or show the databases that tests share
    Services(services::ServicesArgs),
    /// Run the conformance suite on the backends, as long as asked, and keep its reports
    Conformance(conformance::ConformanceArgs),
    /// Change the SQLite driver at random places, and see whether the suite notices
    Mutants(mutants::MutantsArgs),
    /// Build in release mode and measure the server beside the raw engine
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().chore) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(chore: Chore) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match chore {
        Chore::Test(args) => gate::test(&workspace, &args),
        Chore::Tidy(args) => tidy::tidy(&workspace, &args),
        Chore::Setup(args) => python::setup(&workspace, &args),
        Chore::Services(args) => services::services(&workspace, &args),
        Chore::Conformance(args) => conformance::conformance(&workspace, &args),
        Chore::Mutants(args) => mutants::mutants(&workspace, &args),
        Chore::Bench(args) => bench::bench(&workspace, &args),
    }
}
