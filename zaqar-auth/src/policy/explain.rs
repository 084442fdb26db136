//! How a decision came about, for whoever wrote the rules.

use std::fmt;

use super::check::Node;
use super::evaluate::Watcher;
use super::policy::{Entry, Origin};
use super::target::Target;
use super::template::Template;
use crate::Identity;

/// How a decision came about. Its `Display` is for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    rule: String,
    origin: Origin,
    holds: bool,
    steps: Vec<Step>,
}

/// A check that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Step {
    depth: usize,
    check: String,
    holds: bool,
    /// What was found, for a check that compares.
    found: Option<String>,
}

impl Explanation {
    pub(super) fn new(rule: &str, entry: &Entry, holds: bool, steps: Steps<'_>) -> Self {
        Self { rule: rule.to_owned(), origin: entry.origin, holds, steps: steps.taken }
    }

    /// Whether the rule holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.holds
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds { "allowed" } else { "denied" };
        match self.origin {
            Origin::Default => writeln!(f, "{verdict} by rule {} (the default)", self.rule)?,
            Origin::File { line } => {
                writeln!(f, "{verdict} by rule {} (line {line} of the policy file)", self.rule)?;
            }
        }
        for step in &self.steps {
            let answer = if step.holds { "yes" } else { "no" };
            write!(f, "{:indent$}{answer:<3}  {}", "", step.check, indent = 2 + 2 * step.depth)?;
            match &step.found {
                Some(found) => writeln!(f, "    ({found})")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

/// Watches a decision and notes its steps, each before those that it consists of.
pub(super) struct Steps<'s> {
    identity: &'s Identity,
    target: &'s Target<'s>,
    taken: Vec<Step>,
    /// Those that are not decided yet, as places in `taken`.
    open: Vec<usize>,
}

impl<'s> Steps<'s> {
    pub(super) fn new(identity: &'s Identity, target: &'s Target<'s>) -> Self {
        Self { identity, target, taken: Vec::new(), open: Vec::new() }
    }

    fn found(&self, check: &Node) -> Option<String> {
        match check {
            Node::Role(role) => Some(match self.filled(role) {
                Err(lack) => lack,
                Ok(_) if self.identity.roles.is_empty() => "the caller has no roles".to_owned(),
                Ok(_) => format!("the caller has the roles {}", self.identity.roles.join(", ")),
            }),
            Node::Caller(fact, template) => {
                Some(match (fact.of(self.identity), self.filled(template)) {
                    (_, Err(lack)) => lack,
                    (None, _) => format!("the caller has no {}", fact.name()),
                    (Some(held), Ok(wanted)) => {
                        format!("the caller's is {held:?}, compared with {wanted:?}")
                    }
                })
            }
            Node::Literal { template, .. } => Some(match self.filled(template) {
                Err(lack) => lack,
                Ok(wanted) => format!("compared with {wanted:?}"),
            }),
            _ => None,
        }
    }

    fn filled(&self, template: &Template) -> Result<String, String> {
        let lack = || "the request is about nothing that has this".to_owned();
        template.fill(self.target).map(std::borrow::Cow::into_owned).ok_or_else(lack)
    }
}

impl Watcher for Steps<'_> {
    fn enters(&mut self, check: &Node) {
        let (depth, found) = (self.open.len(), self.found(check));
        self.open.push(self.taken.len());
        self.taken.push(Step { depth, check: check.to_string(), holds: false, found });
    }

    fn leaves(&mut self, _: &Node, holds: bool) {
        if let Some(step) = self.open.pop().and_then(|at| self.taken.get_mut(at)) {
            step.holds = holds;
        }
    }
}
