//! Moves of queues from store to store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use zaqar_core::moves::MOVE_SUBSCRIPTIONS_MAX;
use zaqar_core::{
    Capability, Error, MoveController, MoveOpening, MovePart, MoveRecord, MovingHold,
    MovingMessage, Page, PageLimit, QueueRef, Result, Subscription, Timestamp,
};

use super::driver::ReferenceData;
use super::head::{Arrived, Head, StoredKey};
use super::quirks::Quirk;
use super::state::{State, gone, moved};
use super::stored::{Hold, Stored};
use super::subscriptions::StoredSubscription;

#[async_trait]
impl MoveController for ReferenceData {
    async fn move_begin(&self, queue: &QueueRef) -> Result<MoveOpening> {
        self.step("move_begin", |state, now| {
            let head = state.source(queue, "move_begin")?;
            let live = head.subscriptions.values().filter(|stored| stored.is_live(now));
            let subscriptions: Vec<Subscription> = live.map(|stored| stored.show(now)).collect();
            if subscriptions.len() > MOVE_SUBSCRIPTIONS_MAX {
                return Err(invalid(format!(
                    "has {} subscriptions, of which at most {MOVE_SUBSCRIPTIONS_MAX} can be moved",
                    subscriptions.len()
                )));
            }
            Ok(MoveOpening { start: head.sequence_next, subscriptions })
        })
        .await
    }

    async fn move_open(&self, queue: &QueueRef, opening: &MoveOpening) -> Result<bool> {
        self.step("move_open", |state, now| {
            state.require(Capability::LiveMove, "move_open")?;
            state.open_at(queue, opening, now)
        })
        .await
    }

    async fn move_freeze(&self, queue: &QueueRef, limit: PageLimit) -> Result<MovePart> {
        self.step("move_freeze", |state, now| {
            let head = state.source(queue, "move_freeze")?;
            if head.frozen.is_empty() {
                let end = head.frozen.end;
                let left = head.messages.range(..end).rev();
                let whole = left.filter(|(_, message)| message.parked.is_none());
                let lowest = whole.take(limit.as_usize()).map(|(position, _)| *position).last();
                head.frozen = lowest.unwrap_or(end)..end;
            }
            Ok(head.part(now))
        })
        .await
    }

    async fn move_part(&self, queue: &QueueRef) -> Result<MovePart> {
        self.step("move_part", |state, now| Ok(state.either_end(queue, "move_part")?.part(now)))
            .await
    }

    async fn move_insert(&self, queue: &QueueRef, part: &MovePart) -> Result<()> {
        self.step("move_insert", |state, _| {
            state.either_end(queue, "move_insert")?.insert_part(part)
        })
        .await
    }

    async fn move_remove(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.step("move_remove", |state, _| {
            let head = state.either_end(queue, "move_remove")?;
            if head.frozen.start == from && !head.frozen.is_empty() {
                let frozen = std::mem::replace(&mut head.frozen, from..from);
                head.messages.retain(|position, message| {
                    !frozen.contains(position) || message.parked.is_some()
                });
            }
            Ok(())
        })
        .await
    }

    async fn move_reveal(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.step("move_reveal", |state, _| {
            let head = state.either_end(queue, "move_reveal")?;
            if head.frozen.start == from {
                head.frozen = from..from;
            }
            Ok(())
        })
        .await
    }

    async fn move_records(
        &self,
        queue: &QueueRef,
        marker: Option<&str>,
        limit: PageLimit,
    ) -> Result<Page<MoveRecord, String>> {
        self.step("move_records", |state, now| {
            let records = state.either_end(queue, "move_records")?.records(now);
            let next = records.into_iter().filter(|(name, _)| marker.is_none_or(|m| **name > *m));
            let (names, items): (Vec<_>, Vec<_>) = next.take(limit.as_usize()).unzip();
            Ok(Page { items, next: names.into_iter().last() })
        })
        .await
    }

    async fn move_insert_records(&self, queue: &QueueRef, records: &[MoveRecord]) -> Result<()> {
        self.step("move_insert_records", |state, _| {
            let head = state.either_end(queue, "move_insert_records")?;
            records.iter().for_each(|record| head.remember(record));
            Ok(())
        })
        .await
    }

    async fn move_leave(&self, queue: &QueueRef) -> Result<bool> {
        self.step("move_leave", |state, now| {
            let head = state.source(queue, "move_leave")?;
            head.trim(now);
            let waiting = head.subscriptions.values().any(|stored| !stored.retries.is_empty());
            let frozen = !head.frozen.is_empty();
            if frozen || waiting || !head.outbox.is_empty() || head.live(now).next().is_some() {
                return Ok(false);
            }
            let left = head.messages.values().map(|_| 1).sum::<u64>();
            state.rubbish += left;
            state.heads.remove(&queue.incarnation);
            state.left.insert(queue.incarnation, queue.epoch);
            Ok(true)
        })
        .await
    }
}

fn invalid(reason: String) -> Error {
    Error::Invalid { field: "queue", reason }
}

impl State {
    /// The head of exactly this move.
    fn either_end(&mut self, queue: &QueueRef, operation: &'static str) -> Result<&mut Head> {
        self.require(Capability::LiveMove, operation)?;
        let head = self.head_to_move(queue)?;
        if head.epoch == queue.epoch { Ok(head) } else { Err(moved(queue, head.epoch)) }
    }

    /// The head that this move leads away from.
    fn source(&mut self, queue: &QueueRef, operation: &'static str) -> Result<&mut Head> {
        let head = self.either_end(queue, operation)?;
        if head.moved { Ok(head) } else { Err(invalid("takes posts still".to_owned())) }
    }

    fn open_at(&mut self, queue: &QueueRef, opening: &MoveOpening, now: Timestamp) -> Result<bool> {
        if let Ok(head) = self.head_to_move(queue) {
            let known = head.epoch == queue.epoch && !head.moved;
            return if known { Ok(true) } else { Err(moved(queue, head.epoch)) };
        }
        if self.closed.contains(&queue.incarnation) {
            return Err(gone(queue));
        }
        if let Some(epoch) = self.left.get(&queue.incarnation) {
            if *epoch >= queue.epoch {
                return Err(moved(queue, *epoch));
            }
            if self.rubbish > 0 {
                return Ok(false);
            }
            self.left.remove(&queue.incarnation);
        }
        let mut head = Head::new(queue.key.clone(), queue.incarnation, self.quirks);
        head.epoch = queue.epoch;
        head.sequence_next = opening.start;
        head.frozen = opening.start..opening.start;
        for subscription in &opening.subscriptions {
            let number = subscription.id.sequence();
            head.subscription_next = head.subscription_next.max(number.saturating_add(1));
            head.subscriptions.insert(number, arriving(subscription, opening.start, now));
        }
        self.heads.insert(queue.incarnation, head);
        Ok(true)
    }
}

/// A subscription at its new place. What was posted before is delivered by the source.
fn arriving(subscription: &Subscription, start: u64, now: Timestamp) -> StoredSubscription {
    let age = zaqar_core::Ttl::from_secs_clamped(subscription.age_s);
    StoredSubscription {
        id: subscription.id,
        subscriber: subscription.subscriber.clone(),
        ttl: subscription.ttl,
        created_at: now.before(age),
        expires_at: subscription.expires_at,
        options: subscription.options.clone(),
        confirmed: subscription.confirmed,
        needs_confirmation: subscription.needs_confirmation,
        since: subscription.since,
        owner: subscription.owner.clone(),
        cursor: start,
        retries: BTreeMap::new(),
        lease: None,
    }
}

impl Head {
    /// Refuses to touch a message that is on its way.
    pub(super) fn check_still(&self, position: u64) -> Result<()> {
        if self.frozen.contains(&position) && !self.quirks.has(Quirk::TouchFrozen) {
            return Err(Error::QueueMoving { name: self.key.name.clone() });
        }
        Ok(())
    }

    /// Where claims and pops stop: what is on its way is next, and nothing overtakes it.
    pub(super) fn takeable_end(&self) -> u64 {
        if self.frozen.is_empty() || self.quirks.has(Quirk::TouchFrozen) {
            u64::MAX
        } else {
            self.frozen.start
        }
    }

    fn part(&self, now: Timestamp) -> MovePart {
        let frozen = self
            .live(now)
            .filter(|message| self.frozen.contains(&message.position) && message.parked.is_none());
        let messages = frozen.map(|message| moving(message, now)).collect();
        MovePart { from: self.frozen.start, to: self.frozen.end, messages }
    }

    fn insert_part(&mut self, part: &MovePart) -> Result<()> {
        let came_already = part.from >= self.frozen.start;
        if came_already && !self.quirks.has(Quirk::InsertPartTwice) {
            return Ok(());
        }
        if !came_already && (!self.frozen.is_empty() || part.to != self.frozen.start) {
            let place = &self.frozen;
            return Err(invalid(format!("has {place:?} on its way, not what ends at {}", part.to)));
        }
        for message in &part.messages {
            if message.position < self.purged {
                continue;
            }
            let hold =
                message.hold.filter(|_| !self.quirks.has(Quirk::ForgetHoldsOnMove)).map(held);
            if let Some(hold) = hold {
                self.claims.insert(hold.claim, hold.ends_at);
            }
            self.messages.insert(message.position, arrived(message, hold));
        }
        let end = if self.quirks.has(Quirk::RevealEarly) { part.from } else { part.to };
        if !came_already {
            self.frozen = part.from..end;
        }
        Ok(())
    }

    /// By name, in the order of names: what may come new is last.
    fn records(&self, now: Timestamp) -> BTreeMap<String, MoveRecord> {
        let keys =
            self.keys.iter().filter(|(_, stored)| now < stored.until).map(|(key, stored)| {
                let StoredKey { digest, ids, until } = stored;
                let record = MoveRecord::Key {
                    key: key.clone(),
                    digest: *digest,
                    ids: ids.clone(),
                    until: *until,
                };
                (format!("1{key}"), record)
            });
        let arrivals = self.arrivals.iter().map(|(id, arrived)| {
            let Arrived { position, origin } = arrived.clone();
            let origin = origin.filter(|_| !self.quirks.has(Quirk::ForgetOriginsOnMove));
            (format!("2{id}"), MoveRecord::Arrival { id: *id, position, origin })
        });
        let exhausted = self.exhausted.iter().map(|record| {
            (format!("3{:020}", record.number), MoveRecord::Exhausted(record.clone()))
        });
        keys.chain(arrivals).chain(exhausted).collect()
    }

    fn remember(&mut self, record: &MoveRecord) {
        match record {
            MoveRecord::Key { key, digest, ids, until } => {
                let stored = StoredKey { digest: *digest, ids: ids.clone(), until: *until };
                self.keys.entry(key.clone()).or_insert(stored);
            }
            MoveRecord::Arrival { id, position, origin } => {
                let new = Arrived { position: *position, origin: None };
                let arrived = self.arrivals.entry(*id).or_insert(new);
                arrived.origin = arrived.origin.take().or_else(|| origin.clone());
            }
            MoveRecord::Exhausted(record) => {
                let same = |known: &&zaqar_core::ExhaustedDelivery| {
                    (known.message, &known.subscriber) == (record.message, &record.subscriber)
                };
                if self.exhausted.iter().find(same).is_none() {
                    let number = self.exhausted_next;
                    self.exhausted_next += 1;
                    self.exhausted.push(zaqar_core::ExhaustedDelivery { number, ..record.clone() });
                }
            }
        }
    }
}

fn moving(message: &Stored, now: Timestamp) -> MovingMessage {
    let hold = message.live_hold(now).map(|Hold { claim, ttl, since, ends_at }| MovingHold {
        claim,
        ttl,
        since,
        ends_at,
    });
    MovingMessage {
        id: message.id,
        position: message.position,
        body: message.body.clone(),
        ttl: message.ttl,
        posted_at: message.posted_at,
        expires_at: message.expires_at,
        delayed_until: message.is_delayed(now).then_some(message.delayed_until),
        client: message.client.clone(),
        checksum: message.checksum.clone(),
        claim_count: message.claim_count,
        hold,
    }
}

fn held(hold: MovingHold) -> Hold {
    let MovingHold { claim, ttl, since, ends_at } = hold;
    Hold { claim, ttl, since, ends_at }
}

fn arrived(message: &MovingMessage, hold: Option<Hold>) -> Stored {
    Stored {
        id: message.id,
        position: message.position,
        body: message.body.clone(),
        ttl: message.ttl,
        posted_at: message.posted_at,
        expires_at: message.expires_at,
        first_end: message.expires_at,
        delayed_until: message.delayed_until.unwrap_or(message.posted_at),
        client: message.client.clone(),
        checksum: message.checksum.clone(),
        claim_count: message.claim_count,
        hold,
        last_claim: hold.map(|hold| hold.claim),
        parked: None,
    }
}
