//! A queue head and everything that its incarnation holds.

use std::collections::BTreeMap;
use std::ops::Range;

use zaqar_core::limits::SEQUENCE_MAX;
use zaqar_core::{
    ClaimId, ClientId, DeadLetterOrigin, Error, ExhaustedDelivery, HeadState, IdempotencyKey,
    Incarnation, MessageId, MessageMarker, NewMessage, OutboxMessage, PostKey, Posted, QueueHead,
    QueueKey, Result, Timestamp, Ttl,
};

use super::quirks::{Quirk, Quirks};
use super::stored::Stored;
use super::subscriptions::StoredSubscription;

/// What an idempotency key stands for, until it is forgotten.
#[derive(Debug)]
pub(super) struct StoredKey {
    pub(super) digest: [u8; 32],
    pub(super) ids: Vec<MessageId>,
    pub(super) until: Timestamp,
}

/// A message that was moved in: its position here, and where it came from, if that is known.
#[derive(Debug, Clone)]
pub(super) struct Arrived {
    pub(super) position: u64,
    pub(super) origin: Option<DeadLetterOrigin>,
}

/// What one post wrote for its subscribers: each message with its position.
pub(super) type OutboxEntry = Vec<(u64, OutboxMessage)>;

#[derive(Debug)]
pub(super) struct Head {
    pub(super) key: QueueKey,
    pub(super) incarnation: Incarnation,
    /// The latest move that touched it; 0 if none did.
    pub(super) epoch: u64,
    /// Whether it is the source of that move.
    pub(super) moved: bool,
    /// The positions that are on their way (G17).
    pub(super) frozen: Range<u64>,
    pub(super) sequence_next: u64,
    /// Positions before this one were purged.
    pub(super) purged: u64,
    /// By position.
    pub(super) messages: BTreeMap<u64, Stored>,
    /// Every message ever moved in, and its position here: a move is never done twice (G10).
    pub(super) arrivals: BTreeMap<MessageId, Arrived>,
    pub(super) keys: BTreeMap<IdempotencyKey, StoredKey>,
    /// The ends of claims that took something and were not released: an id that was used claims no
    /// more, whatever became of its messages, until it is forgotten.
    pub(super) claims: BTreeMap<ClaimId, Timestamp>,
    pub(super) subscription_next: u64,
    pub(super) subscriptions: BTreeMap<u64, StoredSubscription>,
    pub(super) outbox: Vec<OutboxEntry>,
    pub(super) exhausted: Vec<ExhaustedDelivery>,
    pub(super) exhausted_next: u64,
    pub(super) quirks: Quirks,
    /// Used by a quirk alone: what was deleted under a claim.
    pub(super) graveyard: Vec<Stored>,
    /// Used by a quirk alone: how many messages were appended.
    pub(super) appended: u64,
    /// Used by a quirk alone: the positions that each claim took.
    pub(super) taken: BTreeMap<ClaimId, Vec<u64>>,
}

impl Head {
    pub(super) fn new(key: QueueKey, incarnation: Incarnation, quirks: Quirks) -> Self {
        Self {
            key,
            incarnation,
            epoch: 0,
            moved: false,
            frozen: 0..0,
            sequence_next: 1,
            purged: 0,
            messages: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            keys: BTreeMap::new(),
            claims: BTreeMap::new(),
            subscription_next: 1,
            subscriptions: BTreeMap::new(),
            outbox: Vec::new(),
            exhausted: Vec::new(),
            exhausted_next: 1,
            quirks,
            graveyard: Vec::new(),
            appended: 0,
            taken: BTreeMap::new(),
        }
    }

    pub(super) fn show(&self, now: Timestamp) -> QueueHead {
        let state = match self.moved {
            true => HeadState::Moved { epoch: self.epoch },
            false => HeadState::Open,
        };
        QueueHead {
            state,
            sequence_next: self.sequence_next,
            subscribed: self.subscribed(now),
            frozen: !self.frozen.is_empty(),
        }
    }

    /// Whether a post must write an outbox entry.
    pub(super) fn subscribed(&self, now: Timestamp) -> bool {
        self.subscriptions.values().any(|subscription| subscription.is_listening(now))
    }

    /// Live messages in queue order.
    pub(super) fn live(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = &Stored> {
        let quirks = self.quirks;
        self.messages.values().filter(move |message| message.is_live(now, quirks))
    }

    /// The live message of that id: of two, as when a message is moved within one queue, the one
    /// that is not on its way out.
    pub(super) fn find(&self, id: MessageId, now: Timestamp) -> Option<&Stored> {
        let of_id = || self.live(now).filter(|message| message.id == id);
        of_id().find(|message| message.parked.is_none()).or_else(|| of_id().next())
    }

    /// The position that a marker means: "strictly after this one".
    pub(super) fn position_of(&self, marker: MessageMarker) -> u64 {
        if marker.incarnation() == self.incarnation {
            marker.sequence()
        } else {
            self.arrivals.get(&MessageId::from(marker)).map_or(0, |arrived| arrived.position)
        }
    }

    /// Takes `count` positions; returns the first.
    pub(super) fn allocate(&mut self, count: usize) -> Result<u64> {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let first = self.sequence_next;
        let next = first.saturating_add(count);
        if next > SEQUENCE_MAX {
            let reason = "has used up its positions".to_owned();
            return Err(Error::Invalid { field: "queue", reason });
        }
        self.sequence_next = next;
        Ok(first)
    }

    /// Planted bug: a late write of a claim's messages brings back what was deleted under it. There
    /// is nothing to bring back without that quirk.
    pub(super) fn resurrect(&mut self) {
        for message in std::mem::take(&mut self.graveyard) {
            self.messages.insert(message.position, Stored { hold: None, ..message });
        }
    }

    /// What an earlier post under `key` stored, if the key is still remembered.
    pub(super) fn repeated(&self, key: &PostKey, now: Timestamp) -> Result<Option<Posted>> {
        match self.keys.get(&key.key).filter(|stored| now < stored.until) {
            None => Ok(None),
            Some(stored) if stored.digest == key.digest => {
                Ok(Some(Posted { ids: stored.ids.clone(), repeated: true }))
            }
            Some(_) => Err(Error::IdempotencyConflict),
        }
    }

    /// Stores messages at positions from `first` on, and their outbox entry with them (G13).
    pub(super) fn store(
        &mut self,
        first: u64,
        messages: &[NewMessage],
        client: Option<&ClientId>,
        now: Timestamp,
    ) -> Result<Vec<MessageId>> {
        let mut ids = Vec::new();
        if !self.quirks.has(Quirk::NotifyBeforeCommit) {
            self.announce(first, messages, now)?;
        }
        for (position, message) in (first..).zip(messages) {
            let id = MessageId::new(self.incarnation, position)?;
            ids.push(id);
            self.appended += 1;
            if self.quirks.has(Quirk::DropOneInNPosts) && self.appended.is_multiple_of(10) {
                continue;
            }
            let mut stored = stored(id, position, message, client, now);
            if self.quirks.has(Quirk::WrapLongLives) {
                let seconds = message.ttl.as_secs() % u64::from(u16::MAX);
                stored.expires_at = now.after(Ttl::from_secs_clamped(seconds));
            }
            self.messages.insert(position, stored);
        }
        Ok(ids)
    }

    /// Writes the outbox entry of a post, if anybody subscribes.
    pub(super) fn announce(
        &mut self,
        first: u64,
        messages: &[NewMessage],
        now: Timestamp,
    ) -> Result<()> {
        let mut entry = OutboxEntry::new();
        for (position, message) in (first..).zip(messages) {
            let id = MessageId::new(self.incarnation, position)?;
            entry.push((position, outbox_message(id, message, now)));
        }
        if self.quirks.has(Quirk::LoseOutboxEntry) {
            entry.retain(|(position, _)| !position.is_multiple_of(10));
        }
        if !entry.is_empty() && self.subscribed(now) {
            self.outbox.push(entry);
        }
        Ok(())
    }
}

fn stored(
    id: MessageId,
    position: u64,
    message: &NewMessage,
    client: Option<&ClientId>,
    now: Timestamp,
) -> Stored {
    Stored {
        id,
        position,
        body: message.body.clone(),
        ttl: message.ttl,
        posted_at: now,
        expires_at: now.after(message.ttl),
        first_end: now.after(message.ttl),
        delayed_until: now.after(message.delay),
        client: client.cloned(),
        checksum: message.checksum.clone(),
        claim_count: 0,
        hold: None,
        last_claim: None,
        parked: None,
    }
}

fn outbox_message(id: MessageId, message: &NewMessage, now: Timestamp) -> OutboxMessage {
    OutboxMessage {
        id,
        body: message.body.clone(),
        ttl: message.ttl,
        delay: message.delay,
        posted_at: now,
        attempts: 0,
    }
}
