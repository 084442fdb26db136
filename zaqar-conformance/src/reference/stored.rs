//! A message as it is kept, and every question that is asked of one.

use zaqar_core::{
    Body, ClaimId, ClientId, Incarnation, LeaseId, Message, MessageEdge, MessageId, MessageMarker,
    MovedMessage, QueueName, Redrive, Result, Timestamp, Ttl,
};

use super::quirks::{Quirk, Quirks};

/// A claim's hold on a message. All messages of one claim carry the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hold {
    pub(super) claim: ClaimId,
    pub(super) ttl: Ttl,
    pub(super) since: Timestamp,
    pub(super) ends_at: Timestamp,
}

/// A lease on outbox work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) ends_at: Timestamp,
}

impl Lease {
    /// Whether it bars everybody, its holder too, from leasing the same work again.
    pub(super) fn is_live(lease: Option<&Self>, now: Timestamp) -> bool {
        lease.is_some_and(|lease| now < lease.ends_at)
    }
}

/// A message on its way to the dead-letter queue.
#[derive(Debug, Clone)]
pub(super) struct Parked {
    pub(super) redrive: Redrive,
    pub(super) lease: Option<Lease>,
}

#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) id: MessageId,
    /// Its place in this queue, which for a message moved in is not that of its id.
    pub(super) position: u64,
    pub(super) body: Body,
    pub(super) ttl: Ttl,
    pub(super) posted_at: Timestamp,
    pub(super) expires_at: Timestamp,
    /// Used by a quirk alone: when it was to end at first.
    pub(super) first_end: Timestamp,
    pub(super) delayed_until: Timestamp,
    pub(super) client: Option<ClientId>,
    pub(super) checksum: Option<String>,
    pub(super) claim_count: u32,
    pub(super) hold: Option<Hold>,
    /// The claim that holds it, or held it last.
    pub(super) last_claim: Option<ClaimId>,
    pub(super) parked: Option<Parked>,
}

impl Stored {
    /// Live: not expired. A parked message waits for as long as its target cannot take it (G10).
    pub(super) fn is_live(&self, now: Timestamp, quirks: Quirks) -> bool {
        if quirks.has(Quirk::LoseOnClaimLapse) && self.hold.is_some_and(|hold| hold.ends_at <= now)
        {
            return false;
        }
        let early =
            if quirks.has(Quirk::ExpireEarly) { Ttl::from_secs_clamped(2) } else { Ttl::ZERO };
        self.parked.is_some() || now.after(early) < self.expires_at
    }

    /// The live claim that holds it. At the moment a claim ends, it no longer does.
    pub(super) fn live_hold(&self, now: Timestamp) -> Option<Hold> {
        self.hold.filter(|hold| now < hold.ends_at && self.parked.is_none())
    }

    pub(super) fn is_delayed(&self, now: Timestamp) -> bool {
        now < self.delayed_until
    }

    pub(super) fn is_claimable(&self, now: Timestamp, quirks: Quirks) -> bool {
        let free = quirks.has(Quirk::DoubleClaim) || self.live_hold(now).is_none();
        free && self.parked.is_none() && !self.is_delayed(now) && self.is_live(now, quirks)
    }

    /// Whether statistics count it as claimed.
    pub(super) fn counts_as_claimed(&self, now: Timestamp) -> bool {
        self.parked.is_some() || self.live_hold(now).is_some()
    }

    /// Puts it under a claim; its life reaches past the claim's end, and is never shortened (G8).
    pub(super) fn hold(&mut self, hold: Hold, grace: Ttl, quirks: Quirks) {
        if self.expires_at < hold.ends_at && !quirks.has(Quirk::ProlongNothing) {
            self.expires_at = hold.ends_at.after(grace);
            self.ttl = hold.ttl.plus(grace);
        }
        self.hold = Some(hold);
        self.last_claim = Some(hold.claim);
    }

    pub(super) fn show(&self, incarnation: Incarnation, now: Timestamp) -> Result<Message> {
        Ok(Message {
            id: self.id,
            marker: MessageMarker::new(incarnation, self.position)?,
            body: self.body.clone(),
            ttl: self.ttl,
            age_s: now.seconds_since(self.posted_at),
            posted_at: self.posted_at,
            claim: self.live_hold(now).map(|hold| hold.claim),
            claim_count: self.claim_count,
            checksum: self.checksum.clone(),
        })
    }

    pub(super) fn edge(&self, now: Timestamp) -> MessageEdge {
        let age_s = now.seconds_since(self.posted_at);
        MessageEdge { id: self.id, age_s, posted_at: self.posted_at }
    }

    /// The message as its dead-letter queue stores it.
    pub(super) fn moved(&self, source: &QueueName, ttl: Ttl) -> MovedMessage {
        MovedMessage {
            id: self.id,
            body: self.body.clone(),
            ttl,
            claim_count: self.claim_count,
            posted_at: self.posted_at,
            checksum: self.checksum.clone(),
            source: source.clone(),
            last_claim: self.last_claim,
        }
    }
}
