//! All the rules together.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::{Check, Node};
use super::evaluate::{Case, Evaluation};
use super::explain::{Explanation, Steps};
use super::file::{self, Override};
use super::parse;
use super::references;
use super::rule::{HELPERS, Rule};
use super::target::Target;
use crate::Identity;

/// Why a policy file is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("policy file {file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system says.
        reason: std::io::Error,
    },
    /// The file is not what a policy file must be.
    #[error("policy file {file}, line {line}: {reason}")]
    NoRules {
        /// The file.
        file: String,
        /// The line at fault, counted from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A rule is not in order.
    #[error("policy file {file}, line {line}, rule \"{rule}\", {reason}")]
    Rule {
        /// The file.
        file: String,
        /// The line of the rule, counted from 1.
        line: usize,
        /// Its name.
        rule: String,
        /// The character at fault, and what is wrong there.
        reason: parse::ParseError,
    },
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Default,
    /// The policy file, on that line.
    File {
        line: usize,
    },
}

/// A rule under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) check: Check,
    pub(super) origin: Origin,
    /// What it refers to, with the number of characters before.
    pub(super) references: Vec<(usize, String)>,
}

/// Who may do what. The default is the service's own; a file may replace any rule of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    rules: BTreeMap<String, Entry>,
}

impl Default for Policy {
    fn default() -> Self {
        let operations = Rule::ALL.iter().map(|rule| (rule.name(), rule.default_check()));
        let helpers = HELPERS.iter().map(|helper| (helper.name, helper.default));
        Self { rules: operations.chain(helpers).map(default_entry).collect() }
    }
}

fn default_entry((name, text): (&str, &str)) -> (String, Entry) {
    let (check, references) = match parse::parse(text) {
        Ok(parsed) => (parsed.check, parsed.references),
        // A test reads them all. Were one wrong nevertheless, nobody would get in by it.
        Err(_) => (Check(Node::Nobody), Vec::new()),
    };
    (name.to_owned(), Entry { check, origin: Origin::Default, references })
}

impl Policy {
    /// The default, and over it what a file says.
    ///
    /// # Errors
    /// [`PolicyError`] if the file cannot be read, is no map from names to rules, names an operation
    /// that there is not, or has a rule that is not in order or refers to itself.
    pub fn from_file(path: &Path) -> Result<Self, PolicyError> {
        let file = path.display().to_string();
        match std::fs::read_to_string(path) {
            Ok(text) => Self::from_text(&text, &file),
            Err(reason) => Err(PolicyError::Unreadable { file, reason }),
        }
    }

    /// The same from the text of a file; `file` is its name in errors.
    ///
    /// # Errors
    /// As for [`Policy::from_file`].
    pub fn from_text(text: &str, file: &str) -> Result<Self, PolicyError> {
        let mut policy = Self::default();
        for found in file::read(text, file)? {
            policy.replace(found, file)?;
        }
        references::check(&policy.rules, file)?;
        Ok(policy)
    }

    fn replace(&mut self, found: Override, file: &str) -> Result<(), PolicyError> {
        let Override { name, line, read } = found;
        let parsed = read.map_err(|reason| PolicyError::Rule {
            file: file.to_owned(),
            line,
            rule: name.clone(),
            reason,
        })?;
        // A rule that is meant to guard something and, for a slip in its name, guards nothing, must
        // not look as if it did. Names without a colon are the operator's own, to be referred to.
        if name.contains(':') && Rule::named(&name).is_none() {
            let reason = format!("there is no operation \"{name}\" to guard");
            return Err(PolicyError::NoRules { file: file.to_owned(), line, reason });
        }
        let origin = Origin::File { line };
        let entry = Entry { check: parsed.check, origin, references: parsed.references };
        self.rules.insert(name, entry);
        Ok(())
    }

    /// Whether somebody may do to something what the rule guards.
    #[must_use]
    pub fn allows(&self, rule: Rule, identity: &Identity, target: &Target<'_>) -> bool {
        self.evaluate(rule.name(), identity, target, ()).0
    }

    /// How it is decided whether a rule, an operator's own ones too, holds; `None` if there is none
    /// of that name.
    #[must_use]
    pub fn explain(
        &self,
        rule: &str,
        identity: &Identity,
        target: &Target<'_>,
    ) -> Option<Explanation> {
        let entry = self.rules.get(rule)?;
        let (holds, steps) = self.evaluate(rule, identity, target, Steps::new(identity, target));
        Some(Explanation::new(rule, entry, holds, steps))
    }

    fn evaluate<W: super::evaluate::Watcher>(
        &self,
        rule: &str,
        identity: &Identity,
        target: &Target<'_>,
        watcher: W,
    ) -> (bool, W) {
        let case = Case { identity, target };
        let mut evaluation = Evaluation { rules: &self.rules, case, watcher };
        let entry = self.rules.get(rule);
        let holds = entry.is_some_and(|entry| evaluation.holds(&entry.check.0));
        (holds, evaluation.watcher)
    }

    /// The file's rules that guard nothing and that no rule refers to, by name.
    #[must_use]
    pub fn unused(&self) -> Vec<&str> {
        let is_known = |name: &str| {
            Rule::named(name).is_some() || HELPERS.iter().any(|helper| helper.name == name)
        };
        let is_referred_to = |name: &str| {
            let mut references = self.rules.values().flat_map(|entry| &entry.references);
            references.any(|(_, referred)| referred == name)
        };
        let names = self.rules.keys().map(String::as_str);
        names.filter(|name| !is_known(name) && !is_referred_to(name)).collect()
    }
}
