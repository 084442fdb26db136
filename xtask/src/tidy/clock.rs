//! One place reads the system time, so that one place decides what happens when it jumps.

use super::source::lines_with;
use super::tree::{Finding, Tree};

const HOME: &str = "zaqar-core/src/clock.rs";
const RUST: [&str; 6] = [
    "SystemTime::now",
    "UtcDateTime::now",
    "OffsetDateTime::now_utc",
    "OffsetDateTime::now_local",
    "Utc::now",
    "Local::now",
];
/// A server's or a library's clock is another clock than ours.
const SQL: [&str; 6] =
    ["current_timestamp", "current_time", "current_date", "now(", "'now'", "unixepoch("];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        if file.is_rust() && file.path != HOME {
            for call in RUST {
                for line in lines_with(&file.code, call) {
                    findings.push(file.finding(line, format!("`{call}`: ask a Clock instead")));
                }
            }
        } else if file.path.ends_with(".sql") {
            for (index, line) in file.text.lines().enumerate() {
                let statement = line.split("--").next().unwrap_or_default().to_lowercase();
                if let Some(call) = SQL.iter().find(|call| statement.contains(**call)) {
                    let message = format!("`{call}`: pass the Clock's time as a parameter");
                    findings.push(file.finding(index + 1, message));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, tree};
    use super::*;

    const READS: &str = "fn a() {\n    let t = std::time::SystemTime::now();\n}\n";

    #[test]
    fn reading_the_system_time_is_found() {
        assert_eq!(lines(&check(&tree("zaqar-engine/src/a.rs", READS))), [2]);
        let text = "let a = OffsetDateTime::now_utc();\n";
        assert_eq!(lines(&check(&tree("zaqar-bench/src/a.rs", text))), [1]);
    }

    #[test]
    fn a_database_that_reads_its_own_time_is_found() {
        let text = "-- now() is not ours\nDELETE FROM m WHERE ends <= CURRENT_TIMESTAMP;\n";
        assert_eq!(lines(&check(&tree("x/migrations/1.sql", text))), [2]);
    }

    #[test]
    fn the_clock_module_and_the_monotonic_clock_pass() {
        assert!(check(&tree(HOME, READS)).is_empty());
        assert!(
            check(&tree("src/a.rs", "let t = Instant::now(); // SystemTime::now\n")).is_empty()
        );
    }
}
