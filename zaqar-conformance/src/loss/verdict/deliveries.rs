//! Whether every subscriber is given what is posted, not before it is, and not again (G13).

use std::collections::{BTreeMap, BTreeSet};

use zaqar_core::{LeaseId, MessageId};

use super::finding::{About, Finding, Kind};
use super::index::{Index, Post};
use crate::loss::history::{Action, Call, Outcome, QueueTag};

/// A subscriber of a queue.
type Subscriber = (QueueTag, u32);

/// The history by subscriber and message.
pub(super) struct Deliveries<'i, 'h> {
    index: &'i Index<'h>,
    /// The calls that made the subscriptions.
    subscribed: BTreeMap<Subscriber, &'h Call>,
    /// The leases that handed a message out.
    handed: BTreeMap<(Subscriber, MessageId), Vec<&'h Call>>,
    /// The calls that may have recorded that it was delivered or given up.
    done: BTreeMap<(Subscriber, MessageId), Vec<&'h Call>>,
    /// The calls that may have ended a lease before its time.
    released: BTreeMap<LeaseId, Vec<&'h Call>>,
    /// The last looks, which found nothing to deliver.
    last_looks: BTreeMap<QueueTag, &'h Call>,
    /// Queues with posts of which nobody knows whether they happened.
    in_doubt: BTreeSet<QueueTag>,
}

impl<'i, 'h> Deliveries<'i, 'h> {
    pub(super) fn of(index: &'i Index<'h>) -> Self {
        let mut deliveries = Self {
            index,
            subscribed: BTreeMap::new(),
            handed: BTreeMap::new(),
            done: BTreeMap::new(),
            released: BTreeMap::new(),
            last_looks: BTreeMap::new(),
            in_doubt: BTreeSet::new(),
        };
        for call in &index.history.calls {
            deliveries.add(call);
        }
        deliveries
    }

    fn add(&mut self, call: &'h Call) {
        match &call.action {
            Action::Subscribe { subscriber } if call.is_ok() => {
                self.subscribed.insert((call.queue, *subscriber), call);
            }
            Action::Deliver { last_look, .. } => match call.handed() {
                Some((to, messages)) => {
                    for seen in messages {
                        self.handed.entry(((call.queue, to), seen.id)).or_default().push(call);
                    }
                }
                None if *last_look && call.is_ok() => {
                    self.last_looks.insert(call.queue, call);
                }
                None => {}
            },
            Action::Complete { lease, subscriber, done, release } if call.may_have_happened() => {
                for id in done {
                    let of = ((call.queue, *subscriber), *id);
                    self.done.entry(of).or_default().push(call);
                }
                if *release {
                    self.released.entry(*lease).or_default().push(call);
                }
            }
            Action::Post { .. } if call.outcome == Outcome::Indeterminate => {
                self.in_doubt.insert(call.queue);
            }
            _ => {}
        }
    }

    /// How many deliveries were acknowledged as done.
    pub(super) fn completed(&self) -> usize {
        self.done.values().filter(|calls| calls.iter().any(|call| call.is_ok())).count()
    }

    /// Posted once the subscription was there, and not done when there was nothing more to deliver.
    pub(super) fn undelivered(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (subscriber @ (queue, number), since) in &self.subscribed {
            let Some(look) = self.last_looks.get(queue) else { continue };
            for (post, id) in self.index.acknowledged_on(*queue) {
                let owed = since.precedes(post.call) && post.call.precedes(look);
                if owed && !self.done.contains_key(&(*subscriber, *id)) {
                    let what = format!("{} {id} for subscriber {number}", post.tag);
                    let about = About::Message(post.tag);
                    let calls = [post.call, *look];
                    findings.push(Finding::new(Kind::Undelivered, about, &calls, what));
                }
            }
        }
        findings
    }

    /// Handed out before the post began; though nobody posted it; or, when it was read then, not
    /// there.
    pub(super) fn premature(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (((queue, number), id), leases) in &self.handed {
            let Some(first) = leases.first() else { continue };
            let finding = |about, calls: &[&Call]| {
                let what = format!("{id} for subscriber {number} by {first}");
                Finding::new(Kind::Premature, about, calls, what)
            };
            match self.index.by_id.get(id).filter(|post| post.call.queue == *queue) {
                Some(post) if first.precedes(post.call) => {
                    findings.push(finding(About::Message(post.tag), &[first, post.call]));
                }
                Some(post) => {
                    let read = self.absent_reads(*post, *id).find(|read| first.precedes(read));
                    let about = About::Message(post.tag);
                    findings.extend(read.map(|read| finding(about, &[first, read])));
                }
                None if self.in_doubt.contains(queue) => {}
                None => findings.push(finding(About::Stored(*id), &[first])),
            }
        }
        findings
    }

    /// Reads that did not find a message which nothing can have removed.
    fn absent_reads(&self, post: Post<'h>, id: MessageId) -> impl Iterator<Item = &'h Call> + '_ {
        let asked = move |call: &&Call| {
            call.action == Action::Get { id } && call.queue == post.call.queue && call.is_ok()
        };
        let calls = self.index.history.calls.iter();
        calls.filter(asked).filter(move |call| call.seen().is_empty()).filter(move |call| {
            !self.index.may_be_removed(post, call.ended.order)
                && !self.index.may_be_expired(post, call.ended.at.as_millis())
        })
    }

    /// Handed out again though it was done, or while another lease held it.
    pub(super) fn redelivered(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (of @ ((_, number), id), leases) in &self.handed {
            let done = self.done.get(of).map_or(&[][..], Vec::as_slice);
            for (nth, later) in leases.iter().enumerate() {
                let over = |call: &&&Call| call.is_ok() && call.precedes(later);
                let holds = |earlier: &&&Call| self.holds(earlier, later);
                let before = leases.iter().take(nth);
                let Some(cause) = done.iter().find(over).or_else(|| before.clone().find(holds))
                else {
                    continue;
                };
                let known = self.index.by_id.get(id).map(|post| About::Message(post.tag));
                let what = format!("{id} for subscriber {number} by {later} after {cause}");
                let about = known.unwrap_or(About::Stored(*id));
                findings.push(Finding::new(Kind::Redelivered, about, &[cause, later], what));
                break;
            }
        }
        findings
    }

    /// Whether what `earlier` leased was certainly still leased when `later` was answered.
    fn holds(&self, earlier: &Call, later: &Call) -> bool {
        let Action::Deliver { lease, ttl, .. } = &earlier.action else { return false };
        let ends_ms = earlier.invoked.at.after(*ttl).as_millis();
        let ended_ms = later.ended.at.as_millis().saturating_add(self.index.history.resolution_ms);
        let released = self.released.get(lease).into_iter().flatten();
        earlier.precedes(later)
            && ended_ms < ends_ms
            && !released.into_iter().any(|call| call.invoked.order < later.ended.order)
    }
}
