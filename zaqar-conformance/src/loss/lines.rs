//! A history as JSON lines: what a run recorded can be kept, sent to somebody, and judged again.
//!
//! The first line says what the whole run had in common, each line after it is one call, in the
//! order in which the calls began. Bodies are never in it: a message is known by its tag, and of a
//! body that nobody posted it says no more than that.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::body::Corrupt;
use super::history::{Answer, Call, History, Outcome, QueueTag, Seen};

/// Version of this form; raised with every change that a reader could stumble over.
pub const SCHEMA_VERSION: u32 = 2;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema_version: u32,
    run: u64,
    resolution_ms: i64,
    fifo: bool,
    drained: BTreeSet<QueueTag>,
}

/// The version alone, which is asked before anything else.
#[derive(Deserialize)]
struct Versioned {
    schema_version: u32,
}

/// Why a text is no history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is no first line.
    #[error("there is no line in it")]
    Empty,
    /// It is written in another version of the form.
    #[error("it has schema version {found}, and this suite reads {SCHEMA_VERSION}")]
    Version {
        /// Which.
        found: u32,
    },
    /// A line is not what it must be.
    #[error("line {number}: {reason}")]
    Line {
        /// Which, counted from 1.
        number: usize,
        /// What is wrong with it.
        reason: String,
    },
}

impl History {
    /// The history as JSON lines.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let Self { run, calls, drained, resolution_ms, fifo } = self;
        let (run, resolution_ms, fifo, drained) = (*run, *resolution_ms, *fifo, drained.clone());
        let schema_version = SCHEMA_VERSION;
        let mut text = line(&Header { schema_version, run, resolution_ms, fifo, drained });
        for call in calls {
            text.push_str(&if holds_text(call) { line(&without_text(call)) } else { line(call) });
        }
        text
    }

    /// The history that `text` holds; empty lines are passed over.
    ///
    /// # Errors
    /// [`Unreadable`], with the number of the line, if it is none.
    pub fn from_lines(text: &str) -> Result<Self, Unreadable> {
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let (number, first) = lines.next().ok_or(Unreadable::Empty)?;
        let Versioned { schema_version: found } = parsed(number, first)?;
        if found != SCHEMA_VERSION {
            return Err(Unreadable::Version { found });
        }
        let Header { run, resolution_ms, fifo, drained, .. } = parsed(number, first)?;
        let mut calls: Vec<Call> = Vec::new();
        for (number, line) in lines {
            let call: Call = parsed(number, line)?;
            let bad = |reason: &str| Err(Unreadable::Line { number, reason: reason.into() });
            if call.ended.order < call.invoked.order {
                return bad("the call ends before it begins");
            }
            if calls.last().is_some_and(|last| last.invoked.order > call.invoked.order) {
                return bad("the call begins before the call of the line before it");
            }
            calls.push(call);
        }
        Ok(Self { run, calls, drained, resolution_ms, fifo })
    }
}

fn line(value: &impl Serialize) -> String {
    // Nothing in a history has a form that JSON lacks.
    let mut line = serde_json::to_string(value).unwrap_or_default();
    line.push('\n');
    line
}

fn parsed<'l, T: Deserialize<'l>>(number: usize, line: &'l str) -> Result<T, Unreadable> {
    serde_json::from_str(line)
        .map_err(|error| Unreadable::Line { number, reason: error.to_string() })
}

fn holds_text(call: &Call) -> bool {
    let text = |seen: &Seen| matches!(&seen.tag, Err(corrupt) if !corrupt.text.is_empty());
    call.seen().iter().chain(call.handed().map_or(&[][..], |(_, seen)| seen)).any(text)
}

fn without_text(call: &Call) -> Call {
    let mut call = call.clone();
    if let Outcome::Ok(Answer::Messages(messages) | Answer::Handed { messages, .. }) =
        &mut call.outcome
    {
        for seen in messages.iter_mut().filter(|seen| seen.tag.is_err()) {
            seen.tag = Err(Corrupt { text: String::new() });
        }
    }
    call
}
