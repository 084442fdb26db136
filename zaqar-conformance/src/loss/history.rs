//! What was called, when, and what came of it: the facts that the verdict judges.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use zaqar_core::{ClaimId, LeaseId, MessageId, Timestamp, Ttl};

use super::body::{Corrupt, Tag};

/// An instant of a run: its place among all recorded instants, and the storage clock then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Ascends in real time over all workers: of two calls, the one whose end has a lower order
    /// than the other's beginning was over before it.
    pub order: u64,
    /// What the storage clock said.
    pub at: Timestamp,
}

/// A queue of the workload in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueTag {
    /// Which queue.
    pub queue: u32,
    /// Which life of it.
    pub generation: u32,
}

impl fmt::Display for QueueTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "q{}.{}", self.queue, self.generation)
    }
}

/// One page of a listing, as part of a walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageRead {
    /// Which walk: the pages that one reader fetched by following markers.
    pub walk: u64,
    /// Whether it is the walk's first page, read without a marker.
    pub first: bool,
    /// Whether it shows every message that is there: claimed and delayed ones are included, or
    /// there are none.
    pub everything: bool,
    /// Whether the walk is the last look at the queue, after everything else ended.
    pub last_look: bool,
}

/// What a call asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Posts one batch.
    Post {
        /// What is posted, in order.
        tags: Vec<Tag>,
        /// Its life.
        ttl: Ttl,
        /// Whether it carries an idempotency key: every keyed post of the same messages is an
        /// attempt at one post (G3).
        keyed: bool,
    },
    /// Claims messages.
    Claim {
        /// The claim.
        claim: ClaimId,
        /// How long it lasts.
        ttl: Ttl,
        /// How much longer its messages live.
        grace: Ttl,
    },
    /// Starts a claim's time anew.
    Renew {
        /// The claim.
        claim: ClaimId,
        /// How long it lasts from then on.
        ttl: Ttl,
        /// How much longer its messages live.
        grace: Ttl,
    },
    /// Releases a claim.
    Release {
        /// The claim.
        claim: ClaimId,
    },
    /// Deletes messages, one or in bulk.
    Delete {
        /// Which.
        ids: Vec<MessageId>,
        /// The claims named, if any.
        claims: Option<Vec<ClaimId>>,
    },
    /// Pops messages.
    Pop {
        /// How many at most.
        limit: u32,
    },
    /// Reads one page.
    List(PageRead),
    /// Reads one message; its absence is an answer without messages.
    Get {
        /// Which.
        id: MessageId,
    },
    /// Counts the live messages.
    Count,
    /// Removes every message of the queue.
    Purge,
    /// Ends this life of the queue.
    DeleteQueue,
    /// Subscribes to the queue: what is posted after the answer is owed to the subscriber.
    Subscribe {
        /// Whom.
        subscriber: u32,
    },
    /// Leases what waits for one subscriber, whichever.
    Deliver {
        /// The lease.
        lease: LeaseId,
        /// How long it lasts.
        ttl: Ttl,
        /// Whether everybody else has ended, and no lease is left that holds anything back.
        last_look: bool,
    },
    /// Records what became of leased messages.
    Complete {
        /// The lease.
        lease: LeaseId,
        /// Whom they were for.
        subscriber: u32,
        /// What was delivered, or given up for good.
        done: Vec<MessageId>,
        /// Whether the lease ends.
        release: bool,
    },
}

impl Action {
    /// The word for it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Post { .. } => "post",
            Self::Claim { .. } => "claim",
            Self::Renew { .. } => "renew",
            Self::Release { .. } => "release",
            Self::Delete { .. } => "delete",
            Self::Pop { .. } => "pop",
            Self::List(_) => "list",
            Self::Get { .. } => "get",
            Self::Count => "count",
            Self::Purge => "purge",
            Self::DeleteQueue => "delete queue",
            Self::Subscribe { .. } => "subscribe",
            Self::Deliver { .. } => "lease",
            Self::Complete { .. } => "complete",
        }
    }
}

/// A message as an answer showed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its id.
    pub id: MessageId,
    /// What its body says, if it is whole.
    pub tag: Result<Tag, Corrupt>,
}

/// What a successful call answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// That it is done.
    Done,
    /// The ids of what was posted.
    Posted(Vec<MessageId>),
    /// Messages: claimed, popped or read.
    Messages(Vec<Seen>),
    /// Numbers of live messages.
    Counted {
        /// Under a claim.
        claimed: u64,
        /// All others.
        free: u64,
    },
    /// What a lease hands out.
    Handed {
        /// For whom; `None`: there is nothing to deliver.
        subscriber: Option<u32>,
        /// The messages.
        messages: Vec<Seen>,
    },
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was acknowledged.
    Ok(Answer),
    /// It certainly had no effect.
    Failed,
    /// It may have had its effect: the error says so, or nobody waited for the answer.
    Indeterminate,
}

/// One call, from its beginning to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Who called.
    pub worker: u32,
    /// On which queue.
    pub queue: QueueTag,
    /// For what.
    pub action: Action,
    /// When it began.
    pub invoked: Moment,
    /// When its answer was there, or nobody waited any longer.
    pub ended: Moment,
    /// What came of it.
    pub outcome: Outcome,
}

impl Call {
    /// Whether it may have had its effect.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        self.outcome != Outcome::Failed
    }

    /// Whether it was acknowledged.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.outcome, Outcome::Ok(_))
    }

    /// Whether it was over before `other` began.
    #[must_use]
    pub fn precedes(&self, other: &Self) -> bool {
        self.ended.order < other.invoked.order
    }

    /// The messages that it answered with.
    #[must_use]
    pub fn seen(&self) -> &[Seen] {
        match &self.outcome {
            Outcome::Ok(Answer::Messages(seen)) => seen,
            _ => &[],
        }
    }

    /// What was handed out to be delivered, and for whom.
    #[must_use]
    pub fn handed(&self) -> Option<(u32, &[Seen])> {
        match &self.outcome {
            Outcome::Ok(Answer::Handed { subscriber, messages }) => {
                Some(((*subscriber)?, messages))
            }
            _ => None,
        }
    }

    /// Whether the answer hands messages to one caller alone.
    #[must_use]
    pub fn takes(&self) -> bool {
        matches!(self.action, Action::Claim { .. } | Action::Pop { .. })
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.action.name();
        let (from, to) = (self.invoked, self.ended);
        let (start_ms, end_ms) = (from.at.as_millis(), to.at.as_millis());
        write!(f, "{name} by w{} on {} ", self.worker, self.queue)?;
        write!(f, "[{}..{}, {start_ms}..{end_ms} ms]", from.order, to.order)
    }
}

/// Everything that a workload did and saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The run that its tags carry.
    pub run: u64,
    /// The calls, in the order in which they began.
    pub calls: Vec<Call>,
    /// Queues that were emptied through claims at the end, until none found anything.
    pub drained: BTreeSet<QueueTag>,
    /// How far the recorded clock and the driver's may be apart, in milliseconds.
    pub resolution_ms: i64,
    /// Whether the driver promises the order of each producer's messages.
    pub fifo: bool,
}
