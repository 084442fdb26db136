//! The calls that a finding is about, each with what it did to the message or claim.

use std::collections::BTreeSet;

use zaqar_core::{ClaimId, MessageId};

use crate::loss::body::Tag;
use crate::loss::history::{Action, Answer, Call, History, Outcome, QueueTag};
use crate::loss::verdict::{About, Finding};

/// Steps that are told at most.
const STEPS_MAX: usize = 40;

/// One call of the story.
#[derive(Debug)]
pub(super) struct Step<'h> {
    /// Counted from 1: the picture names it so.
    pub(super) number: usize,
    pub(super) call: &'h Call,
    /// What it did, in words.
    pub(super) text: String,
    /// Whether it is one of the calls that show the finding.
    pub(super) shows: bool,
    /// Whether its answer holds the message.
    pub(super) met: bool,
}

/// All that happened to what a finding is about.
#[derive(Debug)]
pub(super) struct Story<'h> {
    pub(super) steps: Vec<Step<'h>>,
    pub(super) left_out: usize,
    /// When the run began, by the storage clock, in milliseconds.
    pub(super) begun_ms: i64,
    /// Whether it is the story of a message, and of no claim or queue.
    pub(super) is_message: bool,
    posted: Option<&'h Call>,
    acknowledged: Option<&'h Call>,
    last_seen: Option<&'h Call>,
}

impl<'h> Story<'h> {
    pub(super) fn of(history: &'h History, finding: &Finding) -> Self {
        let matter = Matter::of(history, finding);
        let mut steps: Vec<Step<'h>> = Vec::new();
        for call in &history.calls {
            let shows = finding.calls.contains(&call.invoked.order);
            let text = match matter.told(call) {
                Some(text) => text,
                None if shows => bystanding(call),
                None => continue,
            };
            let met = matter.is_met_by(call);
            steps.push(Step { number: 0, call, text, shows, met });
        }
        let posts = || steps.iter().filter(|step| matter.is_posted_by(step.call));
        let posted = posts().map(|step| step.call).next();
        let acknowledged = posts().map(|step| step.call).find(|call| call.is_ok());
        let last_seen =
            steps.iter().filter(|step| step.met).max_by_key(|step| step.call.ended.order);
        let last_seen = last_seen.map(|step| step.call);
        let is_message = matter.is_message();
        let left_out = abridge(&mut steps);
        for (number, step) in (1..).zip(&mut steps) {
            step.number = number;
        }
        let begun_ms = history.calls.first().map_or(0, |call| call.invoked.at.as_millis());
        Self { steps, left_out, begun_ms, is_message, posted, acknowledged, last_seen }
    }

    /// The first attempt at its post.
    pub(super) fn posted(&self) -> Option<&'h Call> {
        self.posted
    }

    /// The first call that acknowledged it.
    pub(super) fn acknowledged(&self) -> Option<&'h Call> {
        self.acknowledged
    }

    /// The last call whose answer holds it.
    pub(super) fn last_seen(&self) -> Option<&'h Call> {
        self.last_seen
    }

    /// A moment of the storage clock, counted from the run's beginning.
    pub(super) fn since_ms(&self, at_ms: i64) -> String {
        seconds(at_ms.saturating_sub(self.begun_ms))
    }
}

/// Leaves out steps in the middle that show nothing, if there are too many; how many.
fn abridge(steps: &mut Vec<Step<'_>>) -> usize {
    let too_many = steps.len().saturating_sub(STEPS_MAX);
    let (from, mut left_out) = (STEPS_MAX / 2, 0);
    let mut nth = 0;
    steps.retain(|step| {
        nth += 1;
        let goes = nth > from && left_out < too_many && !step.shows;
        left_out += usize::from(goes);
        !goes
    });
    left_out
}

/// What the story is about: everything by which a call can name it.
struct Matter {
    tag: Option<Tag>,
    ids: BTreeSet<MessageId>,
    claims: BTreeSet<ClaimId>,
    queues: BTreeSet<QueueTag>,
}

impl Matter {
    fn of(history: &History, finding: &Finding) -> Self {
        let mut matter = Self {
            tag: None,
            ids: BTreeSet::new(),
            claims: BTreeSet::new(),
            queues: BTreeSet::new(),
        };
        match finding.about {
            About::Message(tag) => matter.tag = Some(tag),
            About::Stored(id) => drop(matter.ids.insert(id)),
            About::Claim(claim) => drop(matter.claims.insert(claim)),
            About::Queue(queue) => drop(matter.queues.insert(queue)),
        }
        if matches!(finding.about, About::Message(_) | About::Stored(_)) {
            history.calls.iter().for_each(|call| matter.learn(call));
        }
        matter
    }

    /// Takes in by which ids, in which queue and under which claims a call knows the message.
    fn learn(&mut self, call: &Call) {
        if let Action::Post { tags, .. } = &call.action
            && let Some(nth) = tags.iter().position(|tag| Some(*tag) == self.tag)
        {
            self.queues.insert(call.queue);
            if let Outcome::Ok(Answer::Posted(ids)) = &call.outcome {
                self.ids.extend(ids.get(nth));
            }
        }
        for seen in call.seen() {
            let same = seen.tag.as_ref().is_ok_and(|tag| Some(*tag) == self.tag);
            if same || self.ids.contains(&seen.id) {
                self.ids.insert(seen.id);
                if let Action::Claim { claim, .. } = &call.action {
                    self.claims.insert(*claim);
                }
            }
        }
    }

    fn is_message(&self) -> bool {
        self.tag.is_some() || !self.ids.is_empty()
    }

    fn is_posted_by(&self, call: &Call) -> bool {
        let ours = |tag: &Tag| Some(*tag) == self.tag;
        matches!(&call.action, Action::Post { tags, .. } if tags.iter().any(ours))
    }

    fn is_met_by(&self, call: &Call) -> bool {
        let handed = call.handed().map_or(&[][..], |(_, seen)| seen);
        call.seen().iter().chain(handed).any(|seen| match &seen.tag {
            Ok(tag) => Some(*tag) == self.tag,
            Err(_) => self.ids.contains(&seen.id),
        })
    }

    /// What the call did to it; `None` if nothing.
    fn told(&self, call: &Call) -> Option<String> {
        let (met, outcome) = (self.is_met_by(call), outcome(call));
        match &call.action {
            Action::Post { tags, keyed, .. } if self.is_posted_by(call) => {
                let others = tags.len().saturating_sub(1);
                let key = if *keyed { ", under a key" } else { "" };
                let batch = match others {
                    0 => String::new(),
                    1 => " with 1 other".to_owned(),
                    more => format!(" with {more} others"),
                };
                Some(format!("posts it{batch}{key}: {outcome}"))
            }
            Action::Claim { claim, ttl, .. } if met || self.claims.contains(claim) => {
                let what = match (self.is_message(), met) {
                    (true, true) => "takes it",
                    (true, false) => "does not hold it",
                    (false, _) => "is made",
                };
                let ttl_s = u64::from(*ttl);
                Some(format!("claim {claim} for {ttl_s} s {what}: {outcome}"))
            }
            Action::Renew { claim, .. } if self.claims.contains(claim) => {
                Some(format!("renews claim {claim}{}: {outcome}", self.through(call)))
            }
            Action::Release { claim } if self.claims.contains(claim) => {
                Some(format!("releases claim {claim}{}: {outcome}", self.through(call)))
            }
            Action::Delete { ids, claims } => self.deleted(call, ids, claims.as_deref()),
            Action::Pop { .. } if met => Some(format!("pops it: {outcome}")),
            Action::Pop { limit } if self.is_in_doubt(call) => {
                Some(format!("may have popped it, among {limit} at most: {outcome}"))
            }
            Action::List(_) if met => Some(format!("lists it: {outcome}")),
            Action::Get { id } if self.ids.contains(id) => {
                let what = if met { "reads it" } else { "asks for it by its id" };
                Some(format!("{what}: {outcome}"))
            }
            Action::Deliver { lease, .. } if met => {
                let to = call.handed().map_or(0, |(subscriber, _)| subscriber);
                Some(format!("leases it for subscriber {to} under {lease}: {outcome}"))
            }
            Action::Complete { lease, subscriber, done, .. }
                if done.iter().any(|id| self.ids.contains(id)) =>
            {
                Some(format!("tells that subscriber {subscriber} has it, under {lease}: {outcome}"))
            }
            Action::Purge if self.queues.contains(&call.queue) => {
                Some(format!("purges the queue: {outcome}"))
            }
            Action::DeleteQueue if self.queues.contains(&call.queue) => {
                Some(format!("deletes the queue: {outcome}"))
            }
            _ => None,
        }
    }

    fn deleted(
        &self,
        call: &Call,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Option<String> {
        let under = claims.unwrap_or_default();
        let message = ids.iter().any(|id| self.ids.contains(id));
        let claim = !self.is_message() && under.iter().any(|c| self.claims.contains(c));
        if !message && !claim {
            return None;
        }
        let claims: Vec<String> = under.iter().map(ClaimId::to_string).collect();
        let under = if claims.is_empty() { "no claim".into() } else { claims.join(", ") };
        let what = if message { "it".into() } else { format!("{} messages", ids.len()) };
        let through = self.through(call);
        Some(format!("deletes {what} under {under}{through}: {}", outcome(call)))
    }

    /// That the call asked another queue than the message's.
    fn through(&self, call: &Call) -> String {
        let elsewhere = !self.queues.is_empty() && !self.queues.contains(&call.queue);
        if elsewhere { format!(" through {}", call.queue) } else { String::new() }
    }

    fn is_in_doubt(&self, call: &Call) -> bool {
        call.outcome == Outcome::Indeterminate && self.queues.contains(&call.queue)
    }
}

/// What a call did that shows a finding without naming what it is about.
fn bystanding(call: &Call) -> String {
    let what = match &call.action {
        Action::List(_) => "reads on, and it is not among what was met".to_owned(),
        _ => format!("{} without it", name(call)),
    };
    format!("{what}: {}", outcome(call))
}

/// The word for what a call asks.
pub(super) fn name(call: &Call) -> &'static str {
    call.action.name()
}

/// What came of a call, in words.
pub(super) fn outcome(call: &Call) -> String {
    match &call.outcome {
        Outcome::Ok(Answer::Done) => "acknowledged".to_owned(),
        Outcome::Ok(Answer::Posted(ids)) => match ids.as_slice() {
            [id] => format!("acknowledged as {id}"),
            ids => format!("acknowledged, {} ids", ids.len()),
        },
        Outcome::Ok(Answer::Messages(messages)) => match messages.len() {
            1 => "answered with 1 message".to_owned(),
            count => format!("answered with {count} messages"),
        },
        Outcome::Ok(Answer::Counted { claimed, free }) => {
            format!("answered with {claimed} claimed and {free} free")
        }
        Outcome::Ok(Answer::Handed { subscriber: None, .. }) => "nothing to deliver".to_owned(),
        Outcome::Ok(Answer::Handed { subscriber: Some(to), messages }) => {
            format!("{} to be delivered to subscriber {to}", messages.len())
        }
        Outcome::Failed => "refused, without effect".to_owned(),
        Outcome::Indeterminate => "no answer, effect in doubt".to_owned(),
    }
}

/// Milliseconds as seconds.
pub(super) fn seconds(millis: i64) -> String {
    let sign = if millis < 0 { "-" } else { "+" };
    let millis = millis.unsigned_abs();
    format!("{sign}{}.{:03} s", millis / 1_000, millis % 1_000)
}
