//! A test that sleeps is slow on a fast machine and wrong on a slow one.

use super::source::{bracketed, has_word, line_at};
use super::tree::{Finding, SourceFile, Tree};

const CALLS: [&str; 3] = ["thread::sleep", "time::sleep", "time.sleep"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files().iter().flat_map(in_file).collect()
}

fn in_file(file: &SourceFile) -> Vec<Finding> {
    let whole = is_test_path(&file.path);
    if file.path.ends_with(".py") {
        return if whole { in_part(file, &file.text, 0) } else { Vec::new() };
    }
    if !file.is_rust() {
        return Vec::new();
    }
    if whole {
        return in_part(file, &file.code, 0);
    }
    test_modules(&file.code).flat_map(|(at, code)| in_part(file, code, at)).collect()
}

/// Files of tests, and the conformance suite's cases.
fn is_test_path(path: &str) -> bool {
    let named = path.ends_with("/tests.rs") || path.ends_with("_tests.rs");
    named || path.split('/').any(|part| matches!(part, "tests" | "cases"))
}

/// The bodies of the test modules inside a file, with their offsets.
fn test_modules(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices("#[cfg(test)]").filter_map(|(at, _)| {
        let open = at + code.get(at..)?.find(['{', ';'])?;
        Some((open, bracketed(code, open, ('{', '}'))?))
    })
}

/// Looks at `part`, which begins `offset` bytes into the file.
fn in_part(file: &SourceFile, part: &str, offset: usize) -> Vec<Finding> {
    let first_line = line_at(if file.is_rust() { &file.code } else { &file.text }, offset);
    let mut findings = Vec::new();
    for (index, line) in part.lines().enumerate() {
        if CALLS.iter().any(|call| line.contains(call)) || imports_sleep(line) {
            let message = "a test sleeps; poll for the state it waits for, or move the clock";
            findings.push(file.finding(first_line + index, message));
        }
    }
    findings
}

fn imports_sleep(line: &str) -> bool {
    let line = line.trim_start();
    let imports =
        line.starts_with("use ") && ["thread::", "time::"].iter().any(|m| line.contains(m));
    imports && ["sleep", "sleep_until"].iter().any(|name| has_word(line, name))
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, tree};
    use super::*;

    #[test]
    fn a_sleep_in_a_test_file_is_found() {
        let text = "async fn a() {\n    tokio::time::sleep(x).await;\n}\n";
        assert_eq!(lines(&check(&tree("zaqar-x/tests/a.rs", text))), [2]);
        assert_eq!(lines(&check(&tree("zaqar-x/src/cases/a.rs", text))), [2]);
        assert_eq!(lines(&check(&tree("zaqar-x/src/ledger_tests.rs", text))), [2]);
        let text = "import time\ntime.sleep(1)\n";
        assert_eq!(lines(&check(&tree("tests/clients/a.py", text))), [2]);
    }

    #[test]
    fn an_imported_sleep_is_found() {
        let text = "use std::thread::{self, sleep};\nuse tokio::time::sleep_until;\n";
        assert_eq!(lines(&check(&tree("tests/a.rs", text))), [1, 2]);
    }

    #[test]
    fn a_sleep_in_a_test_module_is_found() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { std::thread::sleep(x) }\n}\n";
        assert_eq!(lines(&check(&tree("src/a.rs", text))), [4]);
    }

    #[test]
    fn sleeping_elsewhere_passes() {
        let text = "fn a() { std::thread::sleep(x) }\n#[cfg(test)]\nmod tests;\nmod b {}\n";
        assert!(check(&tree("src/a.rs", text)).is_empty());
        assert!(check(&tree("tests/a.rs", "// no thread::sleep here\n")).is_empty());
    }
}
