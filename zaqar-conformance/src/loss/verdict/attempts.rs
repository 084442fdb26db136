//! The attempts at one keyed post, seen as the one post that they are (G3).
//!
//! Somewhere between the beginning of the first attempt that may have had its effect and the end of
//! the first that was acknowledged, the messages were stored, once. So one call with these two ends,
//! and with the acknowledged ids, stands for all of them, and every other question is asked of it:
//! what was acknowledged under a key and is absent is lost, what is there under two ids was stored
//! twice.

use std::collections::BTreeMap;

use super::finding::{About, Finding, Kind};
use crate::loss::body::Tag;
use crate::loss::history::{Action, Answer, Call, History, Outcome, QueueTag};

/// A history whose keyed posts are one call each, and what is wrong among their attempts.
pub(super) struct Attempts {
    pub(super) merged: History,
    /// Attempts beyond the first of each post.
    pub(super) repeats: usize,
    pub(super) contradicted: Vec<Finding>,
}

impl Attempts {
    pub(super) fn of(history: &History) -> Self {
        let mut posts: BTreeMap<(QueueTag, Tag), Vec<&Call>> = BTreeMap::new();
        let mut calls = Vec::new();
        for call in &history.calls {
            match &call.action {
                Action::Post { tags, keyed: true, .. } if !tags.is_empty() => {
                    let first = tags.iter().take(1).map(|tag| (call.queue, *tag));
                    first.for_each(|key| posts.entry(key).or_default().push(call));
                }
                _ => calls.push(call.clone()),
            }
        }
        let repeats = posts.values().map(|attempts| attempts.len().saturating_sub(1)).sum();
        let contradicted = posts.values().filter_map(|a| contradiction(a)).collect();
        calls.extend(posts.values().filter_map(|attempts| merged(attempts)));
        calls.sort_by_key(|call| call.invoked.order);
        let History { run, drained, resolution_ms, fifo, .. } = history;
        let (run, resolution_ms, fifo) = (*run, *resolution_ms, *fifo);
        let merged = History { run, calls, drained: drained.clone(), resolution_ms, fifo };
        Self { merged, repeats, contradicted }
    }
}

/// The call that stands for all attempts.
fn merged(attempts: &[&Call]) -> Option<Call> {
    let effective = || attempts.iter().filter(|call| call.may_have_happened());
    let Some(first) = effective().min_by_key(|call| call.invoked.order) else {
        return attempts.first().map(|refused| Call::clone(refused));
    };
    let acknowledged = effective().filter(|call| call.is_ok()).min_by_key(|call| call.ended.order);
    let last = acknowledged.or_else(|| effective().max_by_key(|call| call.ended.order))?;
    let (ended, outcome) = (last.ended, last.outcome.clone());
    Some(Call { ended, outcome, ..Call::clone(first) })
}

fn contradiction(attempts: &[&Call]) -> Option<Finding> {
    let mut answers = attempts.iter().filter_map(|call| match &call.outcome {
        Outcome::Ok(Answer::Posted(ids)) => Some((call, ids)),
        _ => None,
    });
    let (first, ids) = answers.next()?;
    let (other, others) = answers.find(|(_, others)| *others != ids)?;
    let Action::Post { tags, .. } = &first.action else { return None };
    let about = tags.first().map_or(About::Queue(first.queue), |tag| About::Message(*tag));
    let what = format!("{ids:?} by {first}, {others:?} by its repeat {other}");
    Some(Finding::new(Kind::Contradicted, about, &[first, other], what))
}
