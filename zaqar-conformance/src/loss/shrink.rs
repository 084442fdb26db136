//! The shortest history that still shows a finding.
//!
//! A history of thousands of calls shows a finding by a few of them. First everything is left out
//! that is about other messages, then call after call for as long as the verdict still has the same
//! finding by the same calls, and none that the whole history does not have. So what is left tells
//! a part of what happened, and never another story: a call that would excuse the finding did not
//! do so in the whole history either, and a message whose post was left out is not "unexpected".

use std::collections::{BTreeMap, BTreeSet};

use zaqar_core::MessageId;

use super::body::Tag;
use super::history::{Action, Answer, Call, History, Outcome, QueueTag};
use super::verdict::{About, Finding, Kind, judge};

/// How many calls are judged in all, over and over, before what is left is short enough.
const JUDGED_MAX: usize = 4_000_000;

/// The shortest history found in which `finding`, one of the verdict's on `history`, is shown by the
/// same calls; `history` itself if nothing of it can be left out.
#[must_use]
pub fn shrink(history: &History, finding: &Finding) -> History {
    let of_queue = |call: &&Call| About::Queue(call.queue) == finding.about;
    if finding.kind == Kind::Miscounted {
        // Every message of the queue is a part of it.
        return with_calls(history, history.calls.iter().filter(of_queue).cloned().collect());
    }
    // Numbers do not match any more once messages are left out.
    let uncounted = history.calls.iter().filter(|call| call.action != Action::Count);
    let history = &with_calls(history, uncounted.cloned().collect());
    let mut search = Search::new(history, finding);
    let mut shortest = history.clone();
    for kept in first_tries(history, finding) {
        let candidate = about(history, &kept);
        if search.shows(&candidate) {
            shortest = candidate;
            break;
        }
    }
    loop {
        let before = size(&shortest);
        shortest = search.without_calls(shortest);
        shortest = search.without_messages(shortest);
        // What was left out may have been all that needed something else.
        if size(&shortest) == before || search.is_over() {
            return shortest;
        }
    }
}

/// How much there is to leave out.
fn size(history: &History) -> (usize, usize) {
    (history.calls.len(), messages(history).len())
}

/// The messages that a history mentions by their tags.
fn messages(history: &History) -> BTreeSet<Tag> {
    let mut messages = BTreeSet::new();
    for call in &history.calls {
        if let Action::Post { tags, .. } = &call.action {
            messages.extend(tags.iter().copied());
        }
        messages.extend(call.seen().iter().filter_map(|seen| seen.tag.clone().ok()));
    }
    messages
}

/// What must remain, and how much was tried.
struct Search<'h> {
    finding: &'h Finding,
    known: BTreeSet<(Kind, About)>,
    judged: usize,
}

impl<'h> Search<'h> {
    fn new(history: &History, finding: &'h Finding) -> Self {
        let known = judge(history).findings().map(|f| (f.kind, f.about)).collect();
        Self { finding, known, judged: history.calls.len() }
    }

    fn is_over(&self) -> bool {
        self.judged > JUDGED_MAX
    }

    /// Whether `candidate` shows the finding as the whole history does, and nothing else that that
    /// does not show.
    fn shows(&mut self, candidate: &History) -> bool {
        self.judged += candidate.calls.len();
        let verdict = judge(candidate);
        let Finding { kind, about, calls, .. } = self.finding;
        let same = |f: &Finding| f.kind == *kind && f.about == *about && f.calls == *calls;
        verdict.findings().any(same)
            && verdict.findings().all(|f| self.known.contains(&(f.kind, f.about)))
    }

    /// Leaves out message after message.
    fn without_messages(&mut self, whole: History) -> History {
        let mut kept = messages(&whole);
        let mut shortest = whole;
        for tag in kept.clone() {
            if self.is_over() {
                break;
            }
            kept.remove(&tag);
            let candidate = about(&shortest, &kept);
            if self.shows(&candidate) {
                shortest = candidate;
            } else {
                kept.insert(tag);
            }
        }
        shortest
    }

    /// Leaves out calls: many at a time, then fewer, then each by itself until all are needed.
    fn without_calls(&mut self, whole: History) -> History {
        let mut shortest = whole;
        let mut chunk = shortest.calls.len().max(1);
        loop {
            let before = shortest.calls.len();
            let mut from = 0;
            while from < shortest.calls.len() && !self.is_over() {
                match self.without(&shortest, from, chunk) {
                    Some(shorter) => shortest = shorter,
                    None => from += chunk,
                }
            }
            let all_needed = chunk == 1 && shortest.calls.len() == before;
            if all_needed || self.is_over() {
                return shortest;
            }
            chunk = (chunk / 2).max(1);
        }
    }

    /// The history without the `chunk` calls at `from`, but for those that show the finding; `None`
    /// if that leaves nothing out, or too much.
    fn without(&mut self, whole: &History, from: usize, chunk: usize) -> Option<History> {
        let to = from.saturating_add(chunk);
        let stays = |(nth, call): &(usize, &Call)| {
            *nth < from || *nth >= to || self.finding.calls.contains(&call.invoked.order)
        };
        let calls: Vec<Call> =
            whole.calls.iter().enumerate().filter(stays).map(|(_, call)| call.clone()).collect();
        if calls.len() == whole.calls.len() {
            return None;
        }
        let shorter = with_calls(whole, calls);
        self.shows(&shorter).then_some(shorter)
    }
}

/// The messages that may be enough: the one that the finding is about; those that were posted with
/// it too; all that the calls mention that show it.
fn first_tries(history: &History, finding: &Finding) -> Vec<BTreeSet<Tag>> {
    let own: BTreeSet<Tag> = match finding.about {
        About::Message(tag) => [tag].into(),
        _ => BTreeSet::new(),
    };
    let (mut posted, mut mentioned) = (own.clone(), own.clone());
    let shows = |call: &&Call| finding.calls.contains(&call.invoked.order);
    for call in history.calls.iter().filter(shows) {
        if let Action::Post { tags, .. } = &call.action {
            posted.extend(tags);
        }
        mentioned.extend(call.seen().iter().filter_map(|seen| seen.tag.as_ref().ok()));
    }
    mentioned.extend(&posted);
    vec![own, posted, mentioned]
}

fn with_calls(history: &History, calls: Vec<Call>) -> History {
    let used: BTreeSet<QueueTag> = calls.iter().map(|call| call.queue).collect();
    let drained = history.drained.intersection(&used).copied().collect();
    let History { run, resolution_ms, fifo, .. } = history;
    History { run: *run, calls, drained, resolution_ms: *resolution_ms, fifo: *fifo }
}

/// The history as if there were no messages but `kept`, and what nobody can tell the owner of.
fn about(history: &History, kept: &BTreeSet<Tag>) -> History {
    let owners = owners(history);
    let other = |id: &MessageId| owners.get(id).is_some_and(|tag| !kept.contains(tag));
    let mut calls = Vec::new();
    let mut emptied: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for call in &history.calls {
        let Some(shorter) = call_about(call, kept, &other) else { continue };
        if let Action::List(read) = &shorter.action
            && shorter.is_ok()
        {
            let pages = emptied.entry(read.walk).or_default();
            if shorter.seen().is_empty() && !call.seen().is_empty() {
                pages.push(calls.len());
            } else {
                pages.clear();
            }
        }
        calls.push(shorter);
    }
    // A walk that was not read to its end must not look as if it had been: an empty page is an end.
    let ends: BTreeSet<usize> = emptied.into_values().flatten().collect();
    let calls = calls.into_iter().enumerate().filter(|(nth, _)| !ends.contains(nth));
    with_calls(history, calls.map(|(_, call)| call).collect())
}

/// Whose message is stored under which id.
fn owners(history: &History) -> BTreeMap<MessageId, Tag> {
    let mut owners = BTreeMap::new();
    for call in &history.calls {
        if let (Action::Post { tags, .. }, Outcome::Ok(Answer::Posted(ids))) =
            (&call.action, &call.outcome)
        {
            owners.extend(ids.iter().copied().zip(tags.iter().copied()));
        }
        for seen in call.seen() {
            if let Ok(tag) = &seen.tag {
                owners.entry(seen.id).or_insert(*tag);
            }
        }
    }
    owners
}

/// `call` as if there were no `other` messages; `None` if it is about them alone.
fn call_about(
    call: &Call,
    kept: &BTreeSet<Tag>,
    other: &impl Fn(&MessageId) -> bool,
) -> Option<Call> {
    let mut call = call.clone();
    match &mut call.action {
        Action::Post { tags, .. } => {
            let stays: Vec<bool> = tags.iter().map(|tag| kept.contains(tag)).collect();
            let whole = matches!(&call.outcome, Outcome::Ok(Answer::Posted(ids)) if ids.len() != tags.len());
            // A batch whose ids do not match its messages cannot be shortened along with them.
            if whole {
                return stays.contains(&true).then_some(call);
            }
            retain_by(tags, &stays);
            if let Outcome::Ok(Answer::Posted(ids)) = &mut call.outcome {
                retain_by(ids, &stays);
            }
            if tags.is_empty() {
                return None;
            }
        }
        Action::Delete { ids, .. } => {
            ids.retain(|id| !other(id));
            if ids.is_empty() {
                return None;
            }
        }
        Action::Get { id } if other(id) => return None,
        Action::Complete { done, .. } => done.retain(|id| !other(id)),
        _ => {}
    }
    if let Outcome::Ok(Answer::Messages(messages) | Answer::Handed { messages, .. }) =
        &mut call.outcome
    {
        messages.retain(|seen| match &seen.tag {
            Ok(tag) => kept.contains(tag),
            Err(_) => !other(&seen.id),
        });
    }
    Some(call)
}

fn retain_by<T>(items: &mut Vec<T>, stays: &[bool]) {
    let mut stays = stays.iter();
    items.retain(|_| stays.next().copied().unwrap_or(true));
}
