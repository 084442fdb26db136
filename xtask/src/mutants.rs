//! `cargo xtask mutants`: how much of what could go wrong in the SQLite data plane the suite notices.
//!
//! cargo-mutants makes one small change after the other to the driver and runs the conformance suite,
//! at its smoke budget, on each. All changes would take a day on a small machine, so a sample is
//! drawn, by a seed that the result names: the same again is the same sample of the same code.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use serde_json::Value;

use crate::process;
use crate::report_table::REPORTS;
use crate::workspace::Workspace;

/// The version that the results were made with.
const TOOL_VERSION: &str = "27.1.0";
/// What is changed: the data plane, not the control plane beside it.
const FILES: &str = "zaqar-storage-sql/src/sqlite/*.rs";
/// What of it is left out, as it decides no message's fate: how a file is found, set up and watched
/// (`config`, `open`, `file`, `scratch`), when its log is copied (`checkpoint`), how many operations share a turn
/// (`intake`), how a statement reaches SQLite (`engine`). The crate's own tests ask about these.
const LEFT_OUT: [&str; 7] = ["config", "open", "file", "checkpoint", "intake", "engine", "scratch"];
const PACKAGE: &str = "zaqar-storage-sql";
/// Where the tool keeps its logs, and what came of each slice.
const OUTPUT: &str = "target/mutants";
/// Changes that are tried before what came of them is kept.
const SLICE: usize = 25;
/// Where the result is kept, among the reports.
const RESULT: &str = "mutants-sqlite.txt";

#[derive(Args)]
pub(crate) struct MutantsArgs {
    /// How many changes are drawn, those that do not compile included
    #[arg(long, default_value_t = 200)]
    sample: usize,
    /// What draws them
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only changes with this text in their names, instead of a sample
    #[arg(long)]
    only: Vec<String>,
    /// Go on with a run of the same sample that was stopped: what it had tried counts
    #[arg(long)]
    resume: bool,
    /// Try what such a run left unnoticed once more, with the suite as it is now
    #[arg(long, conflicts_with = "only")]
    again: bool,
}

pub(crate) fn mutants(workspace: &Workspace, args: &MutantsArgs) -> Result<()> {
    install()?;
    let all = names(workspace)?;
    let chosen: Vec<&String> = if args.only.is_empty() {
        // A larger sample by the same seed holds the smaller one.
        let mut drawn: Vec<&String> = all.iter().collect();
        drawn.shuffle(&mut StdRng::seed_from_u64(args.seed));
        drawn.truncate(args.sample);
        drawn.sort();
        drawn
    } else {
        all.iter().filter(|name| args.only.iter().any(|text| name.contains(text))).collect()
    };
    ensure!(!chosen.is_empty(), "no change is called that");
    let mut outcomes = try_all(workspace, args, &chosen)?;
    let later = if args.again { try_again(workspace, args, &mut outcomes)? } else { 0 };
    let text = result(&all, args, &outcomes, later);
    println!("{text}");
    if args.only.is_empty() {
        std::fs::write(workspace.root.join(REPORTS).join(RESULT), text)?;
    }
    Ok(())
}

/// Tries changes in slices, and keeps what came of each slice, so that a run can be resumed.
fn try_all(workspace: &Workspace, args: &MutantsArgs, chosen: &[&String]) -> Result<Outcomes> {
    let kept = workspace.root.join(OUTPUT);
    if !args.resume && !args.again && kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    let mut all = Outcomes::new();
    for (number, slice) in chosen.chunks(SLICE).enumerate() {
        let output = kept.join(format!("{}-{number}", args.seed));
        let done = output.join("done");
        if !done.exists() {
            run(workspace, slice, &output)?;
            std::fs::write(done, "")?;
        }
        for (kind, names) in outcomes(&output.join("mutants.out/outcomes.json"))? {
            all.entry(kind).or_default().extend(names);
        }
    }
    Ok(all)
}

/// Tries what went unnoticed once more; how many of those are caught by now.
fn try_again(workspace: &Workspace, args: &MutantsArgs, all: &mut Outcomes) -> Result<usize> {
    let missed: BTreeSet<String> = all.remove(MISSED).unwrap_or_default().into_iter().collect();
    let output = workspace.root.join(OUTPUT).join(format!("{}-again", args.seed));
    let done = output.join("done");
    if missed.is_empty() {
        return Ok(0);
    }
    if !args.resume || !done.exists() {
        if output.exists() {
            std::fs::remove_dir_all(&output)?;
        }
        run(workspace, &missed.iter().collect::<Vec<_>>(), &output)?;
        std::fs::write(done, "")?;
    }
    let (mut tried, mut still) = (0, 0);
    for (kind, mut names) in outcomes(&output.join("mutants.out/outcomes.json"))? {
        names.retain(|name| missed.contains(name));
        tried += names.len();
        still += if kind == MISSED { names.len() } else { 0 };
        all.entry(kind).or_default().extend(names);
    }
    ensure!(tried == missed.len(), "the driver has changed since: run the whole sample");
    Ok(tried - still)
}

/// Nothing is done where that version is there already.
fn install() -> Result<()> {
    let mut install = Command::new("cargo");
    process::run(install.args(["install", "--locked", "cargo-mutants", "--version", TOOL_VERSION]))
}

/// Every change that could be made, by name.
fn names(workspace: &Workspace) -> Result<Vec<String>> {
    let mut list = workspace.cargo();
    list.args(["mutants", "--list", "--json", "--package", PACKAGE, "--file", FILES]);
    list.args(left_out());
    let listed: Vec<Value> = serde_json::from_str(&process::capture(&mut list)?)?;
    let name = |mutant: &Value| Some(mutant.get("name")?.as_str()?.to_owned());
    listed.iter().map(name).collect::<Option<_>>().context("a change without a name")
}

fn run(workspace: &Workspace, chosen: &[&String], output: &Path) -> Result<()> {
    std::fs::create_dir_all(output)?;
    let patterns: Vec<String> = chosen.iter().map(|name| escaped(name)).collect();
    let mut command = workspace.cargo();
    command.args(["mutants", "--package", PACKAGE, "--file", FILES, "--test-tool", "nextest"]);
    command.args(left_out()).args(["--re", &format!("^(?:{})$", patterns.join("|"))]);
    command.args(["--timeout", "900", "--build-timeout", "900", "--no-shuffle", "--colors=never"]);
    command.arg("--output").arg(output);
    // The tool works on a copy: the dependencies are built once for all slices.
    command.env("CARGO_TARGET_DIR", workspace.root.join("target/mutants-build"));
    command.args(["--", "--test", "conformance", "--profile", "mutants"]);
    command.env("ZAQAR_CONFORMANCE_BUDGET", "smoke").env("CARGO_PROFILE_DEV_DEBUG", "0");
    let status = command.status().context("cannot start cargo-mutants")?;
    // 2: some changes went unnoticed; 3: some made a test run too long. Both are results.
    ensure!(matches!(status.code(), Some(0 | 2 | 3)), "cargo-mutants failed: {status}");
    Ok(())
}

fn left_out() -> impl Iterator<Item = String> {
    let file = |name: &&str| ["--exclude".to_owned(), FILES.replace('*', name)];
    LEFT_OUT.iter().flat_map(file)
}

/// `name` as a regular expression that fits nothing else.
fn escaped(name: &str) -> String {
    let mut pattern = String::with_capacity(name.len() * 2);
    for letter in name.chars() {
        if !letter.is_alphanumeric() && !matches!(letter, ' ' | '_' | '/' | ':' | '<' | '>') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern
}

/// A change that went unnoticed, in the tool's words.
const MISSED: &str = "MissedMutant";

/// What became of the changes: the names by outcome.
type Outcomes = BTreeMap<String, Vec<String>>;

fn outcomes(file: &Path) -> Result<Outcomes> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let found: Value = serde_json::from_str(&text)?;
    let mut outcomes = Outcomes::new();
    let list = found.get("outcomes").and_then(Value::as_array).context("no outcomes")?;
    for outcome in list {
        let name = outcome.pointer("/scenario/Mutant/name").and_then(Value::as_str);
        let summary = outcome.get("summary").and_then(Value::as_str);
        if let (Some(name), Some(summary)) = (name, summary) {
            outcomes.entry(summary.into()).or_default().push(name.into());
        }
    }
    Ok(outcomes)
}

/// The result for people; of what was caught, `later` only when it was tried again.
fn result(all: &[String], args: &MutantsArgs, outcomes: &Outcomes, later: usize) -> String {
    let of = |kind: &str| outcomes.get(kind).map_or(&[][..], Vec::as_slice);
    let (caught, ended, missed) = (of("CaughtMutant"), of("Timeout"), of(MISSED));
    let noticed = caught.len() + ended.len();
    let viable = noticed + missed.len();
    let tried = viable + of("Unviable").len();
    // Hundredths of a percent, without a float.
    let share = (noticed * 1_000).checked_div(viable).unwrap_or_default();
    let mut text = String::new();
    // Writing to a text cannot fail.
    let mut line = |line: String| writeln!(text, "{line}").unwrap_or_default();
    line(format!("cargo-mutants {TOOL_VERSION}, {FILES}, suite at its smoke budget"));
    line(format!("left out: {}", LEFT_OUT.join(", ")));
    line(format!("{} changes possible, {tried} tried, seed {}", all.len(), args.seed));
    line(format!("{} did not compile, {viable} did", of("Unviable").len()));
    line(format!("caught {noticed} of {viable} ({}.{} %)", share / 10, share % 10));
    line(format!("of these {} by a test that did not end", ended.len()));
    line(format!("of these {later} when tried again, by what the suite has learnt since"));
    line(format!("unnoticed: {}", missed.len()));
    for name in missed {
        line(format!("  {name}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_pattern_of_itself_alone() {
        assert_eq!(
            escaped("a/b.rs:1:2: replace f -> Result<()> with Ok(())"),
            r"a/b\.rs:1:2: replace f \-> Result<\(\)> with Ok\(\(\)\)"
        );
    }

    #[test]
    fn what_does_not_compile_counts_for_nothing() {
        let names = |count: usize| vec!["x".to_owned(); count];
        let kinds = [("CaughtMutant", 8), ("Timeout", 1), ("MissedMutant", 1), ("Unviable", 5)];
        let outcomes = kinds.into_iter().map(|(kind, count)| (kind.to_owned(), names(count)));
        let args =
            MutantsArgs { sample: 15, seed: 3, only: Vec::new(), resume: false, again: false };
        let text = result(&names(40), &args, &outcomes.collect(), 0);
        assert!(text.contains("40 changes possible, 15 tried, seed 3"), "{text}");
        assert!(text.contains("caught 9 of 10 (90.0 %)"), "{text}");
    }
}
