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

/// The guide with what it quotes of the stage's file, the block after the link to it, as the file
/// has it: from what is declared to the last verdict.
pub(crate) fn quoted(guide: &str, stage: Stage, text: &str) -> Option<String> {
    let after = |at: usize, of: &str, what: &str| Some(at + of.get(at..)?.find(what)? + what.len());
    let link = after(0, guide, &format!("stages/{})", stage.file()))?;
    let begin = after(link, guide, "```text\n")?;
    let end = begin + guide.get(begin..)?.find("```")?;
    let quote = text.get(text.find("declares ")?..)?;
    // Two paragraphs: what is declared with the counts, and the verdicts.
    let length = quote.match_indices("\n\n").nth(1)?.0 + 1;
    Some([guide.get(..begin)?, quote.get(..length)?, guide.get(end..)?].concat())
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
