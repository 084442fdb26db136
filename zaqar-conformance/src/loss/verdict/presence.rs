//! What must be there and is not, and what is there and must not be.

use std::collections::{BTreeMap, BTreeSet};

use zaqar_core::MessageId;

use super::finding::{About, Finding, Kind};
use super::index::{Index, Post};
use crate::loss::history::{Action, Call, Outcome, QueueTag};

/// Acknowledged, owed to the last look at its queue, and absent from it.
pub(super) fn lost(index: &Index<'_>) -> Vec<Finding> {
    let mut absent: BTreeMap<QueueTag, Vec<Finding>> = BTreeMap::new();
    for (post, id) in index.acknowledged() {
        let queue = post.call.queue;
        let finding =
            |calls: &[&Call], what| Finding::new(Kind::Lost, About::Message(post.tag), calls, what);
        if let Some(closed) = closed_before(index, post) {
            let what = format!("{} {id} acknowledged by {} after {closed}", post.tag, post.call);
            absent.entry(queue).or_default().push(finding(&[post.call, closed], what));
            continue;
        }
        let Some(look) = index.last_look(queue) else { continue };
        let (there, end) = (look.seen.contains_key(&id), look.end);
        let swept = index.sweeping(queue).any(|sweep| {
            let over = sweep.is_ok() && sweep.precedes(post.call);
            !over && !matches!(sweep.action, Action::Pop { .. })
        });
        let explained = index.may_be_removed_by_name(post, u64::MAX, None)
            || swept
            || index.may_be_expired(post, end.ended.at.as_millis());
        if !there && !explained {
            let what = format!("{} {id} acknowledged by {}, absent at {end}", post.tag, post.call);
            absent.entry(queue).or_default().push(finding(&[post.call, end], what));
        }
    }
    // A pop without an answer took messages that nobody can name, but no more than it asked for.
    absent.retain(|queue, findings| {
        u64::try_from(findings.len()).unwrap_or(u64::MAX) > index.popped_unseen_max(*queue)
    });
    absent.into_values().flatten().collect()
}

/// The deletion of the queue that was over before `post` began: nobody can ever read it.
fn closed_before<'h>(index: &Index<'h>, post: Post<'h>) -> Option<&'h Call> {
    index.sweeping(post.call.queue).find(|sweep| {
        sweep.action == Action::DeleteQueue && sweep.is_ok() && sweep.precedes(post.call)
    })
}

/// Acknowledged before a read of everything began, alive until it ended, and absent from it.
pub(super) fn early(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for walk in index.walks.values().filter(|walk| !walk.read.last_look) {
        let (Some(first), Some(end)) = (walk.pages.first(), walk.end()) else { continue };
        let met: BTreeSet<MessageId> = walk.seen().map(|seen| seen.id).collect();
        for (post, id) in index.acknowledged_on(end.queue).iter().copied() {
            if post.call.precedes(first) && !met.contains(&id) && owed(index, post, end) {
                let what = format!("{} {id} of {}, absent from {end}", post.tag, post.call);
                findings.push(early_at(post, end, what));
            }
        }
    }
    let misses = index.history.calls.iter().filter_map(|call| match call.action {
        Action::Get { id } if call.is_ok() && call.seen().is_empty() => Some((call, id)),
        _ => None,
    });
    for (get, id) in misses {
        let asked = |post: &&Post<'_>| {
            post.call.queue == get.queue && post.call.precedes(get) && owed(index, **post, get)
        };
        if let Some(post) = index.by_id.get(&id).filter(asked) {
            let what = format!("{} {id} of {}, absent at {get}", post.tag, post.call);
            findings.push(early_at(*post, get, what));
        }
    }
    findings
}

fn early_at(post: Post<'_>, read: &Call, what: String) -> Finding {
    Finding::new(Kind::Early, About::Message(post.tag), &[post.call, read], what)
}

/// Whether `post` must still be there when `read` ended.
pub(super) fn owed(index: &Index<'_>, post: Post<'_>, read: &Call) -> bool {
    !index.may_be_removed(post, read.ended.order)
        && !index.may_be_expired(post, read.ended.at.as_millis())
}

/// Returned by a call that began after its life was over.
pub(super) fn late(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for post in index.posts.values() {
        let Some(end_ms) = index.lives_until_ms(*post) else { continue };
        let over_ms = end_ms.saturating_add(index.history.resolution_ms);
        for sighting in index.sightings(post.tag) {
            let call = sighting.call;
            if call.invoked.at.as_millis() >= over_ms.saturating_add(1) {
                let what = format!("{} of {}, over at {end_ms} ms, in {call}", post.tag, post.call);
                let about = About::Message(post.tag);
                findings.push(Finding::new(Kind::Late, about, &[post.call, call], what));
            }
        }
    }
    findings
}

/// Returned by a call that began after a removal was acknowledged.
pub(super) fn resurrected(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (tag, sightings) in &index.sightings {
        let Some(post) = index.posts.get(tag) else { continue };
        let too_late = |call: &Call| {
            matches!(call.action, Action::Delete { .. })
                && index.may_have_found_expired(*post, call)
        };
        let removals = index.removals(*post).filter(|call| !too_late(call));
        let removal = removals.min_by_key(|call| call.ended.order);
        let Some(removal) = removal else { continue };
        for again in sightings.iter().filter(|sighting| removal.precedes(sighting.call)) {
            let what = format!("{tag} {} removed by {removal}, in {}", again.seen.id, again.call);
            let (about, calls) = (About::Message(*tag), [post.call, removal, again.call]);
            findings.push(Finding::new(Kind::Resurrected, about, &calls, what));
        }
    }
    findings
}

/// Still visible after its queue was drained through claims.
pub(super) fn stuck(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for queue in &index.history.drained {
        let Some(look) = index.last_look(*queue) else { continue };
        for (id, seen) in &look.seen {
            let Ok(tag) = &seen.tag else { continue };
            let Some(post) = index.posts.get(tag) else { continue };
            let what = format!("{tag} {id} is left after the drain, in {}", look.end);
            let about = About::Message(*tag);
            findings.push(Finding::new(Kind::Stuck, about, &[post.call, look.end], what));
        }
    }
    findings
}

/// Why presence cannot be judged: a queue that nobody looked at in the end.
pub(super) fn unseen(index: &Index<'_>) -> Option<String> {
    let closed: BTreeSet<QueueTag> = index
        .history
        .calls
        .iter()
        .filter(|call| call.action == Action::DeleteQueue && call.outcome != Outcome::Failed)
        .map(|call| call.queue)
        .collect();
    let queues: BTreeSet<QueueTag> =
        index.acknowledged().map(|(post, _)| post.call.queue).collect();
    let unseen = queues.difference(&closed).find(|queue| index.last_look(**queue).is_none())?;
    Some(format!("queue {unseen} was not listed to its end after the workload"))
}
