//! What became of every acknowledged message, and whether that adds up to what the driver counts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::finding::{About, Finding, Kind};
use super::index::{Index, Post};
use crate::case::Guarantee;
use crate::loss::body::Tag;
use crate::loss::history::{Action, Answer, Call, Outcome};

/// How old the numbers may be that a driver answers, in milliseconds.
const COUNTED_AGO_MS: i64 = 1_000;

/// How many acknowledged messages came to which end, over the queues that were looked at in the
/// end: every one is in exactly one of these numbers, or lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fates {
    /// Still there.
    pub left: usize,
    /// Gone by a delete, purge or deletion of the queue that was acknowledged.
    pub deleted: usize,
    /// Gone with a pop's answer.
    pub popped: usize,
    /// Gone, as its life may have been over.
    pub expired: usize,
    /// Gone, and a call without an answer may have done it.
    pub in_doubt: usize,
    /// Gone, and nothing explains it, unless a pop without an answer took it.
    pub unexplained: usize,
}

pub(super) fn fates(index: &Index<'_>) -> Fates {
    let mut fates = Fates::default();
    for (post, id) in index.acknowledged() {
        let Some(look) = index.last_look(post.call.queue) else { continue };
        let pop = |call: &Call| matches!(call.action, Action::Pop { .. });
        let number = if look.seen.contains_key(&id) {
            &mut fates.left
        } else if index.removals(post).any(|call| !pop(call)) {
            &mut fates.deleted
        } else if index.removals(post).any(pop) {
            &mut fates.popped
        } else if index.may_be_expired(post, look.end.ended.at.as_millis()) {
            &mut fates.expired
        } else if index.may_be_removed(post, u64::MAX) {
            &mut fates.in_doubt
        } else {
            &mut fates.unexplained
        };
        *number += 1;
    }
    fates
}

/// Where among its acknowledged messages a producer lost some.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Losses {
    /// Before the first that was not lost: what a store forgets that starts anew.
    pub first: usize,
    /// Between others that were not: what a store forgets here and there.
    pub between: usize,
    /// After the last that was not: what a store forgets that had not yet kept it.
    pub last: usize,
}

impl fmt::Display for Losses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, between, last } = self;
        write!(f, "its first {first}, {between} between others, its last {last}")
    }
}

/// Where each producer lost messages, by the findings of `lost`; a producer that lost all of them
/// lost its first.
pub(super) fn losses(index: &Index<'_>, lost: &[Finding]) -> BTreeMap<u32, Losses> {
    let gone = |finding: &Finding| match finding.about {
        About::Message(tag) => Some(tag),
        _ => None,
    };
    let gone: BTreeSet<Tag> = lost.iter().filter_map(gone).collect();
    let mut acknowledged: BTreeMap<u32, Vec<bool>> = BTreeMap::new();
    // In the order of the tags, which is that of the producer's posts.
    for post in index.posts.values().filter(|post| post.id.is_some()) {
        acknowledged.entry(post.tag.producer).or_default().push(gone.contains(&post.tag));
    }
    let places = acknowledged.into_iter().map(|(producer, gone)| {
        let all = gone.iter().filter(|gone| **gone).count();
        let first = gone.iter().take_while(|gone| **gone).count();
        let last = gone.iter().rev().take_while(|gone| **gone).count();
        let last = if first == gone.len() { 0 } else { last };
        (producer, Losses { first, between: all - first - last, last })
    });
    places.filter(|(_, losses)| *losses != Losses::default()).collect()
}

/// Numbers of live messages that no moment of the last second explains.
pub(super) fn miscounted(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for call in &index.history.calls {
        let Outcome::Ok(Answer::Counted { claimed, free }) = &call.outcome else { continue };
        let counted = claimed.saturating_add(*free);
        let (least, most) = bounds(index, call);
        if (least..=most).contains(&counted) {
            continue;
        }
        let what = format!("{counted} messages, {least} to {most} were there, in {call}");
        let about = About::Queue(call.queue);
        let broken = if counted < least { Guarantee::G1 } else { Guarantee::G4 };
        findings.push(Finding::new(Kind::Miscounted, about, &[call], what).breaking(broken));
    }
    findings
}

/// How many messages of its queue were there at least, and at most, when `call` counted them.
fn bounds(index: &Index<'_>, call: &Call) -> (u64, u64) {
    let slack_ms = COUNTED_AGO_MS.saturating_add(index.history.resolution_ms);
    let since_ms = call.invoked.at.as_millis().saturating_sub(slack_ms);
    let long_before = |other: &Call| other.ended.at.as_millis() < since_ms && other.precedes(call);
    let (mut least, mut most) = (0_u64, 0_u64);
    for post in index.posts.values().filter(|post| post.call.queue == call.queue) {
        let begun = post.call.may_have_happened() && post.call.invoked.order < call.ended.order;
        if begun && !is_gone(index, *post, since_ms, &long_before) {
            most = most.saturating_add(1);
        }
        let there = post.call.is_ok() && long_before(post.call);
        if there && super::presence::owed(index, *post, call) {
            least = least.saturating_add(1);
        }
    }
    (least.saturating_sub(index.popped_unseen_max(call.queue)), most)
}

/// Whether `post` certainly was gone all the time.
fn is_gone(
    index: &Index<'_>,
    post: Post<'_>,
    since_ms: i64,
    long_before: &impl Fn(&Call) -> bool,
) -> bool {
    index.removals(post).any(long_before)
        || index.lives_until_ms(post).is_some_and(|until_ms| until_ms < since_ms)
}
