//! Whether a rule holds. There is one way through a tree; who wants to know how it went watches.

use std::collections::BTreeMap;

use super::check::Node;
use super::leaf::ADMIN_RULE;
use super::policy::Entry;
use super::target::Target;
use crate::Identity;

/// Who asks, and about what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Case<'c> {
    pub(super) identity: &'c Identity,
    pub(super) target: &'c Target<'c>,
}

/// Somebody who watches.
pub(super) trait Watcher {
    /// A check is looked at.
    fn enters(&mut self, check: &Node);

    /// The check that was entered last and not left yet came to this.
    fn leaves(&mut self, check: &Node, holds: bool);
}

/// Nobody.
impl Watcher for () {
    fn enters(&mut self, _: &Node) {}

    fn leaves(&mut self, _: &Node, _: bool) {}
}

pub(super) struct Evaluation<'e, W> {
    pub(super) rules: &'e BTreeMap<String, Entry>,
    pub(super) case: Case<'e>,
    pub(super) watcher: W,
}

impl<W: Watcher> Evaluation<'_, W> {
    pub(super) fn holds(&mut self, check: &Node) -> bool {
        self.watcher.enters(check);
        let holds = self.decide(check);
        self.watcher.leaves(check, holds);
        holds
    }

    fn decide(&mut self, check: &Node) -> bool {
        let Case { identity, target } = self.case;
        match check {
            Node::Everyone => true,
            Node::Nobody => false,
            Node::Role(role) => role.fill(target).is_some_and(|role| identity.has_role(&role)),
            Node::Rule(name) => self.named(name),
            Node::IsAdmin(wanted) => self.named(ADMIN_RULE) == *wanted,
            Node::Caller(fact, template) => {
                let fact = fact.of(identity);
                fact.is_some_and(|fact| template.fill(target).is_some_and(|text| text == fact))
            }
            Node::Literal { value, template, .. } => {
                template.fill(target).is_some_and(|text| text == *value)
            }
            Node::Not(check) => !self.holds(check),
            Node::All(checks) => checks.iter().all(|check| self.holds(check)),
            Node::Any(checks) => checks.iter().any(|check| self.holds(check)),
        }
    }

    /// A rule that nobody knows lets nobody in. (None is referred to: that is seen to at the start.)
    fn named(&mut self, name: &str) -> bool {
        let rules = self.rules;
        rules.get(name).is_some_and(|entry| self.holds(&entry.check.0))
    }
}
