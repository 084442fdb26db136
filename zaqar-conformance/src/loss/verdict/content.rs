//! What came out, compared with what was put in.

use std::collections::{BTreeMap, BTreeSet};

use zaqar_core::MessageId;

use super::finding::{About, Finding, Kind};
use super::index::{Index, Post};
use super::presence::owed;
use crate::case::Guarantee;
use crate::loss::body::Tag;
use crate::loss::history::{Action, Answer, Call, Outcome, QueueTag};

/// Delivered though never posted, certainly not stored, or posted to another queue or another life
/// of it.
pub(super) fn unexpected(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (tag, sightings) in &index.sightings {
        let Some(first) = sightings.first() else { continue };
        let finding = |calls: &[&Call], what| {
            Finding::new(Kind::Unexpected, About::Message(*tag), calls, what)
        };
        let Some(post) = index.posts.get(tag) else {
            let what = format!("{tag} of run {:x} was never posted, in {}", tag.run, first.call);
            findings.push(finding(&[first.call], what));
            continue;
        };
        if !post.call.may_have_happened() {
            let what = format!("{tag} of the refused {}, in {}", post.call, first.call);
            findings.push(finding(&[post.call, first.call], what));
        }
        for stray in sightings.iter().filter(|sighting| sighting.call.queue != post.call.queue) {
            let what = format!("{tag} of {}, in {}", post.call, stray.call);
            let broken = of_another_queue(post.call.queue, stray.call.queue);
            findings.push(finding(&[post.call, stray.call], what).breaking(broken));
        }
        let before = sightings.iter().find(|sighting| sighting.call.precedes(post.call));
        if let Some(before) = before {
            let what = format!("{tag} of {}, before it in {}", post.call, before.call);
            findings.push(finding(&[post.call, before.call], what));
        }
    }
    findings
}

/// What is broken by a message that came out of a queue that it was not posted to.
fn of_another_queue(posted: QueueTag, seen: QueueTag) -> Guarantee {
    if posted.queue == seen.queue { Guarantee::G11 } else { Guarantee::G4 }
}

/// Delivered with a body that no producer posted.
pub(super) fn corrupt(index: &Index<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for call in &index.history.calls {
        for seen in call.seen() {
            if let Err(corrupt) = &seen.tag {
                let what = format!("{} with {corrupt}, in {call}", seen.id);
                let about = index.by_id.get(&seen.id).map(|post| About::Message(post.tag));
                let about = about.unwrap_or(About::Stored(seen.id));
                findings.push(Finding::new(Kind::Corrupt, about, &[call], what));
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
            let post = index.posts.get(tag).map(|post| post.call);
            let mut shown = BTreeSet::new();
            let firsts = sightings.iter().filter(|sighting| shown.insert(sighting.seen.id));
            let calls: Vec<&Call> = post.into_iter().chain(firsts.map(|s| s.call)).collect();
            let what = format!("{tag} has the ids {ids:?}");
            findings.push(Finding::new(Kind::Duplicated, About::Message(*tag), &calls, what));
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
                findings.push(Finding::new(Kind::BatchTorn, about_batch(call), &[call], what));
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
        let posts = met.iter().filter_map(|tag| index.posts.get(tag)).map(|post| post.call);
        let posts: BTreeMap<Option<Tag>, &Call> =
            posts.map(|call| (first_of(call), call)).collect();
        for call in posts.into_values().filter(|call| call.queue == end.queue) {
            let Action::Post { tags, .. } = &call.action else { continue };
            let missed = missing(index, tags, &met).find(|post| owed(index, *post, end));
            if let Some(missed) = missed {
                let what = format!("{} of {call} is missing among them, in {end}", missed.tag);
                let about = About::Message(missed.tag);
                findings.push(Finding::new(Kind::BatchTorn, about, &[call, end], what));
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
    let what = format!("{} never came out of {call}, others did", missed.tag);
    let about = About::Message(missed.tag);
    Some(Finding::new(Kind::BatchTorn, about, &[call, end], what))
}

/// The message that names a post.
fn first_of(post: &Call) -> Option<Tag> {
    match &post.action {
        Action::Post { tags, .. } => tags.first().copied(),
        _ => None,
    }
}

fn about_batch(post: &Call) -> About {
    first_of(post).map_or(About::Queue(post.queue), About::Message)
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
