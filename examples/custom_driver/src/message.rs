//! A message as it is kept, and every question that is asked of one.
//!
//! All answers take the time: that a claim, a delay or a life is over changes no record, it is only
//! seen (G8).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zaqar_core::{
    Body, ClaimId, ClientId, Incarnation, Message, MessageEdge, MessageId, MessageMarker,
    NewMessage, Result, Timestamp, Ttl,
};

/// A claim's hold on a message. All messages of one claim carry the same.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) claim: ClaimId,
    pub(crate) ttl: Ttl,
    pub(crate) since: Timestamp,
    pub(crate) ends_at: Timestamp,
}

impl Hold {
    pub(crate) fn new(claim: ClaimId, ttl: Ttl, now: Timestamp) -> Self {
        Self { claim, ttl, since: now, ends_at: now.after(ttl) }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Stored {
    #[serde(serialize_with = "write_body", deserialize_with = "read_body")]
    pub(crate) body: Body,
    pub(crate) ttl: Ttl,
    pub(crate) posted_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) delayed_until: Timestamp,
    pub(crate) client: Option<ClientId>,
    pub(crate) checksum: Option<String>,
    pub(crate) claim_count: u32,
    pub(crate) hold: Option<Hold>,
}

impl Stored {
    pub(crate) fn new(message: NewMessage, client: Option<&ClientId>, now: Timestamp) -> Self {
        Self {
            body: message.body,
            ttl: message.ttl,
            posted_at: now,
            expires_at: now.after(message.ttl),
            delayed_until: now.after(message.delay),
            client: client.cloned(),
            checksum: message.checksum,
            claim_count: 0,
            hold: None,
        }
    }

    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }

    /// The claim that holds it. At the very moment of its end, it no longer does.
    pub(crate) fn held_by(&self, now: Timestamp) -> Option<Hold> {
        self.hold.filter(|hold| now < hold.ends_at)
    }

    pub(crate) fn is_held_by(&self, claim: ClaimId, now: Timestamp) -> bool {
        self.held_by(now).is_some_and(|hold| hold.claim == claim)
    }

    pub(crate) fn is_delayed(&self, now: Timestamp) -> bool {
        now < self.delayed_until
    }

    pub(crate) fn is_claimable(&self, now: Timestamp) -> bool {
        self.is_live(now) && self.held_by(now).is_none() && !self.is_delayed(now)
    }

    /// Puts it under a claim; its life then reaches past the claim's end, and is never shortened.
    pub(crate) fn put_under(&mut self, hold: Hold, grace: Ttl) {
        if self.expires_at < hold.ends_at {
            self.expires_at = hold.ends_at.after(grace);
            self.ttl = hold.ttl.plus(grace);
        }
        self.hold = Some(hold);
    }

    pub(crate) fn count_claim(&mut self) {
        self.claim_count = self.claim_count.saturating_add(1);
    }

    /// The message as callers see it.
    pub(crate) fn show(
        &self,
        incarnation: Incarnation,
        position: u64,
        now: Timestamp,
    ) -> Result<Message> {
        Ok(Message {
            id: MessageId::new(incarnation, position)?,
            marker: MessageMarker::new(incarnation, position)?,
            body: self.body.clone(),
            ttl: self.ttl,
            age_s: now.seconds_since(self.posted_at),
            posted_at: self.posted_at,
            claim: self.held_by(now).map(|hold| hold.claim),
            claim_count: self.claim_count,
            checksum: self.checksum.clone(),
        })
    }

    pub(crate) fn edge(
        &self,
        incarnation: Incarnation,
        position: u64,
        now: Timestamp,
    ) -> Result<MessageEdge> {
        let id = MessageId::new(incarnation, position)?;
        Ok(MessageEdge { id, age_s: now.seconds_since(self.posted_at), posted_at: self.posted_at })
    }
}

/// As a string, not as JSON within JSON: reading it back must give every byte (G4).
fn write_body<S: Serializer>(body: &Body, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(body.as_str())
}

fn read_body<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Body, D::Error> {
    Ok(Body::from_checked(String::deserialize(deserializer)?))
}
