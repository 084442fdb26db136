//! Measuring the server of this checkout: all standard workloads, and the raw engine beside them.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use clap::Args;

use crate::bench_beside::Backend;
use crate::server::Server;
use crate::workspace::Workspace;
use crate::{bench_beside, build, process};

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// Measure posts on that database server beside raw inserts into it, and nothing else
    #[arg(long, value_enum, conflicts_with = "options")]
    backend: Option<Backend>,
    /// Options for `zaqar-bench suite`, such as `--rounds 5` or `--only post`
    #[arg(last = true, value_name = "OPTION")]
    options: Vec<String>,
}

pub(crate) fn bench(workspace: &Workspace, args: &BenchArgs) -> Result<()> {
    if let Some(backend) = args.backend {
        return bench_beside::bench(workspace, backend);
    }
    let executables = build::released(workspace)?;
    let program = |name| executables.get(name).with_context(|| format!("no program `{name}`"));
    let folder = workspace.target_dir.join("bench");
    fs::create_dir_all(&folder).context("cannot make the folder for the results")?;

    // The store and the raw loop's file are on one disk, or their ratio would mean nothing.
    let server = Server::start(program("zaqar-server")?, &folder, None)?;
    let result = process::run(
        Command::new(program("zaqar-bench")?)
            .current_dir(&folder)
            .args(["suite", "--url", &server.url(), "--server-pid", &server.pid().to_string()])
            .args(["--raw-path", "raw.sqlite", "--json", "suite.json", "--markdown", "suite.md"])
            .args(&args.options),
    );
    if result.is_err() {
        server.show_log();
    }
    result?;
    server.stop()?;
    println!("results: {} and suite.md", folder.join("suite.json").display());
    Ok(())
}
