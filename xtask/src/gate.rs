//! `cargo xtask test`: the steps a change must pass.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::services::ForTests;
use crate::workspace::Workspace;
use crate::{build, clients, features, licences, process, schemathesis, tidy};

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
const STEPS: [Step; 10] = [
    Step { name: "tidy", about: "the repository's rules", run: tidy::check },
    Step { name: "format", about: "rustfmt changes nothing", run: format },
    Step { name: "lints", about: "clippy is silent", run: lints },
    Step { name: "docs", about: "the documentation builds, no link broken", run: docs },
    Step { name: "tests", about: "all tests, with real databases", run: tests },
    Step { name: "examples", about: "the engine's examples run", run: examples },
    Step { name: "features", about: "features pull in only what they name", run: features::check },
    Step { name: "licences", about: "every crate's licence permits its use", run: licences::check },
    Step {
        name: "fuzz-api",
        about: "made-up requests meet answers as described",
        run: schemathesis::check,
    },
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
    run_steps(workspace, &chosen)?;
    if chosen.len() < STEPS.len() {
        println!("not run: every step but {}", args.only.join(", "));
    }
    Ok(())
}

/// Runs the steps in order, up to the first that fails.
fn run_steps(workspace: &Workspace, steps: &[&Step]) -> Result<()> {
    let start = Instant::now();
    let mut durations = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n==> step {} of {}: {} ({})", index + 1, steps.len(), step.name, step.about);
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
    durations.push(("all", start.elapsed().as_secs_f64()));
    for (name, seconds) in durations {
        println!("{name:<9} {seconds:>7.1} s");
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
    let databases = ForTests::start(workspace)?;
    let tested = all_tests(workspace, &databases.environment);
    let stopped = databases.stop().context("stopping the databases");
    tested.and(stopped)
}

fn all_tests(workspace: &Workspace, environment: &[(&'static str, String)]) -> Result<()> {
    let cargo = || {
        let mut cargo = workspace.cargo();
        cargo.envs(environment.iter().map(|(name, value)| (*name, value)));
        cargo
    };
    if process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        println!("    with cargo-nextest");
        process::run(cargo().args(["nextest", "run", "--workspace", "--all-features"]))?;
    } else {
        // Building nextest takes longer than all the tests, so a bare machine does without. Nothing
        // is skipped; what is lost is a process for each test and its time-out.
        println!("    with cargo test, as cargo-nextest is not installed");
        process::run(cargo().args(["test", "--workspace", "--all-features"]).args([
            "--lib",
            "--bins",
            "--tests",
            "--examples",
        ]))?;
    }
    process::run(cargo().args(["test", "--doc", "--workspace", "--all-features"]))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &'static str, run: fn(&Workspace) -> Result<()>) -> Step {
        Step { name, about: "", run }
    }

    #[test]
    fn the_gate_stops_at_the_first_step_that_fails_and_names_it() {
        let workspace = Workspace { root: "root".into(), target_dir: "target".into() };
        let good = step("good", |_| Ok(()));
        let bad = step("bad", |_| bail!("broken"));
        let never = step("never", |_| bail!("a step ran after one that failed"));
        let error = run_steps(&workspace, &[&good, &bad, &never]).unwrap_err();
        assert_eq!(error.to_string(), "step `bad` failed: broken");
        run_steps(&workspace, &[&good]).unwrap();
    }
}
