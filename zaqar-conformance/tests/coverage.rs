//! No hole in what the suite shows: each guarantee, each documented promise, each driver.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use zaqar_conformance::{Guarantee, coverage, suite};

/// Set to write the page instead of comparing it.
const WRITE: &str = "ZAQAR_CONFORMANCE_WRITE_COVERAGE";

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Every id of the suite.
fn ids() -> BTreeSet<String> {
    let cases = suite::all_cases().map(|case| case.id.to_owned());
    cases.chain(suite::trials().into_iter().map(|trial| trial.name)).collect()
}

/// What the traits' documentation names under "Conformance": ids, or beginnings of ids.
fn promised(text: &str) -> Vec<&str> {
    let mut promised = Vec::new();
    let mut within = false;
    for line in text.lines().map(str::trim_start) {
        let Some(words) = line.strip_prefix("///") else {
            within = false;
            continue;
        };
        match words.trim() {
            "# Conformance" => within = true,
            heading if heading.starts_with("# ") => within = false,
            words if within => promised.extend(words.split('`').skip(1).step_by(2)),
            _ => {}
        }
    }
    promised
}

#[test]
fn the_page_says_what_the_suite_shows() {
    let page = repository("docs/conformance-coverage.md");
    if std::env::var_os(WRITE).is_some() {
        fs::write(&page, coverage::markdown()).expect("the page can be written");
    }
    let written = fs::read_to_string(&page).expect("the page is there");
    let command = format!("{WRITE}=1 cargo test -p zaqar-conformance --test coverage");
    assert!(written == coverage::markdown(), "the page is not of this suite; `{command}` makes it");
}

#[test]
fn every_guarantee_is_shown_and_has_the_name_that_the_documentation_gives_it() {
    let shown = suite::coverage();
    let documented = fs::read_to_string(repository("docs/guarantees.md")).expect("the page");
    for guarantee in Guarantee::ALL {
        assert!(shown.contains_key(&guarantee), "nothing shows {guarantee}");
        let row = format!("| {guarantee} | {} |", guarantee.title());
        assert!(documented.contains(&row), "docs/guarantees.md has no row {row}");
    }
}

#[test]
fn every_case_that_a_methods_documentation_names_exists() {
    let ids = ids();
    let mut named = 0;
    for entry in fs::read_dir(repository("zaqar-core/src")).expect("the core's sources") {
        let path = entry.expect("a readable folder").path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable file");
        for pattern in promised(&text) {
            let exists = match pattern.strip_suffix('*') {
                Some(start) => ids.iter().any(|id| id.starts_with(start)),
                None => ids.contains(pattern),
            };
            assert!(exists, "{}: no case is {pattern}", path.display());
            named += 1;
        }
    }
    assert!(named > 100, "only {named} cases are named by the traits");
}

#[test]
fn no_driver_has_a_hole_in_its_report() {
    let mut reports = 0;
    let folder = repository(concat!("docs/reports/", env!("CARGO_PKG_VERSION")));
    for entry in fs::read_dir(folder).expect("the reports of this version") {
        let path = entry.expect("a readable folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(".json") || name.ends_with("-faults.json") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a readable report");
        let report: Value = serde_json::from_str(&text).expect("a report is JSON");
        let shown = shown(&report);
        for guarantee in Guarantee::ALL {
            let outcomes = shown.get(&guarantee.to_string()).cloned().unwrap_or_default();
            let undeclared = |outcome: &str| matches!(outcome, "undeclared" | "refusal_verified");
            let covered = !outcomes.is_empty()
                && (outcomes.contains("passed") || outcomes.iter().all(|o| undeclared(o)));
            assert!(covered, "{name} shows nothing of {guarantee}: {outcomes:?}");
        }
        reports += 1;
    }
    assert!(reports >= 5, "only {reports} drivers have a report");
}

/// The outcomes of a report by guarantee.
fn shown(report: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for entry in report["entries"].as_array().into_iter().flatten() {
        let outcome = entry["outcome"].as_str().unwrap_or_default();
        for guarantee in entry["guarantees"].as_array().into_iter().flatten() {
            let guarantee = guarantee.as_str().unwrap_or_default();
            shown.entry(guarantee.to_owned()).or_default().insert(outcome.to_owned());
        }
    }
    shown
}
