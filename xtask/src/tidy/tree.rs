//! The files that rules look at.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::source::code_only;
use crate::process;

/// What a rule found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) path: String,
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) message: String,
}

/// A text file of the repository.
#[derive(Debug)]
pub(super) struct SourceFile {
    /// Below the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// For Rust: the text with comments and literals blanked out, line by line the same.
    pub(super) code: String,
}

impl SourceFile {
    fn new(path: &str, text: String) -> Self {
        let code = if path.ends_with(".rs") { code_only(&text) } else { String::new() };
        Self { path: path.to_owned(), text, code }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub(super) fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }
}

/// The repository's files.
pub(super) struct Tree {
    root: String,
    files: Vec<SourceFile>,
    paths: BTreeSet<String>,
}

impl Tree {
    /// Reads what git tracks, and what it would track after `git add`.
    pub(super) fn load(root: &Path) -> Result<Self> {
        let mut list = Command::new("git");
        list.current_dir(root).args(["ls-files", "-z"]);
        list.args(["--cached", "--others", "--exclude-standard"]);
        let list = process::capture(&mut list).context("tidy asks git for the files to look at")?;
        let mut tree = Self::empty(&root.to_string_lossy());
        for path in list.split('\0').filter(|path| !path.is_empty()) {
            match fs::read(root.join(path)) {
                Ok(bytes) => tree.add(path, String::from_utf8(bytes).ok()),
                // Deleted, but not yet in the index.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {path}")),
            }
        }
        Ok(tree)
    }

    fn empty(root: &str) -> Self {
        Self { root: root.to_owned(), files: Vec::new(), paths: BTreeSet::new() }
    }

    /// Adds a file; one without text is only known to be there.
    fn add(&mut self, path: &str, text: Option<String>) {
        self.paths.insert(path.to_owned());
        if let Some(text) = text {
            self.files.push(SourceFile::new(path, text));
        }
    }

    /// Where the checkout is on this machine.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn files(&self) -> &[SourceFile] {
        &self.files
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.is_rust())
    }

    /// Whether `path` is a file of the repository or a folder that holds some.
    pub(super) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty()
            || self.paths.contains(path)
            || self.paths.range(folder.clone()..).next().is_some_and(|p| p.starts_with(&folder))
    }
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    /// A tree of one file.
    pub(in crate::tidy) fn tree(path: &str, text: &str) -> Tree {
        trees(&[(path, text)])
    }

    /// A tree of several files.
    pub(in crate::tidy) fn trees(files: &[(&str, &str)]) -> Tree {
        let mut tree = Tree::empty("/srv/builds/checkout");
        for (path, text) in files {
            tree.add(path, Some((*text).to_owned()));
        }
        tree
    }

    /// The lines of what was found.
    pub(in crate::tidy) fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::samples::trees;

    #[test]
    fn a_folder_is_there_if_a_file_is_in_it() {
        let tree = trees(&[("docs/a.md", ""), ("docs-old/b.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a.md") && tree.has(""));
        assert!(!tree.has("doc") && !tree.has("docs/b.md"));
    }
}
