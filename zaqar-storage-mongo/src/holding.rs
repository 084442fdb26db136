//! What a taker asked for, what was planned for it, and what it holds.

use zaqar_core::{ClaimId, Message, Redrive, Timestamp, Ttl};

use crate::claims::ClaimRow;
use crate::rows::{ttl, ttl_code};
use crate::takes::{Candidate, Take, Taker};

/// How long what is being popped is held, should its deletion be cut short, in seconds.
const POP_LEASE_S: u64 = 60;

/// One taker and what it got.
#[derive(Debug)]
pub(crate) struct Holding {
    pub(crate) claim: ClaimId,
    pub(crate) is_pop: bool,
    limit: usize,
    pub(crate) ttl: Ttl,
    pub(crate) grace: Ttl,
    pub(crate) redrive: Option<Redrive>,
    /// When the claim was made, once that is recorded.
    pub(crate) made: Option<Timestamp>,
    /// When the claim ends, once that is recorded.
    pub(crate) ends: Timestamp,
    /// Positions that are recorded as the claim's.
    pub(crate) planned: Vec<i64>,
    /// Messages dealt to it in this round, not recorded yet.
    pub(crate) dealt: Vec<Candidate>,
    /// Whether somebody else made the plan that it follows.
    pub(crate) is_adopted: bool,
    /// Whether that plan was carried out once.
    is_tried: bool,
    /// Whether parking left it with fewer than it may have.
    pub(crate) short: bool,
    /// Whether it has all that it gets.
    settled: bool,
    pub(crate) messages: Vec<Message>,
    /// How many messages it sent to the dead-letter queue.
    pub(crate) parked: u32,
}

impl Holding {
    pub(crate) fn of(take: &Take) -> Self {
        let (claim, is_pop, ttl, grace, redrive) = match &take.taker {
            Taker::Claim(claim, _) => {
                (claim.id, false, claim.ttl, claim.grace, claim.redrive.clone())
            }
            Taker::Pop(_) => {
                let lease = Ttl::from_secs_clamped(POP_LEASE_S);
                (ClaimId::random(), true, lease, Ttl::ZERO, None)
            }
        };
        Self {
            claim,
            is_pop,
            limit: take.limit.as_usize(),
            ttl,
            grace,
            redrive,
            made: None,
            ends: Timestamp::default(),
            planned: Vec::new(),
            dealt: Vec::new(),
            is_adopted: false,
            is_tried: false,
            short: false,
            settled: false,
            messages: Vec::new(),
            parked: 0,
        }
    }

    /// Whether it still wants something.
    pub(crate) fn is_hungry(&self) -> bool {
        !self.settled
    }

    /// How many more it may have.
    pub(crate) fn room(&self) -> usize {
        self.limit.saturating_sub(self.messages.len())
    }

    /// How often a message may be claimed.
    pub(crate) fn claims_max(&self) -> Option<i64> {
        self.redrive.as_ref().map(|redrive| i64::from(redrive.claims_max))
    }

    /// Fixes when the claim is made and ends: once, however many looks it takes.
    pub(crate) fn make(&mut self, now: Timestamp) -> Timestamp {
        let made = *self.made.get_or_insert(now);
        if !self.is_adopted {
            self.ends = made.after(self.ttl);
        }
        made
    }

    /// Follows the plan of another call under the same id.
    pub(crate) fn adopt(&mut self, claim: &ClaimRow, now: Timestamp) {
        self.is_adopted = true;
        self.made = Some(claim.started());
        self.ends = claim.ends();
        self.ttl = ttl(claim.ttl);
        self.grace = ttl(claim.grace);
        self.planned.clone_from(&claim.list);
        self.dealt.clear();
        self.short = false;
        // A claim that is over is not carried out any further.
        self.settled |= self.ends <= now;
    }

    /// What it is dealt becomes part of its plan.
    pub(crate) fn plan(&mut self) {
        self.planned.extend(self.dealt.iter().map(|candidate| candidate.s));
    }

    /// Decides whether it has all that it gets, now that it is known what it holds. `held` are all
    /// positions under a live claim, whosever it is, in order.
    pub(crate) fn judge(&mut self, held: &[i64], now: Timestamp) {
        let robbed = self.messages.is_empty() && !self.planned.is_empty();
        // A repeat of a claim whose messages are gone gets nothing new; one that is repeated while
        // rivals took all that was planned goes on as the first call does.
        let gone = || self.planned.iter().any(|position| held.binary_search(position).is_err());
        let over = self.is_adopted && (gone() || self.ends <= now);
        let fruitless = self.dealt.is_empty() && !self.is_to_be_tried();
        self.settled = !self.short && (fruitless || !robbed || over);
        self.is_tried = true;
        self.dealt.clear();
    }

    /// Whether somebody else's plan is still to be carried out.
    pub(crate) fn is_to_be_tried(&self) -> bool {
        self.is_adopted && !self.is_tried
    }

    /// Ends its part: the claim was released while it was being made.
    pub(crate) fn abandon(&mut self) {
        self.settled = true;
        self.messages.clear();
    }

    /// What a message's time-to-live becomes if its life is extended.
    pub(crate) fn raised(&self) -> i64 {
        ttl_code(self.ttl.plus(self.grace))
    }
}
