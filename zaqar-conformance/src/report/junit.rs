//! The report for whoever collects tests: JUnit's form of XML, as build servers read it.

use std::fmt::Write as _;

use super::escaped;
use super::{Entry, Outcome, Report};
use crate::case::Level;

/// How an entry counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    Failure,
    /// Nothing was shown either way, which is no pass.
    Error,
    Skipped,
}

impl Kind {
    fn of(entry: &Entry) -> Self {
        match &entry.outcome {
            Outcome::Passed { .. } | Outcome::RefusalVerified { .. } => Self::Passed,
            _ if entry.level == Level::Provisional => Self::Skipped,
            Outcome::Failed { .. } => Self::Failure,
            Outcome::Inconclusive { .. } => Self::Error,
            Outcome::Undeclared { .. } | Outcome::Skipped { .. } => Self::Skipped,
        }
    }
}

pub(super) fn document(report: &Report) -> String {
    let count = |kind| report.entries.iter().filter(|entry| Kind::of(entry) == kind).count();
    let millis: u64 = report.entries.iter().map(|entry| entry.elapsed_ms).sum();
    let (name, time) = (escaped(&report.subject.slug()), seconds(millis));
    let counts = format!(
        r#"tests="{}" failures="{}" errors="{}" skipped="{}" time="{time}""#,
        report.entries.len(),
        count(Kind::Failure),
        count(Kind::Error),
        count(Kind::Skipped)
    );
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let properties = [
        ("suite", report.suite_version.to_owned()),
        ("seed", report.seed.to_string()),
        ("budget", report.budget.word().to_owned()),
        ("reproduce", report.reproduce.clone()),
    ];
    // Writing to a String cannot fail.
    let mut line = |line: String| writeln!(xml, "{line}").unwrap_or_default();
    line(format!("<testsuites {counts}>"));
    line(format!("<testsuite name=\"{name}\" {counts}>"));
    line("<properties>".to_owned());
    for (name, value) in properties {
        line(format!("<property name=\"{name}\" value=\"{}\"/>", escaped(&value)));
    }
    line("</properties>".to_owned());
    report.entries.iter().for_each(|entry| line(testcase(&name, entry)));
    line("</testsuite>\n</testsuites>".to_owned());
    xml
}

fn testcase(class: &str, entry: &Entry) -> String {
    let (id, time) = (escaped(&entry.id), seconds(entry.elapsed_ms));
    let detail = escaped(&entry.outcome.detail());
    let inner = match Kind::of(entry) {
        Kind::Passed if detail.is_empty() => String::new(),
        Kind::Passed => format!("<system-out>{detail}</system-out>"),
        Kind::Failure => format!("<failure message=\"{id} is broken\">{detail}</failure>"),
        Kind::Error => format!("<error message=\"{id} is inconclusive\">{detail}</error>"),
        Kind::Skipped => format!("<skipped message=\"{}\"/>", detail.replace('\n', " ")),
    };
    format!("<testcase classname=\"{class}\" name=\"{id}\" time=\"{time}\">{inner}</testcase>")
}

fn seconds(millis: u64) -> String {
    format!("{}.{:03}", millis / 1_000, millis % 1_000)
}
