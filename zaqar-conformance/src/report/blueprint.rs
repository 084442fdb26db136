//! The driver's blueprint: what an operator wants to know before choosing a driver, as a Markdown page
//! that holds the run's evidence and says what a run cannot show.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use zaqar_core::Capability;

use super::{Entry, Outcome, Report};
use crate::case::Guarantee;
use crate::counts::in_words;
use crate::harness::Subject;
use crate::profile::Verdict;

/// Areas whose cases hold however much is waiting, claimed, delayed or over.
const DEPTH: [&str; 3] = ["claim.depth.", "delay.depth.", "expiry.sweep."];

pub(super) fn page(report: &Report) -> String {
    [what_it_is(report), reliability(report), scalability(report), interoperability(report)]
        .into_iter()
        .chain([openness(report)])
        .collect::<Vec<_>>()
        .join("\n")
}

fn what_it_is(report: &Report) -> String {
    let Subject { driver, version, backend, mode } = &report.subject;
    let mut page =
        format!("# {} {} on {}, {}\n\n", cell(driver), cell(version), cell(backend), mode);
    let judged = |entry: &&Entry| !matches!(entry.outcome, Outcome::Undeclared { .. });
    let asked = report.entries.iter().filter(judged).count();
    let passed = |entry: &&Entry| matches!(entry.outcome, Outcome::Passed { .. });
    let passed = report.entries.iter().filter(passed).count();
    // Writing to a String cannot fail.
    let mut line = |line: String| writeln!(page, "{line}").unwrap_or_default();
    line(format!("Made by conformance suite {} of one run; not edited.", report.suite_version));
    line(format!(
        "{passed} of {asked} cases and trials passed, budget {}, seed {}.",
        report.budget.word(),
        report.seed
    ));
    line(format!("Again: {}", code(&report.reproduce)));
    page
}

fn reliability(report: &Report) -> String {
    let mut page = String::from(
        "## Reliability\n\n| guarantee | verdict | cases and trials | shown by |\n| --- | --- | --- | --- |\n",
    );
    let verdicts = report.guarantees();
    for guarantee in Guarantee::ALL {
        let shown: Vec<&Entry> =
            report.entries.iter().filter(|entry| entry.guarantees.contains(&guarantee)).collect();
        let areas: BTreeSet<&str> = shown.iter().map(|entry| area(&entry.id)).collect();
        let verdict = verdicts.get(&guarantee).map_or("not asked".to_owned(), verdict_words);
        let areas = areas.into_iter().map(|area| format!("`{area}`")).collect::<Vec<_>>();
        let (title, count) = (guarantee.title(), shown.len());
        let row = format!("| {guarantee} {title} | {verdict} | {count} | {} |\n", areas.join(" "));
        page.push_str(&row);
    }
    let counts = report.counts();
    page.push_str("\nIn all its trials:");
    let rows = counts.seen.iter().map(|(name, count)| (name, count, ""));
    let rows = rows.chain(counts.faults.iter().map(|(name, count)| (name, count, " (fault)")));
    page.push_str("\n\n| counted | |\n| --- | --- |\n");
    for (name, count, kind) in rows {
        page.push_str(&format!("| {}{kind} | {count} |\n", cell(&in_words(name))));
    }
    page.push_str(&broken(report));
    page
}

/// What stands against the verdicts; evidence is in the other forms of the report.
fn broken(report: &Report) -> String {
    let left: Vec<String> = report
        .entries
        .iter()
        .filter(|entry| {
            let outcome = &entry.outcome;
            matches!(
                outcome,
                Outcome::Failed { .. } | Outcome::Inconclusive { .. } | Outcome::Skipped { .. }
            )
        })
        .map(|entry| format!("- `{}`: {}\n", entry.id, entry.outcome.word()))
        .collect();
    if left.is_empty() {
        return "\nNothing was broken, left out or in doubt.\n".to_owned();
    }
    format!("\nNot shown:\n\n{}", left.concat())
}

fn scalability(report: &Report) -> String {
    let mut page = String::from("## Scalability\n\n");
    let of = |prefix: &str| {
        let within = |entry: &&Entry| entry.id.starts_with(prefix);
        let all: Vec<&Outcome> =
            report.entries.iter().filter(within).map(|entry| &entry.outcome).collect();
        verdict_words(&Verdict::of(&all))
    };
    page.push_str("| asked | verdict |\n| --- | --- |\n");
    let mut row = |what: &str, verdict: String| {
        page.push_str(&format!("| {what} | {verdict} |\n"));
    };
    for prefix in DEPTH {
        row(&format!("answers whatever lies ahead: `{prefix}*`"), of(prefix));
    }
    row(
        "several handles on one store at the same time: `loss.concurrent.*`",
        of("loss.concurrent."),
    );
    row("queues move to another store while in use: `move.*`", of("move."));
    row("pools, flavors and catalogue for placing queues: `pool.*`", of("pool."));
    let declared = report.capabilities.has(Capability::HighThroughput);
    let declared = if declared { "declared" } else { "not declared" };
    row("made for many messages", declared.to_owned());
    page.push_str(
        "\nThe suite judges no speed. How cost grows and how load spreads is said by the driver's README and \
         shown by benchmarks.\n",
    );
    page
}

fn interoperability(report: &Report) -> String {
    let Subject { backend, mode, .. } = &report.subject;
    let wire: Vec<&str> = report.capabilities.iter().filter_map(Capability::wire_name).collect();
    let declared: Vec<String> =
        report.capabilities.iter().map(|capability| format!("{capability:?}")).collect();
    let refused: BTreeSet<String> = report
        .entries
        .iter()
        .filter_map(|entry| match entry.outcome {
            Outcome::RefusalVerified { capability } | Outcome::Undeclared { capability } => {
                Some(format!("{capability:?}"))
            }
            _ => None,
        })
        .collect();
    let listed =
        |words: Vec<String>| if words.is_empty() { "nothing".into() } else { words.join(" ") };
    format!(
        "## Interoperability\n\n| | |\n| --- | --- |\n| run with | {}, {} |\n| declares | {} |\n\
         | shown to clients | {} |\n| does not declare | {} |\n\n\
         Other versions, hosted and wire-compatible variants: run the suite on them.\n",
        cell(backend),
        cell(mode),
        listed(declared),
        listed(wire.into_iter().map(str::to_owned).collect()),
        listed(refused.into_iter().collect()),
    )
}

fn openness(report: &Report) -> String {
    let licence = match report.licence.as_str() {
        "" => "its package names none".to_owned(),
        licence => cell(licence),
    };
    format!(
        "## Openness\n\nLicence of the driver: {licence}. That of the backend is said by its README.\n"
    )
}

fn verdict_words(verdict: &Verdict) -> String {
    let words = match verdict {
        Verdict::Conformant => "conformant",
        Verdict::Partial => "in part",
        Verdict::NonConformant => "**broken**",
        Verdict::Inconclusive => "in doubt",
        Verdict::NotDeclared => "not declared",
    };
    words.to_owned()
}

fn area(id: &str) -> &str {
    id.split('.').next().unwrap_or_default()
}

/// `text` as it may stand in a cell of a table: nothing in it is markup.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => cell.push_str("&amp;"),
            '<' => cell.push_str("&lt;"),
            '>' => cell.push_str("&gt;"),
            '|' | '*' | '[' | ']' | '`' | '\\' => {
                cell.push('\\');
                cell.push(character);
            }
            c if c.is_control() => cell.push(' '),
            other => cell.push(other),
        }
    }
    cell
}

/// `text` as code within a line.
fn code(text: &str) -> String {
    let shown = |c: char| if c == '`' || c.is_control() { ' ' } else { c };
    format!("`{}`", text.chars().map(shown).collect::<String>())
}
