//! The README's table of backends, made from the committed conformance reports.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Where the reports of this version of the suite are, below the root.
pub(crate) const REPORTS: &str = concat!("docs/reports/", env!("CARGO_PKG_VERSION"));
const README: &str = "README.md";
const OPENING: &str = "<!-- backends: made by `cargo xtask conformance` from docs/reports -->\n";
const CLOSING: &str = "<!-- /backends -->";
/// The profiles, in the order in which a reader cares.
const PROFILES: [&str; 8] =
    ["core", "control", "durable", "fifo", "delay", "dead-letter", "subscriptions", "live-move"];

/// Writes the table into the README.
pub(crate) fn update(root: &Path) -> Result<()> {
    let path = root.join(README);
    let text = fs::read_to_string(&path).context("cannot read the README")?;
    let renewed = with_table(&text, &table(&reports(root)?)?)?;
    fs::write(path, renewed).context("cannot write the README")
}

/// Whether the README shows what the reports say.
pub(crate) fn check(root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join(README)).context("cannot read the README")?;
    let renewed = with_table(&text, &table(&reports(root)?)?)?;
    ensure!(
        text == renewed,
        "the README's table of backends is not that of {REPORTS}; run `cargo xtask conformance`"
    );
    Ok(())
}

/// The reports by their file names, faults of the backend beside the suite they belong to.
fn reports(root: &Path) -> Result<Vec<Value>> {
    let folder = root.join(REPORTS);
    let mut paths = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("there is no {REPORTS}"))? {
        let path = entry.context("cannot list the reports")?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read_to_string(path).context("cannot read a report")?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))
    };
    paths.iter().map(read).collect()
}

fn with_table(text: &str, table: &str) -> Result<String> {
    let (before, rest) = text.split_once(OPENING).context("the README has no place for it")?;
    let (_, after) = rest.split_once(CLOSING).context("the README's table does not end")?;
    Ok(format!("{before}{OPENING}{table}{CLOSING}{after}"))
}

fn table(reports: &[Value]) -> Result<String> {
    let mut table = String::from(
        "| driver | backend | examined | passed | conformant to | messages acknowledged in its trials |\n\
         | --- | --- | --- | --- | --- | --- |\n",
    );
    for report in reports {
        table.push_str(&row(report)?);
    }
    Ok(table)
}

fn row(report: &Value) -> Result<String> {
    let text = |path: &str| {
        let value = report.pointer(path).and_then(Value::as_str);
        value.with_context(|| format!("a report without {path}"))
    };
    let entries = report.get("entries").and_then(Value::as_array).context("no entries")?;
    let came_to = |kind: &str| entries.iter().filter(|entry| outcome(entry) == Some(kind)).count();
    // What a driver does not declare it must refuse, or it is not asked for.
    let undeclared = came_to("refusal_verified") + came_to("undeclared");
    let mut passed = format!("{} of {}", came_to("passed"), entries.len() - undeclared);
    if undeclared > 0 {
        write!(passed, ", {undeclared} not declared")?;
    }
    let conformant: Vec<&str> = PROFILES
        .into_iter()
        .filter(|profile| {
            let verdict = report.pointer(&format!("/profiles/{profile}")).and_then(Value::as_str);
            verdict == Some("Conformant")
        })
        .collect();
    Ok(format!(
        "| {} | {} | {}, {} | {passed} | {} | {} |\n",
        text("/subject/driver")?,
        text("/subject/backend")?,
        text("/subject/mode")?,
        text("/budget")?,
        conformant.join(", "),
        entries.iter().filter_map(acknowledged).sum::<u64>(),
    ))
}

fn outcome(entry: &Value) -> Option<&str> {
    entry.get("outcome")?.as_str()
}

/// How many messages were acknowledged in a trial, by its ledger.
fn acknowledged(entry: &Value) -> Option<u64> {
    entry.pointer("/counts/seen/messages_acknowledged")?.as_u64()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report() -> Value {
        json!({
            "subject": {"driver": "memory", "backend": "none", "mode": "default", "version": "1"},
            "budget": "smoke",
            "profiles": {"core": "Conformant", "durable": "NotDeclared"},
            "entries": [
                {"id": "a", "outcome": "passed", "notes": null},
                {"id": "b", "outcome": "failed", "evidence": "x"},
                {"id": "c", "outcome": "passed", "counts": {
                    "seen": {"messages_acknowledged": 2491, "messages_delivered": 9}, "faults": {},
                }},
            ],
        })
    }

    #[test]
    fn a_row_counts_what_passed_and_what_was_acknowledged() {
        let row = row(&report()).unwrap();
        assert_eq!(row, "| memory | none | default, smoke | 2 of 3 | core | 2491 |\n");
    }

    #[test]
    fn a_row_tells_apart_what_was_never_promised() {
        let mut report = report();
        report["entries"] = json!([
            {"id": "a", "outcome": "passed"},
            {"id": "b", "outcome": "refusal_verified"},
            {"id": "c", "outcome": "undeclared"},
            {"id": "d", "outcome": "inconclusive"},
        ]);
        let row = row(&report).unwrap();
        assert_eq!(row, "| memory | none | default, smoke | 1 of 2, 2 not declared | core | 0 |\n");
    }

    #[test]
    fn the_table_takes_the_place_of_the_old_one_only() {
        let text = format!("before\n{OPENING}| old |\n{CLOSING}\nafter");
        let renewed = with_table(&text, &table(&[report()]).unwrap()).unwrap();
        assert!(renewed.starts_with("before\n") && renewed.ends_with(&format!("{CLOSING}\nafter")));
        assert!(renewed.contains("| memory |") && !renewed.contains("| old |"), "{renewed}");
        assert_eq!(with_table(&renewed, &table(&[report()]).unwrap()).unwrap(), renewed);
        assert!(with_table("no place", "x").is_err());
    }
}
