//! `cargo xtask test`: the steps a change must pass.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::workspace::Workspace;
use crate::{build, clients, features, licences, process, tidy};

/// How long an example may run: it shows something, it does not work.
const EXAMPLE_LIMIT: Duration = Duration::from_secs(120);
/// The examples that the README shows.
const EXAMPLES: [&str; 2] = ["embed_sqlite", "worker_with_claims"];

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Run only these steps
    #[arg(long, value_name = "STEP", value_parser = step_names())]
    only: Vec<String>,
    /// List the steps and do nothing
    #[arg(long)]
    list: bool,
}

struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

/// What is cheap and fails often comes first.
const STEPS: [Step; 9] = [
    Step { name: "tidy", about: "the repository's rules", run: tidy::check },
    Step { name: "format", about: "rustfmt changes nothing", run: format },
    Step { name: "lints", about: "clippy is silent", run: lints },
    Step { name: "docs", about: "the documentation builds, no link broken", run: docs },
    Step { name: "tests", about: "unit, integration, conformance and doc tests", run: tests },
    Step { name: "examples", about: "the engine's examples run", run: examples },
    Step { name: "features", about: "features pull in only what they name", run: features::check },
    Step { name: "licences", about: "every crate's licence permits its use", run: licences::check },
    Step { name: "clients", about: "the real clients drive the server", run: clients::check },
];

fn step_names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

pub(crate) fn test(workspace: &Workspace, args: &TestArgs) -> Result<()> {
    if args.list {
        for step in &STEPS {
            println!("{:<9} {}", step.name, step.about);
        }
        return Ok(());
    }
    let chosen: Vec<&Step> = STEPS
        .iter()
        .filter(|step| args.only.is_empty() || args.only.iter().any(|name| name == step.name))
        .collect();
    let start = Instant::now();
    let mut durations = Vec::new();
    for (number, step) in chosen.iter().enumerate() {
        println!("\n==> step {} of {}: {} ({})", number + 1, chosen.len(), step.name, step.about);
        let step_start = Instant::now();
        let result = (step.run)(workspace);
        let seconds = step_start.elapsed().as_secs_f64();
        if let Err(error) = result {
            println!("<== {} FAILED after {seconds:.1} s", step.name);
            bail!("step `{}` failed: {error:#}", step.name);
        }
        println!("<== {} passed in {seconds:.1} s", step.name);
        durations.push((step.name, seconds));
    }
    println!();
    for (name, seconds) in durations {
        println!("{name:<9} {seconds:>7.1} s");
    }
    println!("{:<9} {:>7.1} s", "all", start.elapsed().as_secs_f64());
    if chosen.len() < STEPS.len() {
        println!("not run: every step but {}", args.only.join(", "));
    }
    Ok(())
}

fn format(workspace: &Workspace) -> Result<()> {
    process::run(workspace.cargo().args(["fmt", "--all", "--", "--check"]))
}

fn lints(workspace: &Workspace) -> Result<()> {
    let clippy = ["clippy", "--workspace", "--all-targets", "--all-features"];
    process::run(workspace.cargo().args(clippy).args(["--", "-D", "warnings"]))
}

fn docs(workspace: &Workspace) -> Result<()> {
    process::run(
        workspace
            .cargo()
            .args(["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "-D warnings -D rustdoc::broken_intra_doc_links"),
    )
}

fn tests(workspace: &Workspace) -> Result<()> {
    if process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        println!("    with cargo-nextest");
        process::run(workspace.cargo().args(["nextest", "run", "--workspace", "--all-features"]))?;
    } else {
        // Building nextest takes longer than all the tests, so a bare machine does without. Nothing
        // is skipped; what is lost is a process for each test and its time-out.
        println!("    with cargo test, as cargo-nextest is not installed");
        process::run(workspace.cargo().args(["test", "--workspace", "--all-features"]).args([
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ]))?;
    }
    process::run(workspace.cargo().args(["test", "--doc", "--workspace", "--all-features"]))
}

fn examples(workspace: &Workspace) -> Result<()> {
    let executables = build::executables(workspace)?;
    for name in EXAMPLES {
        let path = executables
            .get(name)
            .with_context(|| format!("there is no example `{name}` in the workspace"))?;
        let folder = tempfile::tempdir().context("cannot make a folder for the example")?;
        let mut command = std::process::Command::new(path);
        // Away from the checkout, so that an example that leaves a file behind does not litter it.
        command.current_dir(folder.path()).env("TMPDIR", folder.path());
        process::run_within(&mut command, EXAMPLE_LIMIT)
            .with_context(|| format!("example `{name}`"))?;
    }
    Ok(())
}
