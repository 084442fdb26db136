//! A crate that forgets to inherit the lints has none.

use super::tree::{Finding, Tree};

pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.files()
        .iter()
        .filter(|file| file.path.ends_with("/Cargo.toml") || file.path == "Cargo.toml")
        .filter(|file| section(&file.text, "[package]").is_some())
        .filter(|file| !inherits(&file.text))
        .map(|file| file.finding(1, "`[lints] workspace = true` is missing"))
        .collect()
}

fn inherits(manifest: &str) -> bool {
    let inherited = |line: &str| line.replace(' ', "") == "workspace=true";
    section(manifest, "[lints]").is_some_and(|mut lines| lines.any(inherited))
}

/// The lines of the section that `header` begins.
fn section<'a>(manifest: &'a str, header: &str) -> Option<impl Iterator<Item = &'a str>> {
    let mut lines = manifest.lines().map(str::trim);
    lines.find(|line| *line == header)?;
    Some(lines.take_while(|line| !line.starts_with('[')))
}

#[cfg(test)]
mod tests {
    use super::super::tree::samples::{lines, tree};
    use super::*;

    #[test]
    fn a_crate_without_the_lints_is_found() {
        let text = "[package]\nname = \"a\"\n\n[lints]\n\n[x]\nworkspace = true\n";
        assert_eq!(lines(&check(&tree("a/Cargo.toml", text))), [1]);
        assert_eq!(lines(&check(&tree("a/Cargo.toml", "[package]\nname = \"a\"\n"))), [1]);
    }

    #[test]
    fn a_crate_that_inherits_them_and_the_workspace_itself_pass() {
        let text = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
        assert!(check(&tree("a/Cargo.toml", text)).is_empty());
        assert!(check(&tree("Cargo.toml", "[workspace]\nmembers = []\n")).is_empty());
    }
}
