//! From a rule's text to its tree.

use std::iter::{Copied, Peekable};
use std::slice::Iter;

use super::check::{Check, Node};
use super::leaf;
use super::token::{Token, tokens};

/// Most levels of parentheses and `not`; nobody reads deeper ones, and each takes stack.
const DEPTH_MAX: usize = 32;

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("character {character}: {reason}")]
pub struct ParseError {
    /// The character at fault, counted from 1.
    pub character: usize,
    /// What is wrong there.
    pub reason: String,
}

impl ParseError {
    /// `before`: how many characters come before the one at fault.
    pub(super) fn new(before: usize, reason: impl Into<String>) -> Self {
        Self { character: before + 1, reason: reason.into() }
    }
}

/// A rule that was read.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) check: Check,
    /// The rules that it refers to, with the number of characters before each.
    pub(super) references: Vec<(usize, String)>,
}

impl Check {
    /// Reads a rule: `@`, `!`, nothing at all, `role:x`, `rule:x`, `user_id:x`, `'x':%(queue_name)s`
    /// and the like, put together by `and`, `or`, `not` and parentheses.
    ///
    /// # Errors
    /// [`ParseError`] with the place of the fault.
    pub fn parse(rule: &str) -> Result<Self, ParseError> {
        parse(rule).map(|parsed| parsed.check)
    }
}

pub(super) fn parse(rule: &str) -> Result<Parsed, ParseError> {
    if rule.is_empty() {
        return Ok(Parsed { check: Check(Node::Everyone), references: Vec::new() });
    }
    let tokens = tokens(rule);
    let end = rule.chars().count();
    let mut parser =
        Parser { tokens: tokens.iter().copied().peekable(), end, references: Vec::new() };
    if tokens.is_empty() {
        let reason = "blanks alone are no rule; for everyone write \"\", for nobody \"!\"";
        return Err(ParseError::new(0, reason));
    }
    let node = parser.any(0)?;
    match parser.tokens.next() {
        None => Ok(Parsed { check: Check(node), references: parser.references }),
        Some((at, Token::Close)) => Err(ParseError::new(at, "`)` closes nothing")),
        Some((at, _)) => Err(ParseError::new(at, "`and` or `or` is missing before this")),
    }
}

/// Reads one check by itself, as it stands in a list.
pub(super) fn parse_single(text: &str) -> Result<Parsed, ParseError> {
    match tokens(text).as_slice() {
        [(_, Token::Check(_))] => parse(text),
        _ => Err(ParseError::new(0, "an item of a list must be one check")),
    }
}

/// A tree of several nodes, or the only one by itself.
pub(super) fn joined(mut nodes: Vec<Node>, join: fn(Vec<Node>) -> Node) -> Node {
    match nodes.pop() {
        Some(only) if nodes.is_empty() => only,
        last => {
            nodes.extend(last);
            join(nodes)
        }
    }
}

struct Parser<'t, 'r> {
    tokens: Peekable<Copied<Iter<'t, (usize, Token<'r>)>>>,
    /// How many characters the rule has.
    end: usize,
    references: Vec<(usize, String)>,
}

impl Parser<'_, '_> {
    /// Takes the next token if it is this one.
    fn takes(&mut self, wanted: Token<'_>) -> bool {
        self.tokens.next_if(|(_, token)| *token == wanted).is_some()
    }

    fn any(&mut self, depth: usize) -> Result<Node, ParseError> {
        let mut nodes = vec![self.all(depth)?];
        while self.takes(Token::Or) {
            nodes.push(self.all(depth)?);
        }
        Ok(joined(nodes, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, ParseError> {
        let mut nodes = vec![self.one(depth)?];
        while self.takes(Token::And) {
            nodes.push(self.one(depth)?);
        }
        Ok(joined(nodes, Node::All))
    }

    fn one(&mut self, depth: usize) -> Result<Node, ParseError> {
        let Some((at, token)) = self.tokens.next() else {
            return Err(ParseError::new(self.end, "a check is missing at the end"));
        };
        if depth >= DEPTH_MAX {
            let reason = format!("nested deeper than {DEPTH_MAX}");
            return Err(ParseError::new(at, reason));
        }
        match token {
            Token::Not => Ok(Node::Not(Box::new(self.one(depth + 1)?))),
            Token::Open => {
                let node = self.any(depth + 1)?;
                if self.takes(Token::Close) {
                    return Ok(node);
                }
                let here = self.tokens.peek().map_or(self.end, |(here, _)| *here);
                let reason = format!("`)` is missing for the `(` at character {}", at + 1);
                Err(ParseError::new(here, reason))
            }
            Token::Check(text) => {
                let node = leaf::parse(text, at)?;
                if let Some(name) = leaf::reference(&node) {
                    self.references.push((at, name.to_owned()));
                }
                Ok(node)
            }
            Token::And | Token::Or | Token::Close => {
                Err(ParseError::new(at, "a check is missing before this"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(rule: &str) -> String {
        Check::parse(rule).unwrap_or_else(|error| panic!("{rule}: {error}")).to_string()
    }

    #[test]
    fn and_binds_tighter_than_or_and_not_tighter_than_both() {
        for (rule, expected) in [
            ("", "@"),
            ("  role:a ", "role:a"),
            ("role:a or role:b and role:c", "role:a or role:b and role:c"),
            ("role:a or (role:b and role:c)", "role:a or role:b and role:c"),
            ("(role:a or role:b) and role:c", "(role:a or role:b) and role:c"),
            ("((not role:a)) AND !", "not role:a and !"),
            ("NOT (role:a Or @)", "not (role:a or @)"),
            ("not not role:a", "not not role:a"),
            ("(role:a and role:b) and role:c", "(role:a and role:b) and role:c"),
            ("(project_id:%(project_id)s)", "project_id:%(project_id)s"),
        ] {
            assert_eq!(shown(rule), expected, "{rule}");
            assert_eq!(Check::parse(rule), Check::parse(expected), "{rule}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_where_it_goes_wrong() {
        for (rule, character) in [
            ("   ", 1),
            ("role:a role:b", 8),
            ("role:a and", 11),
            ("and role:a", 1),
            ("(role:a", 8),
            ("(role:a role:b)", 9),
            ("role:a)", 7),
            ("()", 2),
            ("ü", 1),
            ("role:a or ü:x", 11),
            ("role:a or role:", 16),
            ("not", 4),
            ("project_id:%(nothing)s", 12),
            ("role:a and (role:b or http://example.org)", 23),
        ] {
            let error = Check::parse(rule).unwrap_err();
            assert_eq!(error.character, character, "{rule}: {error}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}@{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Check::parse(&nested(DEPTH_MAX - 1)).is_ok());
        for deep in [nested(DEPTH_MAX), nested(100_000), "not ".repeat(100_000)] {
            assert!(Check::parse(&deep).unwrap_err().reason.contains("deeper"));
        }
        let wide = vec!["role:a"; 10_000].join(" or ");
        assert_eq!(shown(&wide), wide);
    }
}
