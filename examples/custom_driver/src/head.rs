//! A queue head and what its incarnation holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zaqar_core::limits::SEQUENCE_MAX;
use zaqar_core::{
    ClaimId, Error, HeadState, IdempotencyKey, Incarnation, MessageId, MessageMarker, PostKey,
    Posted, QueueHead, Result, Timestamp,
};

use crate::message::Stored;
use crate::record::{Change, Kept, Key};

/// Messages by position.
pub(crate) type Messages = BTreeMap<u64, Stored>;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) key: Key,
    pub(crate) incarnation: Incarnation,
    /// The latest move of the queue; 0 if there was none.
    pub(crate) epoch: u64,
    /// The position of the next message.
    pub(crate) next: u64,
    pub(crate) messages: Messages,
    pub(crate) keys: BTreeMap<IdempotencyKey, Kept>,
    /// The ends of claims that took something and were not released. An id that was used claims no
    /// more until it is forgotten, whatever became of its messages: a repeat must not take others.
    pub(crate) claims: BTreeMap<ClaimId, Timestamp>,
}

impl Head {
    pub(crate) fn new(key: Key, incarnation: Incarnation) -> Self {
        Self {
            key,
            incarnation,
            epoch: 0,
            next: 1,
            messages: Messages::new(),
            keys: BTreeMap::new(),
            claims: BTreeMap::new(),
        }
    }

    /// The only thing that changes a head. Returns messages that were purged: they are the garbage
    /// collector's.
    pub(crate) fn apply(&mut self, change: Change) -> Option<Messages> {
        match change {
            Change::Posted { first, messages, key } => {
                for (position, message) in (first..).zip(messages) {
                    self.messages.insert(position, message);
                    self.next = position.saturating_add(1);
                }
                self.keys.extend(key);
            }
            Change::Held { hold, grace, positions, anew } => {
                self.claims.insert(hold.claim, hold.ends_at);
                self.each(&positions, |message| {
                    message.put_under(hold, grace);
                    if anew {
                        message.count_claim();
                    }
                });
            }
            Change::Released { claim, positions } => {
                self.claims.remove(&claim);
                self.each(&positions, |message| message.hold = None);
            }
            Change::Removed(positions) => {
                for position in positions {
                    self.messages.remove(&position);
                }
            }
            Change::Purged => return Some(std::mem::take(&mut self.messages)),
            Change::Moved { epoch } => self.epoch = epoch,
            Change::Forgotten { keys, claims } => {
                self.keys.retain(|key, _| !keys.contains(key));
                self.claims.retain(|claim, _| !claims.contains(claim));
            }
        }
        None
    }

    fn each(&mut self, positions: &[u64], change: impl Fn(&mut Stored)) {
        for position in positions {
            if let Some(message) = self.messages.get_mut(position) {
                change(message);
            }
        }
    }

    pub(crate) fn show(&self) -> QueueHead {
        let state = match self.epoch {
            0 => HeadState::Open,
            epoch => HeadState::Moved { epoch },
        };
        QueueHead { state, sequence_next: self.next, subscribed: false, frozen: false }
    }

    /// Live messages from `position` on, in queue order, with their positions.
    pub(crate) fn live_from(
        &self,
        position: u64,
        now: Timestamp,
    ) -> impl DoubleEndedIterator<Item = (u64, &Stored)> {
        let messages = self.messages.range(position..);
        messages.map(|(at, message)| (*at, message)).filter(move |(_, m)| m.is_live(now))
    }

    pub(crate) fn live(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = (u64, &Stored)> {
        self.live_from(0, now)
    }

    /// The live message of that id. An id of another incarnation names nothing here (G12).
    pub(crate) fn find(&self, id: MessageId, now: Timestamp) -> Option<(u64, &Stored)> {
        let position = (id.incarnation() == self.incarnation).then(|| id.sequence())?;
        let message = self.messages.get(&position).filter(|message| message.is_live(now))?;
        Some((position, message))
    }

    /// What a live claim holds, in queue order.
    pub(crate) fn held(
        &self,
        claim: ClaimId,
        now: Timestamp,
    ) -> impl Iterator<Item = (u64, &Stored)> {
        self.live(now).filter(move |(_, message)| message.is_held_by(claim, now))
    }

    /// The first position strictly after a marker; one of another incarnation means the start.
    pub(crate) fn after(&self, marker: Option<MessageMarker>) -> u64 {
        let own = marker.filter(|marker| marker.incarnation() == self.incarnation);
        own.map_or(0, |marker| marker.sequence().saturating_add(1))
    }

    /// The first of `count` positions that a post may take.
    pub(crate) fn room_for(&self, count: usize) -> Result<u64> {
        let end = self.next.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        if end > SEQUENCE_MAX {
            let reason = "has used up its positions".to_owned();
            return Err(Error::Invalid { field: "queue", reason });
        }
        Ok(self.next)
    }

    /// What an earlier post under `key` stored, if the key is still remembered (G3).
    pub(crate) fn repeated(&self, key: &PostKey, now: Timestamp) -> Result<Option<Posted>> {
        match self.keys.get(&key.key).filter(|kept| now < kept.until) {
            None => Ok(None),
            Some(kept) if kept.digest == key.digest => {
                let ids = ids(self.incarnation, kept.first, kept.count)?;
                Ok(Some(Posted { ids, repeated: true }))
            }
            Some(_) => Err(Error::IdempotencyConflict),
        }
    }
}

/// The ids of `count` messages from position `first` on.
pub(crate) fn ids(incarnation: Incarnation, first: u64, count: u64) -> Result<Vec<MessageId>> {
    let positions = first..first.saturating_add(count);
    Ok(positions.map(|position| MessageId::new(incarnation, position)).collect::<Result<_, _>>()?)
}
