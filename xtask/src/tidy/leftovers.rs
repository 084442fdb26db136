//! Nothing unfinished, and no test that cannot fail.

use super::source::{bracketed, has_word, line_at, lines_with};
use super::tree::{Finding, SourceFile, Tree};

const UNFINISHED: [&str; 2] = ["todo!", "unimplemented!"];
/// `ignore` switches a test off; `should_panic` passes whatever the reason of the panic.
const ATTRIBUTES: [&str; 2] = ["ignore", "should_panic"];

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .flat_map(|file| [macros(file), attributes(file), doc_tests(file)])
        .flatten()
        .collect()
}

fn macros(file: &SourceFile) -> Vec<Finding> {
    UNFINISHED
        .iter()
        .flat_map(|name| lines_with(&file.code, name).map(move |line| (name, line)))
        .map(|(name, line)| file.finding(line, format!("`{name}` is left")))
        .collect()
}

fn attributes(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in file.code.match_indices("#[") {
        let Some(attribute) = bracketed(&file.code, at + 1, ('[', ']')) else { continue };
        if let Some(name) = ATTRIBUTES.iter().find(|name| has_word(attribute, name)) {
            findings.push(file.finding(line_at(&file.code, at), format!("a test has `{name}`")));
        }
    }
    findings
}

fn doc_tests(file: &SourceFile) -> Vec<Finding> {
    let fences = ["ignore", "should_panic"].map(|name| format!("```{name}"));
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let comment = line.trim_start();
        let is_doc = comment.starts_with("///") || comment.starts_with("//!");
        if is_doc && fences.iter().any(|fence| comment.contains(fence.as_str())) {
            findings
                .push(file.finding(index + 1, "a doc test is switched off: run it or use `text`"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, tree};
    use super::*;

    #[test]
    fn unfinished_code_is_found() {
        let tree = tree("src/a.rs", "fn a() {\n    todo!()\n}\nfn b() { unimplemented!(\"x\") }\n");
        assert_eq!(lines(&check(&tree)), [2, 4]);
    }

    #[test]
    fn a_test_that_is_switched_off_is_found() {
        let text = "#[test]\n#[ignore = \"slow\"]\nfn a() {}\n#[cfg_attr(x, ignore)]\nfn b() {}\n";
        assert_eq!(lines(&check(&tree("tests/a.rs", text))), [2, 4]);
    }

    #[test]
    fn a_test_that_passes_by_panicking_is_found() {
        let text = "#[should_panic(expected = \"x\")]\nfn a() {}\n";
        assert_eq!(lines(&check(&tree("tests/a.rs", text))), [1]);
    }

    #[test]
    fn a_doc_test_that_is_switched_off_is_found() {
        assert_eq!(lines(&check(&tree("src/a.rs", "/// ```ignore\n/// x\n/// ```\n"))), [1]);
    }

    #[test]
    fn words_in_comments_and_strings_pass() {
        let text = "// todo! later\nlet a = \"#[ignore]\";\n#[test]\nfn ignores_blanks() {}\n";
        assert!(check(&tree("src/a.rs", text)).is_empty());
    }
}
