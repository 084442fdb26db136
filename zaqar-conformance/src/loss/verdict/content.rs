//! What came out, compared with what was put in.

use std::collections::BTreeSet;

use zaqar_core::MessageId;

use super::Finding;
use super::index::{Index, Post};
use super::presence::owed;
use crate::loss::body::Tag;
use crate::loss::history::{Action, Answer, Call, Outcome};

/// Delivered though never posted, certainly not stored, or posted to another queue or another life
/// of it.
pub(super) fn unexpected(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (tag, sightings) in &index.sightings {
        let Some(first) = sightings.first() else { continue };
        let Some(post) = index.posts.get(tag) else {
            findings.push(Finding(format!("{tag} of run {:x} was never posted", tag.run)));
            continue;
        };
        if !post.call.may_have_happened() {
            let what = format!("{tag} of the refused {}, in {}", post.call, first.call);
            findings.push(Finding(what));
        }
        for stray in sightings.iter().filter(|sighting| sighting.call.queue != post.call.queue) {
            findings.push(Finding(format!("{tag} of {}, in {}", post.call, stray.call)));
        }
        let before = sightings.iter().find(|sighting| sighting.call.precedes(post.call));
        if let Some(before) = before {
            findings.push(Finding(format!("{tag} of {}, before it in {}", post.call, before.call)));
        }
    }
    findings
}

/// Delivered with a body that no producer posted.
pub(super) fn corrupt(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for call in &index.history.calls {
        for seen in call.seen() {
            if let Err(corrupt) = &seen.tag {
                findings.push(Finding(format!("{} with {corrupt}, in {call}", seen.id)));
            }
        }
    }
    findings
}

/// Stored under more ids than one, though posted once.
pub(super) fn duplicated(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (tag, sightings) in &index.sightings {
        let acked = index.posts.get(tag).and_then(|post| post.id);
        let seen = sightings.iter().map(|sighting| sighting.seen.id);
        let ids: BTreeSet<MessageId> = acked.into_iter().chain(seen).collect();
        if ids.len() > 1 {
            findings.push(Finding(format!("{tag} has the ids {ids:?}")));
        }
    }
    findings
}

/// A batch that was acknowledged, stored or shown in part.
pub(super) fn batch_torn(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for call in &index.history.calls {
        let Action::Post { tags, .. } = &call.action else { continue };
        if let Outcome::Ok(answer) = &call.outcome {
            let ids = if let Answer::Posted(ids) = answer { ids.len() } else { 0 };
            if ids != tags.len() {
                let what = format!("{ids} ids for {} messages from {call}", tags.len());
                findings.push(Finding(what));
            }
        }
        findings.extend(stored_in_part(index, call, tags));
    }
    findings.extend(shown_in_part(index));
    findings
}

/// Batches of which a complete walk met some messages, though the rest was there as well.
fn shown_in_part(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for walk in index.walks.values() {
        let Some(end) = walk.end() else { continue };
        let met: BTreeSet<Tag> = walk.seen().filter_map(|s| s.tag.clone().ok()).collect();
        for call in index.history.calls.iter().filter(|call| call.queue == end.queue) {
            let Action::Post { tags, .. } = &call.action else { continue };
            if !tags.iter().any(|tag| met.contains(tag)) {
                continue;
            }
            let missed = missing(index, tags, &met).find(|post| owed(index, *post, end));
            if let Some(missed) = missed {
                let what = format!("{} of {call} is missing among them, in {end}", missed.tag);
                findings.push(Finding(what));
            }
        }
    }
    findings
}

/// A post without an answer of which some messages came out and others never did.
fn stored_in_part(index: &Index<'_>, call: &Call, tags: &[Tag]) -> Option<Finding> {
    if call.outcome != Outcome::Indeterminate {
        return None;
    }
    let end = index.last_look(call.queue)?.end;
    let met: BTreeSet<Tag> =
        tags.iter().filter(|tag| !index.sightings(**tag).is_empty()).copied().collect();
    if met.is_empty() {
        return None;
    }
    let missed = missing(index, tags, &met).find(|post| owed(index, *post, end))?;
    Some(Finding(format!("{} never came out of {call}, others did", missed.tag)))
}

fn missing<'i, 'h>(
    index: &'i Index<'h>,
    tags: &'i [Tag],
    met: &'i BTreeSet<Tag>,
) -> impl Iterator<Item = Post<'h>> + 'i {
    tags.iter().filter(|tag| !met.contains(tag)).filter_map(|tag| index.posts.get(tag)).copied()
}

/// Messages of posts without an answer that came out.
pub(super) fn recovered(index: &Index<'_>) -> usize {
    let in_doubt = |post: &&Post<'_>| post.call.outcome == Outcome::Indeterminate;
    let came_out = |post: &&Post<'_>| !index.sightings(post.tag).is_empty();
    index.posts.values().filter(in_doubt).filter(came_out).count()
}
