//! Files stay small enough to read in one sitting.

use super::tree::{Finding, Tree};

const LINES_MAX: usize = 500;

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let message = format!("{lines} lines; {LINES_MAX} are allowed: split it by job");
            (lines > LINES_MAX).then(|| file.finding(LINES_MAX + 1, message))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, tree};
    use super::*;

    #[test]
    fn a_line_too_many_is_found() {
        assert_eq!(lines(&check(&tree("src/a.rs", &"\n".repeat(501)))), [501]);
    }

    #[test]
    fn the_limit_itself_and_other_languages_pass() {
        assert!(check(&tree("src/a.rs", &"\n".repeat(500))).is_empty());
        assert!(check(&tree("docs/a.md", &"\n".repeat(900))).is_empty());
    }
}
