//! A stage's file: what the suite said, an outcome for each case and trial.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::ensure;
use zaqar_conformance::{Outcome, Report};

use crate::harness::Stage;

/// The text of a stage's file.
pub(crate) fn of(stage: Stage, report: &Report) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &report.entries {
        *counts.entry(word(&entry.outcome)).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
    let declared: Vec<String> =
        report.capabilities.iter().map(|capability| format!("{capability:?}")).collect();
    let mut text = format!("{}\n", stage.about());
    // Writing to a String cannot fail.
    let mut line = |line: String| writeln!(text, "{line}").unwrap_or_default();
    line(format!("suite {}, {:?}", report.suite_version, report.budget));
    line(format!("declares {}", declared.join(" ")));
    line(format!("{}\n", counts.join(", ")));
    verdicts(report).into_iter().for_each(&mut line);
    line(String::new());
    for entry in &report.entries {
        let evidence = evidence(&entry.outcome).lines().next().unwrap_or_default();
        let said = format!("{:<12} {:<60} {evidence}", word(&entry.outcome), entry.id);
        line(said.trim_end().to_owned());
    }
    text
}

/// Whether the suite still says what the file says. A case that came later is not in it.
pub(crate) fn compare(committed: &str, report: &Report) -> anyhow::Result<()> {
    let found: BTreeMap<&str, &str> =
        report.entries.iter().map(|entry| (entry.id.as_str(), word(&entry.outcome))).collect();
    let mut compared = 0;
    for line in committed.lines() {
        let mut words = line.split_whitespace();
        let (Some(said), Some(id)) = (words.next(), words.next()) else { continue };
        if WORDS.contains(&said) && id.contains('.') {
            let found = found.get(id).copied().unwrap_or("not in the suite");
            ensure!(found == said, "{id}: the file says {said}, the suite {found}");
            compared += 1;
        }
    }
    ensure!(compared > 100, "the file names only {compared} cases and trials");
    for verdict in verdicts(report) {
        ensure!(committed.contains(&format!("\n{verdict}\n")), "the suite says {verdict}");
    }
    Ok(())
}

fn verdicts(report: &Report) -> Vec<String> {
    let verdict =
        |(profile, verdict): (&_, &_)| format!("{:<14} {verdict:?}", format!("{profile:?}"));
    report.profiles.iter().map(verdict).collect()
}

const WORDS: [&str; 6] = ["passed", "FAILED", "refused", "undeclared", "skipped", "inconclusive"];

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed { .. } => "passed",
        Outcome::Failed { .. } => "FAILED",
        Outcome::RefusalVerified { .. } => "refused",
        Outcome::Undeclared { .. } => "undeclared",
        Outcome::Skipped { .. } => "skipped",
        Outcome::Inconclusive { .. } => "inconclusive",
    }
}

fn evidence(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Failed { evidence } => evidence,
        Outcome::Skipped { reason, .. } | Outcome::Inconclusive { reason } => reason,
        _ => "",
    }
}
