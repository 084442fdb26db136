//! A history, indexed for the questions that the verdict asks of it.

use std::collections::{BTreeMap, BTreeSet};

use zaqar_core::{ClaimId, MessageId};

use crate::loss::body::Tag;
use crate::loss::history::{Action, Answer, Call, History, Outcome, PageRead, QueueTag, Seen};

/// A posted message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Post<'h> {
    pub(super) tag: Tag,
    pub(super) call: &'h Call,
    /// Its id, if the post was acknowledged.
    pub(super) id: Option<MessageId>,
}

/// One message in one answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sighting<'h> {
    pub(super) call: &'h Call,
    pub(super) seen: &'h Seen,
}

/// The calls that concern one claim, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct ClaimCalls<'h> {
    pub(super) creates: Vec<&'h Call>,
    pub(super) renewals: Vec<&'h Call>,
    pub(super) releases: Vec<&'h Call>,
}

/// The pages that one reader fetched.
#[derive(Debug)]
pub(super) struct Walk<'h> {
    pub(super) read: PageRead,
    pub(super) pages: Vec<&'h Call>,
}

impl<'h> Walk<'h> {
    /// What it met, in order.
    pub(super) fn seen(&self) -> impl Iterator<Item = &'h Seen> + '_ {
        self.pages.iter().flat_map(|page| page.seen())
    }

    /// Its last page, if it shows everything from the start and came to an empty page.
    pub(super) fn end(&self) -> Option<&'h Call> {
        let whole = self.read.first && self.read.everything;
        let end = self.pages.last().copied()?;
        (whole && end.seen().is_empty()).then_some(end)
    }
}

/// What a queue held in the end.
#[derive(Debug)]
pub(super) struct LastLook<'h> {
    pub(super) end: &'h Call,
    pub(super) seen: BTreeMap<MessageId, &'h Seen>,
}

/// The history by message, claim, walk and queue.
#[derive(Debug)]
pub(super) struct Index<'h> {
    pub(super) history: &'h History,
    pub(super) posts: BTreeMap<Tag, Post<'h>>,
    pub(super) sightings: BTreeMap<Tag, Vec<Sighting<'h>>>,
    /// By the queue that was asked, as `deletes` is.
    claims: BTreeMap<(QueueTag, ClaimId), ClaimCalls<'h>>,
    pub(super) walks: BTreeMap<u64, Walk<'h>>,
    pub(super) by_id: BTreeMap<MessageId, Post<'h>>,
    acknowledged: BTreeMap<QueueTag, Vec<(Post<'h>, MessageId)>>,
    /// By the queue that was asked: an id means nothing anywhere else.
    deletes: BTreeMap<(QueueTag, MessageId), Vec<&'h Call>>,
    /// When the first call began that names the message and may have removed it.
    removed_from: BTreeMap<Tag, u64>,
    last_looks: BTreeMap<QueueTag, LastLook<'h>>,
    /// Pops without an answer, purges and deletions: what may have removed any message of a queue.
    sweeping: BTreeMap<QueueTag, Vec<&'h Call>>,
    /// Claims and renewals without an answer: what may have prolonged any life.
    prolonging: BTreeSet<QueueTag>,
    /// Until when claims may have prolonged lives, in milliseconds, that were over before their
    /// answers came: those do not show what the claims held.
    overdue: BTreeMap<QueueTag, i64>,
}

impl<'h> Index<'h> {
    pub(super) fn new(history: &'h History) -> Self {
        let mut index = Self {
            history,
            posts: BTreeMap::new(),
            sightings: BTreeMap::new(),
            claims: BTreeMap::new(),
            walks: BTreeMap::new(),
            by_id: BTreeMap::new(),
            acknowledged: BTreeMap::new(),
            removed_from: BTreeMap::new(),
            last_looks: BTreeMap::new(),
            deletes: BTreeMap::new(),
            sweeping: BTreeMap::new(),
            prolonging: BTreeSet::new(),
            overdue: BTreeMap::new(),
        };
        for call in &history.calls {
            index.add(call);
        }
        for post in index.posts.values().filter(|post| post.call.is_ok()) {
            let Some(id) = post.id else { continue };
            index.by_id.insert(id, *post);
            index.acknowledged.entry(post.call.queue).or_default().push((*post, id));
        }
        index.removed_from = index.first_removals();
        for walk in index.walks.values().filter(|walk| walk.read.last_look) {
            if let Some(end) = walk.end() {
                let seen = walk.seen().map(|seen| (seen.id, seen)).collect();
                index.last_looks.insert(end.queue, LastLook { end, seen });
            }
        }
        index
    }

    fn add(&mut self, call: &'h Call) {
        for seen in call.seen() {
            if let Ok(tag) = seen.tag {
                self.sightings.entry(tag).or_default().push(Sighting { call, seen });
            }
        }
        let unanswered = call.outcome == Outcome::Indeterminate;
        match &call.action {
            Action::Post { tags, .. } => self.add_post(call, tags),
            Action::Claim { claim, .. } => {
                self.claim_calls(call, *claim).creates.push(call);
            }
            Action::Renew { claim, .. } => {
                self.claim_calls(call, *claim).renewals.push(call);
            }
            Action::Release { claim } => {
                self.claim_calls(call, *claim).releases.push(call);
            }
            Action::Delete { ids, .. } => {
                for id in ids {
                    self.deletes.entry((call.queue, *id)).or_default().push(call);
                }
            }
            Action::Pop { .. } if unanswered => self.add_sweeping(call),
            Action::Purge | Action::DeleteQueue if call.may_have_happened() => {
                self.add_sweeping(call);
            }
            // A failed read shows nothing; its repeat is the walk's page.
            Action::List(read) if call.is_ok() => {
                let walk = Walk { read: *read, pages: Vec::new() };
                self.walks.entry(read.walk).or_insert(walk).pages.push(call);
            }
            Action::Pop { .. }
            | Action::Purge
            | Action::DeleteQueue
            | Action::List(_)
            | Action::Get { .. }
            | Action::Count
            | Action::Subscribe { .. }
            | Action::Deliver { .. }
            | Action::Complete { .. } => {}
        }
        if unanswered && matches!(call.action, Action::Claim { .. } | Action::Renew { .. }) {
            self.prolonging.insert(call.queue);
        }
        if let Some(until_ms) = self.prolonged_unseen_ms(call) {
            let known = self.overdue.entry(call.queue).or_insert(until_ms);
            *known = until_ms.max(*known);
        }
    }

    fn add_post(&mut self, call: &'h Call, tags: &[Tag]) {
        let ids = match &call.outcome {
            Outcome::Ok(Answer::Posted(ids)) => ids.as_slice(),
            _ => &[],
        };
        for (nth, tag) in tags.iter().enumerate() {
            let id = ids.get(nth).copied();
            self.posts.insert(*tag, Post { tag: *tag, call, id });
        }
    }

    fn add_sweeping(&mut self, call: &'h Call) {
        self.sweeping.entry(call.queue).or_default().push(call);
    }

    /// Messages whose post was acknowledged with an id.
    pub(super) fn acknowledged(&self) -> impl Iterator<Item = (Post<'h>, MessageId)> + '_ {
        self.acknowledged.values().flatten().copied()
    }

    /// Those of one queue.
    pub(super) fn acknowledged_on(&self, queue: QueueTag) -> &[(Post<'h>, MessageId)] {
        self.acknowledged.get(&queue).map_or(&[], Vec::as_slice)
    }

    fn first_removals(&self) -> BTreeMap<Tag, u64> {
        let first = |post: &Post<'h>| {
            let named = self.removing_by_name(*post).filter(|call| call.may_have_happened());
            Some((post.tag, named.map(|call| call.invoked.order).min()?))
        };
        self.posts.values().filter_map(first).collect()
    }

    /// Deletes that name `post`, and pops that returned it.
    fn removing_by_name(&self, post: Post<'h>) -> impl Iterator<Item = &'h Call> + '_ {
        let ids: BTreeSet<MessageId> = self.ids(post).collect();
        let named = ids.into_iter().map(move |id| self.deletes.get(&(post.call.queue, id)));
        let named = named.flatten().flatten().copied();
        let popped = self.sightings(post.tag).iter().map(|sighting| sighting.call);
        named.chain(popped.filter(|call| matches!(call.action, Action::Pop { .. })))
    }

    pub(super) fn sightings(&self, tag: Tag) -> &[Sighting<'h>] {
        self.sightings.get(&tag).map_or(&[], Vec::as_slice)
    }

    /// The calls by which `post` certainly is gone once they are over.
    pub(super) fn removals(&self, post: Post<'h>) -> impl Iterator<Item = &'h Call> + '_ {
        let swept = self.sweeping(post.call.queue).filter(move |sweep| {
            !matches!(sweep.action, Action::Pop { .. }) && post.call.precedes(sweep)
        });
        self.removing_by_name(post).chain(swept).filter(|call| call.is_ok())
    }

    /// Whether a call that may have begun before `order` may have removed `post`.
    pub(super) fn may_be_removed(&self, post: Post<'h>, order: u64) -> bool {
        self.removed_from.get(&post.tag).is_some_and(|from| *from < order)
            || self.sweeping(post.call.queue).any(|sweep| {
                // One that ended before the post began cannot have met it, unless its end is not
                // known to be the end of its effect.
                let over = sweep.is_ok() && sweep.precedes(post.call);
                sweep.invoked.order < order && !over
            })
    }

    /// Whether a delete that names `post`, or a pop that returned it, began before `order` and may
    /// have happened; `but` does not count.
    pub(super) fn may_be_removed_by_name(
        &self,
        post: Post<'h>,
        order: u64,
        but: Option<&Call>,
    ) -> bool {
        let counts = |call: &Call| {
            call.may_have_happened() && call.invoked.order < order && but.is_none_or(|b| b != call)
        };
        self.removing_by_name(post).any(counts)
    }

    /// What concerns `claim` at the queue that `call` asked.
    pub(super) fn claim(&self, call: &Call, claim: ClaimId) -> Option<&ClaimCalls<'h>> {
        self.claims.get(&(call.queue, claim))
    }

    /// As [`Self::claim`], to add to it.
    fn claim_calls(&mut self, call: &Call, claim: ClaimId) -> &mut ClaimCalls<'h> {
        self.claims.entry((call.queue, claim)).or_default()
    }

    /// How many messages of `queue` pops without an answer may have taken at most.
    pub(super) fn popped_unseen_max(&self, queue: QueueTag) -> u64 {
        let limit = |call: &Call| match call.action {
            Action::Pop { limit } => u64::from(limit),
            _ => 0,
        };
        self.sweeping(queue).map(limit).sum()
    }

    /// Purges and deletions of `queue`, and its pops without an answer.
    pub(super) fn sweeping(&self, queue: QueueTag) -> impl Iterator<Item = &'h Call> + '_ {
        self.sweeping.get(&queue).into_iter().flatten().copied()
    }

    /// Whether `post` may have expired when the clock said `at_ms`.
    pub(super) fn may_be_expired(&self, post: Post<'h>, at_ms: i64) -> bool {
        let Action::Post { ttl, .. } = &post.call.action else { return true };
        let earliest_ms = post.call.invoked.at.after(*ttl).as_millis();
        at_ms >= earliest_ms.saturating_sub(self.history.resolution_ms)
    }

    /// Whether `call` may have found `post` expired, by a clock that is ahead: then it removed nothing,
    /// and by a clock that is right the message may live on for a moment.
    pub(super) fn may_have_found_expired(&self, post: Post<'h>, call: &Call) -> bool {
        let prolonged = self
            .sightings(post.tag)
            .iter()
            .filter_map(|sighting| match &sighting.call.action {
                Action::Claim { claim, .. } => self.claim(sighting.call, *claim),
                _ => None,
            })
            .flat_map(|calls| calls.creates.iter().chain(&calls.renewals))
            .filter(|other| other.is_ok() && other.precedes(call))
            .filter_map(|other| match &other.action {
                Action::Claim { ttl, grace, .. } | Action::Renew { ttl, grace, .. } => {
                    Some(other.invoked.at.after(ttl.plus(*grace)).as_millis())
                }
                _ => None,
            });
        let Action::Post { ttl, .. } = &post.call.action else { return true };
        let own_ms = post.call.invoked.at.after(*ttl).as_millis();
        let earliest_ms = prolonged.chain([own_ms]).max().unwrap_or(own_ms);
        call.ended.at.as_millis() >= earliest_ms.saturating_sub(self.history.resolution_ms)
    }

    /// The latest moment, in milliseconds, at which `post` may live; `None`: any.
    pub(super) fn lives_until_ms(&self, post: Post<'h>) -> Option<i64> {
        let Action::Post { ttl, .. } = &post.call.action else { return None };
        if !post.call.is_ok() || self.prolonging.contains(&post.call.queue) {
            return None;
        }
        let own = post.call.ended.at.after(*ttl).as_millis();
        let claims = self.sightings(post.tag).iter().filter_map(|s| match &s.call.action {
            Action::Claim { claim, .. } => self.claim(s.call, *claim),
            _ => None,
        });
        let spans =
            claims.flat_map(|c| c.creates.iter().chain(&c.renewals)).filter_map(|call| match &call
                .action
            {
                Action::Claim { ttl, grace, .. } | Action::Renew { ttl, grace, .. } => {
                    Some(call.ended.at.after(ttl.plus(*grace)).as_millis())
                }
                _ => None,
            });
        let unseen = self.overdue.get(&post.call.queue).copied();
        spans.chain([own]).chain(unseen).max()
    }

    /// The last look at `queue`, if it was completed.
    pub(super) fn last_look(&self, queue: QueueTag) -> Option<&LastLook<'h>> {
        self.last_looks.get(&queue)
    }

    /// Until when a call may have prolonged the life of a message that its answer does not show: the
    /// claim was over before the answer came, which shows nothing that was not held any more.
    fn prolonged_unseen_ms(&self, call: &Call) -> Option<i64> {
        let (Action::Claim { ttl, grace, .. } | Action::Renew { ttl, grace, .. }) = &call.action
        else {
            return None;
        };
        let ended_ms = call.ended.at.as_millis().saturating_add(self.history.resolution_ms);
        let is_over = ended_ms >= call.invoked.at.after(*ttl).as_millis();
        (call.is_ok() && is_over).then(|| call.ended.at.after(ttl.plus(*grace)).as_millis())
    }

    /// The ids under which `post` is known.
    fn ids(&self, post: Post<'h>) -> impl Iterator<Item = MessageId> + '_ {
        let seen = self.sightings(post.tag).iter().map(|sighting| sighting.seen.id);
        post.id.into_iter().chain(seen)
    }
}
