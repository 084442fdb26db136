//! A rule as a tree.

use std::fmt;

use super::caller_fact::CallerFact;
use super::template::Template;

/// A rule as a tree. Its `Display` is the rule in the rule language again, and reads as the same
/// tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check(pub(super) Node);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// `@`, or nothing at all.
    Everyone,
    /// `!`
    Nobody,
    /// `role:x`
    Role(Template),
    /// `rule:x`
    Rule(String),
    /// `is_admin:True`
    IsAdmin(bool),
    /// `user_id:x` and its like
    Caller(CallerFact, Template),
    /// `'x':%(queue_name)s`
    Literal {
        /// With its quotes.
        written: String,
        value: String,
        template: Template,
    },
    /// `not x`
    Not(Box<Self>),
    /// `x and y`; two at least
    All(Vec<Self>),
    /// `x or y`; two at least
    Any(Vec<Self>),
}

impl Node {
    /// How tightly it holds together when it is written: what is looser gets parentheses.
    fn strength(&self) -> u8 {
        match self {
            Self::Any(_) => 0,
            Self::All(_) => 1,
            _ => 2,
        }
    }

    fn write_within(&self, strength: u8, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.strength() < strength { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

fn write_joined(nodes: &[Node], word: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let strength = if word == " or " { 1 } else { 2 };
    for (at, node) in nodes.iter().enumerate() {
        if at > 0 {
            f.write_str(word)?;
        }
        node.write_within(strength, f)?;
    }
    Ok(())
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("@"),
            Self::Nobody => f.write_str("!"),
            Self::Role(role) => write!(f, "role:{role}"),
            Self::Rule(name) => write!(f, "rule:{name}"),
            Self::IsAdmin(true) => f.write_str("is_admin:True"),
            Self::IsAdmin(false) => f.write_str("is_admin:False"),
            Self::Caller(fact, template) => write!(f, "{}:{template}", fact.name()),
            Self::Literal { written, template, .. } => write!(f, "{written}:{template}"),
            Self::Not(node) => {
                f.write_str("not ")?;
                node.write_within(2, f)
            }
            Self::All(nodes) => write_joined(nodes, " and ", f),
            Self::Any(nodes) => write_joined(nodes, " or ", f),
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
