//! A policy file: YAML, a map from names to rules, which are texts or lists of lists of checks.

use std::collections::BTreeSet;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use super::check::{Check, Node};
use super::parse::{self, ParseError, Parsed};
use super::policy::PolicyError;

/// A rule of the file.
#[derive(Debug)]
pub(super) struct Override {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) read: Result<Parsed, ParseError>,
}

/// The rules of a file, in its order. A file without any is fine: the sample is one.
pub(super) fn read(text: &str, file: &str) -> Result<Vec<Override>, PolicyError> {
    let mut reader = Reader { events: Parser::new_from_str(text) };
    reader.document().map_err(|Fault { line, reason }| {
        let file = file.to_owned();
        PolicyError::NoRules { file, line, reason }
    })
}

/// What is wrong with the file, and on which line.
struct Fault {
    line: usize,
    reason: String,
}

impl Fault {
    fn new(span: Span, reason: impl Into<String>) -> Self {
        Self { line: span.start.line(), reason: reason.into() }
    }
}

impl From<ScanError> for Fault {
    fn from(error: ScanError) -> Self {
        Self { line: error.marker().line(), reason: format!("is no YAML: {}", error.info()) }
    }
}

/// What the file has at a place.
enum Item {
    Text(String),
    List,
    End,
}

struct Reader<E> {
    events: E,
}

impl<'f, E: Iterator<Item = Result<(Event<'f>, Span), ScanError>>> Reader<E> {
    fn next(&mut self) -> Result<(Event<'f>, Span), Fault> {
        match self.events.next() {
            Some(event) => Ok(event?),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    fn document(&mut self) -> Result<Vec<Override>, Fault> {
        const MAP: &str = "must be a map from names to rules";
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::StreamEnd => return Ok(Vec::new()),
                Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => {}
                Event::MappingStart(..) => break,
                _ => return Err(Fault::new(span, MAP)),
            }
        }
        let rules = self.rules()?;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentEnd => {}
                Event::StreamEnd => return Ok(rules),
                _ => return Err(Fault::new(span, "must be one document")),
            }
        }
    }

    fn rules(&mut self) -> Result<Vec<Override>, Fault> {
        let mut rules = Vec::new();
        let mut names = BTreeSet::new();
        loop {
            let (item, span) = self.item()?;
            let name = match item {
                Item::Text(name) => name,
                Item::End => return Ok(rules),
                Item::List => return Err(Fault::new(span, "a rule's name must be a text")),
            };
            if !names.insert(name.clone()) {
                return Err(Fault::new(span, format!("rule \"{name}\" is there twice")));
            }
            let line = span.start.line();
            let read = match self.item()? {
                (Item::Text(text), _) => parse::parse(&text),
                (Item::List, _) => self.alternatives()?,
                (Item::End, span) => return Err(Fault::new(span, "a rule is missing")),
            };
            rules.push(Override { name, line, read });
        }
    }

    /// A rule as a list: one of its items must hold, and each is a check or a list of checks of
    /// which all must hold. An empty list is everyone, as an empty text is.
    fn alternatives(&mut self) -> Result<Result<Parsed, ParseError>, Fault> {
        let mut alternatives = Vec::new();
        loop {
            match self.item()? {
                (Item::Text(text), _) => alternatives.push(vec![text]),
                (Item::List, _) => {
                    let mut checks = Vec::new();
                    loop {
                        match self.item()? {
                            (Item::Text(text), _) => checks.push(text),
                            (Item::End, _) if !checks.is_empty() => break,
                            (Item::End | Item::List, span) => {
                                let reason = "a list in a list must hold checks";
                                return Err(Fault::new(span, reason));
                            }
                        }
                    }
                    alternatives.push(checks);
                }
                (Item::End, _) => return Ok(from_lists(&alternatives)),
            }
        }
    }

    fn item(&mut self) -> Result<(Item, Span), Fault> {
        let (event, span) = self.next()?;
        let item = match event {
            // A value that was forgotten must not pass for the empty text, which lets everyone in.
            Event::Scalar(text, ScalarStyle::Plain, _, None) if is_null(&text) => {
                let reason = "a value is missing; for everyone write \"\", for nobody \"!\"";
                return Err(Fault::new(span, reason));
            }
            Event::Scalar(text, _, _, None) => Item::Text(text.into_owned()),
            Event::SequenceStart(_, None) => Item::List,
            Event::SequenceEnd | Event::MappingEnd => Item::End,
            Event::Scalar(..) | Event::SequenceStart(..) => {
                return Err(Fault::new(span, "`!` begins a tag; write \"!\" in quotes"));
            }
            Event::Alias(_) => return Err(Fault::new(span, "aliases are not supported")),
            _ => return Err(Fault::new(span, "a rule must be a text or a list of lists")),
        };
        Ok((item, span))
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn from_lists(alternatives: &[Vec<String>]) -> Result<Parsed, ParseError> {
    let mut references = Vec::new();
    let mut any = Vec::new();
    for checks in alternatives {
        let mut all = Vec::new();
        for check in checks {
            let parsed = parse::parse_single(check)?;
            references.extend(parsed.references);
            all.push(parsed.check.0);
        }
        any.push(parse::joined(all, Node::All));
    }
    let node = if any.is_empty() { Node::Everyone } else { parse::joined(any, Node::Any) };
    Ok(Parsed { check: Check(node), references })
}
