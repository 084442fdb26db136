//! The report as one page: styles and pictures are in it, and nothing is loaded from anywhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::chart::bars;
use super::escaped;
use super::{Entry, Outcome, Report};
use crate::case::Guarantee;
use crate::counts::in_words;
use crate::harness::Subject;
use crate::loss::explain::Exhibit;
use crate::profile::Verdict;

/// Cases and trials that the picture of the slowest shows.
const SLOWEST: usize = 15;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;width:100%;margin:.5rem 0 2rem}\
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem;border-bottom:1px solid #8884}\
code,pre{font:13px/1.4 ui-monospace,monospace}\
pre{white-space:pre-wrap;overflow-wrap:anywhere;margin:.2rem 0}\
svg{max-width:100%;height:auto;font:12px system-ui,sans-serif;fill:currentColor}\
rect{fill:#3b78c4}\
.good{color:#1a7f37}.bad{color:#cf222e;font-weight:600}.doubt{color:#9a6700}.none{color:#888}";

pub(super) fn page(report: &Report) -> String {
    let Subject { driver, version, backend, mode } = &report.subject;
    let title = escaped(&format!("{driver} {version} on {backend}, {mode}"));
    [
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">".to_owned(),
        // No script runs and nothing is fetched, whatever an answer of a driver holds.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">"
            .to_owned(),
        "<meta name=\"viewport\" content=\"width=device-width\">".to_owned(),
        format!("<title>Conformance of {title}</title><style>{STYLE}</style></head><body>"),
        format!("<h1>Conformance of {title}</h1>"),
        facts(report),
        verdicts(report),
        broken(report),
        counted(report),
        times(report),
        everything(report),
        "</body></html>\n".to_owned(),
    ]
    .join("\n")
}

fn facts(report: &Report) -> String {
    let declared: Vec<String> =
        report.capabilities.iter().map(|capability| format!("{capability:?}")).collect();
    let rows = [
        ("suite", report.suite_version.to_owned()),
        ("budget", report.budget.word().to_owned()),
        ("seed", report.seed.to_string()),
        ("declares", declared.join(" ")),
        ("run again", report.reproduce.clone()),
    ];
    let row = |(name, value): &(&str, String)| {
        format!("<tr><th>{name}</th><td><code>{}</code></td></tr>", escaped(value))
    };
    format!("<table>{}</table>", rows.iter().map(row).collect::<String>())
}

fn verdicts(report: &Report) -> String {
    let row = |name: String, verdict: Verdict, asked: usize| {
        let class = class_of_verdict(verdict);
        format!("<tr><td>{name}</td><td class=\"{class}\">{verdict:?}</td><td>{asked}</td></tr>")
    };
    let mut html = String::from(
        "<h2>Profiles</h2><table><tr><th>profile</th><th>verdict</th><th>cases and trials</th></tr>",
    );
    for (profile, verdict) in &report.profiles {
        let counts = |entry: &&Entry| {
            crate::Profile::judging(&entry.id, entry.level, &entry.outcome) == Some(*profile)
        };
        let asked = report.entries.iter().filter(counts).count();
        html.push_str(&row(format!("{profile:?}"), *verdict, asked));
    }
    html.push_str("</table><h2>Guarantees</h2><table><tr><th>guarantee</th><th>verdict</th><th>cases and trials</th></tr>");
    let judged = report.guarantees();
    for guarantee in Guarantee::ALL {
        let name = format!("{guarantee} {}", guarantee.title());
        let asked = report.entries.iter().filter(|e| e.guarantees.contains(&guarantee)).count();
        match judged.get(&guarantee) {
            Some(verdict) => html.push_str(&row(name, *verdict, asked)),
            None => {
                let none =
                    format!("<tr><td>{name}</td><td class=\"none\">not asked</td><td>0</td></tr>");
                html.push_str(&none);
            }
        }
    }
    html.push_str("</table>");
    html
}

/// What failed, or could not be shown, with its evidence.
fn broken(report: &Report) -> String {
    let found = report.entries.iter().filter(|entry| {
        matches!(entry.outcome, Outcome::Failed { .. } | Outcome::Inconclusive { .. })
    });
    let item = |entry: &Entry| {
        format!(
            "<h3 class=\"{}\">{} {}</h3><pre>{}</pre>{}",
            class_of(&entry.outcome),
            entry.outcome.word(),
            escaped(&entry.id),
            escaped(&entry.outcome.detail()),
            entry.exhibit.as_deref().map(shown).unwrap_or_default()
        )
    };
    let items: String = found.map(item).collect();
    let items = if items.is_empty() { "<p>Nothing.</p>".to_owned() } else { items };
    format!("<h2>Broken or in doubt</h2>{items}")
}

/// The picture of what failed, and its explanation.
fn shown(exhibit: &Exhibit) -> String {
    let Exhibit { picture, explanation, .. } = exhibit;
    let explanation = escaped(explanation);
    format!("{picture}<details><summary>Explanation</summary><pre>{explanation}</pre></details>")
}

/// What workloads and faults counted: all together, then by trial.
fn counted(report: &Report) -> String {
    let all = report.counts();
    let number = |(name, count): (&String, &u64)| {
        format!("<tr><td>{}</td><td>{count}</td></tr>", escaped(&in_words(name)))
    };
    let seen: String = all.seen.iter().map(number).collect();
    let faults: Vec<(String, u64)> =
        all.faults.iter().map(|(name, count)| (in_words(name), *count)).collect();
    let struck = if faults.is_empty() {
        "<p>No fault struck.</p>".to_owned()
    } else {
        bars("Faults that struck", &faults, "")
    };
    let row = |entry: &Entry| match &entry.outcome {
        Outcome::Passed { counts } if !counts.is_empty() => format!(
            "<tr><td><code>{}</code></td><td>{}</td></tr>",
            escaped(&entry.id),
            escaped(&counts.to_string())
        ),
        _ => String::new(),
    };
    let rows: String = report.entries.iter().map(row).collect();
    format!(
        "<h2>What the ledgers counted</h2><table>{seen}</table>\
         <h2>Faults that struck</h2>{struck}<h3>By trial</h3><table>{rows}</table>"
    )
}

fn times(report: &Report) -> String {
    let mut areas: BTreeMap<&str, u64> = BTreeMap::new();
    for entry in &report.entries {
        *areas.entry(entry.id.split('.').next().unwrap_or_default()).or_default() +=
            entry.elapsed_ms;
    }
    let mut areas: Vec<(String, u64)> =
        areas.into_iter().map(|(area, millis)| (area.to_owned(), millis)).collect();
    let mut slowest: Vec<(String, u64)> =
        report.entries.iter().map(|entry| (entry.id.clone(), entry.elapsed_ms)).collect();
    for rows in [&mut areas, &mut slowest] {
        rows.sort_by_key(|(_, millis)| std::cmp::Reverse(*millis));
    }
    slowest.truncate(SLOWEST);
    format!(
        "<h2>Times</h2><p>Of this run on this machine; they are judged by nothing.</p>\
         <h3>Slowest</h3>{}<h3>By area</h3>{}",
        bars("The slowest cases and trials", &slowest, " ms"),
        bars("Time by area", &areas, " ms")
    )
}

fn everything(report: &Report) -> String {
    let mut html = String::from(
        "<h2>Everything that was asked</h2><table><tr><th>case or trial</th><th>guarantees</th><th>outcome</th><th>ms</th></tr>",
    );
    for entry in &report.entries {
        let guarantees: Vec<String> = entry.guarantees.iter().map(Guarantee::to_string).collect();
        // Writing to a String cannot fail.
        write!(
            html,
            "<tr><td><code>{}</code></td><td>{}</td><td class=\"{}\">{}</td><td>{}</td></tr>",
            escaped(&entry.id),
            guarantees.join(" "),
            class_of(&entry.outcome),
            entry.outcome.word(),
            entry.elapsed_ms
        )
        .unwrap_or_default();
    }
    html.push_str("</table>");
    html
}

fn class_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed { .. } | Outcome::RefusalVerified { .. } => "good",
        Outcome::Failed { .. } => "bad",
        Outcome::Inconclusive { .. } => "doubt",
        Outcome::Undeclared { .. } | Outcome::Skipped { .. } => "none",
    }
}

fn class_of_verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Conformant => "good",
        Verdict::NonConformant => "bad",
        Verdict::Partial | Verdict::Inconclusive => "doubt",
        Verdict::NotDeclared => "none",
    }
}
