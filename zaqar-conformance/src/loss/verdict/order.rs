//! What readers that follow markers met, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use zaqar_core::MessageId;

use super::finding::{About, Finding, Kind};
use super::index::Index;
use super::presence::owed;
use crate::loss::body::Tag;
use crate::loss::history::{Action, Call, Seen};

/// Acknowledged before a reader's last page was asked for, and never met by it.
pub(super) fn stepped_over(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for walk in index.walks.values().filter(|walk| !walk.read.last_look) {
        let Some(end) = walk.end() else { continue };
        let met: BTreeSet<MessageId> = walk.seen().map(|seen| seen.id).collect();
        for (post, id) in index.acknowledged_on(end.queue).iter().copied() {
            // What was there before the walk began is `early`'s to find.
            let first = walk.pages.first().is_some_and(|first| post.call.precedes(first));
            if !first && post.call.precedes(end) && !met.contains(&id) && owed(index, post, end) {
                let what = format!("{} {id} of {}, not met up to {end}", post.tag, post.call);
                let about = About::Message(post.tag);
                findings.push(Finding::new(Kind::SteppedOver, about, &[post.call, end], what));
            }
        }
    }
    findings
}

/// Met twice by one walk.
pub(super) fn repeated(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for walk in index.walks.values() {
        let mut met: BTreeMap<MessageId, &Call> = BTreeMap::new();
        for page in &walk.pages {
            for seen in page.seen() {
                if let Some(before) = met.insert(seen.id, page) {
                    let about = seen.tag.as_ref();
                    let about = about.map_or(About::Stored(seen.id), |tag| About::Message(*tag));
                    let what = format!("{} met again in {page}", seen.id);
                    findings.push(Finding::new(Kind::Repeated, about, &[before, page], what));
                }
            }
        }
    }
    findings
}

/// Out of a producer's order within one walk or one answer.
pub(super) fn misordered(index: &Index<'_>) -> Vec<Finding> {
    if !index.history.fifo {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for walk in index.walks.values() {
        if let Some(page) = walk.pages.first() {
            findings.extend(out_of_order(index, page, walk.seen()));
        }
    }
    for call in index.history.calls.iter().filter(|call| call.takes()) {
        findings.extend(out_of_order(index, call, call.seen().iter()));
    }
    findings
}

fn out_of_order<'s>(
    index: &Index<'_>,
    call: &Call,
    seen: impl Iterator<Item = &'s Seen>,
) -> Option<Finding> {
    let mut latest: BTreeMap<u32, Tag> = BTreeMap::new();
    for tag in seen.filter_map(|seen| seen.tag.clone().ok()) {
        if let Some(before) = latest.insert(tag.producer, tag)
            && posted_before(index, tag, before)
        {
            let posts = [tag, before].into_iter().filter_map(|tag| index.posts.get(&tag));
            let calls: Vec<&Call> = posts.map(|post| post.call).chain([call]).collect();
            let what = format!("{before} ahead of {tag} in {call}");
            return Some(Finding::new(Kind::Misordered, About::Message(tag), &calls, what));
        }
    }
    None
}

/// Whether the producer posted `one` before `other`, one after the other or in one batch.
fn posted_before(index: &Index<'_>, one: Tag, other: Tag) -> bool {
    let (Some(first), Some(second)) = (index.posts.get(&one), index.posts.get(&other)) else {
        return false;
    };
    let same_batch = first.call == second.call && matches!(first.call.action, Action::Post { .. });
    // A post without an answer may have landed at any later time.
    let settled = first.call.is_ok() && first.call.precedes(second.call);
    (same_batch && one.sequence < other.sequence) || settled
}
