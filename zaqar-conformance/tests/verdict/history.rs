//! Histories written by hand, a call at a time.

use zaqar_conformance::loss::body::{Corrupt, Tag};
use zaqar_conformance::loss::history::{
    Action, Answer, Call, History, Moment, Outcome, PageRead, QueueTag, Seen,
};
use zaqar_conformance::loss::verdict::{Verdict, judge};
use zaqar_core::{ClaimId, Incarnation, LeaseId, MessageId, Timestamp, Ttl};

const RUN: u64 = 5;

/// The tag of message `number`: all are one producer's.
pub(crate) fn tag(number: u32) -> Tag {
    Tag { run: RUN, producer: 0, sequence: number }
}

/// The id of message `number`.
pub(crate) fn id(number: u32) -> MessageId {
    let incarnation = Incarnation::new(1).expect("1 is an incarnation");
    MessageId::new(incarnation, u64::from(number)).expect("a small sequence is valid")
}

/// The claim `number`.
pub(crate) fn claim(number: u32) -> ClaimId {
    ClaimId::from_u128(u128::from(number))
}

fn leasing(number: u32, last_look: bool) -> Action {
    let ttl = Ttl::from_secs_clamped(Synthetic::LEASE_S);
    Action::Deliver { lease: LeaseId::from_u128(u128::from(number)), ttl, last_look }
}

/// What says that `messages` were delivered under lease `number`, which ends.
pub(crate) fn completing(number: u32, subscriber: u32, messages: &[u32]) -> Action {
    let lease = LeaseId::from_u128(u128::from(number));
    let done = messages.iter().map(|n| id(*n)).collect();
    Action::Complete { lease, subscriber, done, release: true }
}

/// A history in the making: each call begins and ends after the one before it.
#[derive(Clone)]
pub(crate) struct Synthetic {
    history: History,
    order: u64,
    now_s: i64,
    walks: u64,
    queue: QueueTag,
}

impl Synthetic {
    /// How long every message lives, in seconds.
    pub(crate) const TTL_S: u64 = 1_000;
    /// How long every claim lasts, in seconds.
    pub(crate) const LEASE_S: u64 = 30;

    pub(crate) fn new() -> Self {
        let history = History { run: RUN, fifo: true, ..History::default() };
        let queue = QueueTag { queue: 0, generation: 0 };
        Self { history, order: 0, now_s: 1_000_000, walks: 0, queue }
    }

    pub(crate) fn posting(numbers: &[u32]) -> Action {
        let tags = numbers.iter().map(|number| tag(*number)).collect();
        Action::Post { tags, ttl: Ttl::from_secs_clamped(Self::TTL_S), keyed: false }
    }

    /// The same under an idempotency key.
    pub(crate) fn posting_keyed(numbers: &[u32]) -> Action {
        let tags = numbers.iter().map(|number| tag(*number)).collect();
        Action::Post { tags, ttl: Ttl::from_secs_clamped(Self::TTL_S), keyed: true }
    }

    pub(crate) fn advance(&mut self, seconds: u64) {
        self.now_s += i64::try_from(seconds).expect("a short span");
    }

    pub(crate) fn call(&mut self, action: Action, outcome: Outcome) {
        let (invoked, ended) = (self.moment(), self.moment());
        let call = Call { worker: 0, queue: self.queue, action, invoked, ended, outcome };
        self.history.calls.push(call);
    }

    fn moment(&mut self) -> Moment {
        self.order += 1;
        Moment { order: self.order, at: Timestamp::from_millis(self.now_s * 1_000) }
    }

    /// What `calls` adds all began before any of it ended.
    pub(crate) fn at_once(&mut self, calls: impl FnOnce(&mut Self)) {
        let (from, first) = (self.history.calls.len(), self.moment());
        calls(self);
        let last = self.moment();
        for call in &mut self.history.calls[from..] {
            call.invoked = first;
            call.ended = last;
        }
    }

    /// What `calls` adds happens to another life of the queue.
    pub(crate) fn in_generation(&mut self, generation: u32, calls: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.queue, QueueTag { queue: 0, generation });
        calls(self);
        self.queue = before;
    }

    pub(crate) fn post(&mut self, numbers: &[u32]) {
        let ids = numbers.iter().map(|number| id(*number)).collect();
        self.call(Self::posting(numbers), Outcome::Ok(Answer::Posted(ids)));
    }

    pub(crate) fn take(&mut self, number: u32, messages: &[u32]) {
        let (ttl, grace) = (Ttl::from_secs_clamped(Self::LEASE_S), Ttl::ZERO);
        self.answer(Action::Claim { claim: claim(number), ttl, grace }, messages);
    }

    pub(crate) fn renew(&mut self, number: u32) {
        let (ttl, grace) = (Ttl::from_secs_clamped(Self::LEASE_S), Ttl::ZERO);
        let renewal = Action::Renew { claim: claim(number), ttl, grace };
        self.call(renewal, Outcome::Ok(Answer::Done));
    }

    pub(crate) fn delete(&mut self, numbers: &[u32], under: Option<u32>) {
        let ids = numbers.iter().map(|number| id(*number)).collect();
        let claims = under.map(|number| vec![claim(number)]);
        self.call(Action::Delete { ids, claims }, Outcome::Ok(Answer::Done));
    }

    pub(crate) fn pop(&mut self, messages: &[u32]) {
        self.answer(Action::Pop { limit: 10 }, messages);
    }

    pub(crate) fn subscribe(&mut self, subscriber: u32) {
        self.call(Action::Subscribe { subscriber }, Outcome::Ok(Answer::Done));
    }

    /// Leases `messages` for a subscriber under lease `number`.
    pub(crate) fn lease(&mut self, number: u32, subscriber: u32, messages: &[u32]) {
        let seen = |n: &u32| Seen { id: id(*n), tag: Ok(tag(*n)) };
        let messages = messages.iter().map(seen).collect();
        let answer = Answer::Handed { subscriber: Some(subscriber), messages };
        self.call(leasing(number, false), Outcome::Ok(answer));
    }

    /// Nothing more is left to deliver.
    pub(crate) fn last_lease(&mut self) {
        let answer = Answer::Handed { subscriber: None, messages: Vec::new() };
        self.call(leasing(0, true), Outcome::Ok(answer));
    }

    pub(crate) fn complete(&mut self, number: u32, subscriber: u32, messages: &[u32]) {
        self.call(completing(number, subscriber, messages), Outcome::Ok(Answer::Done));
    }

    pub(crate) fn count(&mut self, claimed: u64, free: u64) {
        self.call(Action::Count, Outcome::Ok(Answer::Counted { claimed, free }));
    }

    pub(crate) fn begin_walk(&mut self) -> u64 {
        self.walks += 1;
        self.walks
    }

    pub(crate) fn page(&mut self, walk: u64, first: bool, messages: &[u32]) {
        let read = PageRead { walk, first, everything: true, last_look: false };
        self.answer(Action::List(read), messages);
    }

    /// A walk of two pages: what is there, and the empty end.
    pub(crate) fn walk(&mut self, messages: &[u32]) {
        let walk = self.begin_walk();
        self.page(walk, true, messages);
        self.page(walk, messages.is_empty(), &[]);
    }

    /// A default listing.
    pub(crate) fn list_free(&mut self, messages: &[u32]) {
        let walk = self.begin_walk();
        let read = PageRead { walk, first: true, everything: false, last_look: false };
        self.answer(Action::List(read), messages);
    }

    pub(crate) fn last_look(&mut self, messages: &[u32]) {
        let shown: Vec<(u32, Tag)> = messages.iter().map(|n| (*n, tag(*n))).collect();
        self.last_look_as(&shown);
    }

    pub(crate) fn last_look_as(&mut self, shown: &[(u32, Tag)]) {
        let walk = self.begin_walk();
        let read = PageRead { walk, first: true, everything: true, last_look: true };
        let seen = shown.iter().map(|(n, tag)| Seen { id: id(*n), tag: Ok(*tag) }).collect();
        self.call(Action::List(read), Outcome::Ok(Answer::Messages(seen)));
        self.call(Action::List(read), Outcome::Ok(Answer::Messages(Vec::new())));
    }

    /// A read of message `number` with a body that nobody posted.
    pub(crate) fn corrupted(&mut self, number: u32) {
        let seen = Seen { id: id(number), tag: Err(Corrupt { text: "{}".into() }) };
        let action = Action::Get { id: id(number) };
        self.call(action, Outcome::Ok(Answer::Messages(vec![seen])));
    }

    /// Posts and reads on another queue, so that something was delivered.
    pub(crate) fn deliver_elsewhere(&mut self) {
        let before = std::mem::replace(&mut self.queue, QueueTag { queue: 1, generation: 0 });
        self.post(&[90]);
        self.last_look(&[90]);
        self.queue = before;
    }

    pub(crate) fn drained(&mut self) {
        self.history.drained.insert(self.queue);
    }

    /// The recorded clock and those of the store are apart by so much.
    pub(crate) fn clocks_apart(&mut self, seconds: i64) {
        self.history.resolution_ms = seconds * 1_000;
    }

    pub(crate) fn without_order(&mut self) {
        self.history.fifo = false;
    }

    fn answer(&mut self, action: Action, messages: &[u32]) {
        let seen = messages.iter().map(|n| Seen { id: id(*n), tag: Ok(tag(*n)) }).collect();
        self.call(action, Outcome::Ok(Answer::Messages(seen)));
    }

    pub(crate) fn history(&self) -> &History {
        &self.history
    }

    /// The verdict, whose findings must name calls that there are.
    pub(crate) fn judge(&self) -> Verdict {
        let verdict = judge(&self.history);
        let known = |order: &u64| self.history.calls.iter().any(|c| c.invoked.order == *order);
        for finding in verdict.findings() {
            assert!(!finding.calls.is_empty() && finding.calls.iter().all(known), "{finding:?}");
        }
        verdict
    }
}
