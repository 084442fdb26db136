//! Leasing deliveries and recording what became of them.

use std::collections::HashMap;

use async_trait::async_trait;
use mongodb::bson::doc;
use serde::{Deserialize, Serialize};
use zaqar_core::{
    Delivery, DeliveryOutcome, Error, LeaseDeliveries, MessageId, OutboxMessage, QueueRef, Result,
    Ttl,
};

use crate::driver::MongoData;
use crate::error::{Failure, NativeResult, damaged, failed};
use crate::heads::Head;
use crate::outbox::{Entry, Exhausted, entries_from, lease_end, lease_lost, trim};
use crate::query::Query;
use crate::rows::{count, document, length_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::store::Store;
use crate::subscriptions::{SubscriptionRow, living};
use crate::tables::{
    POSITION_MAX, exhausted_key, head_key, kind, position, retry_key, subscription_key,
};
use crate::task::Task;

/// A message to be delivered again, as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
struct Retry {
    #[serde(rename = "_id")]
    key: String,
    q: i64,
    k: String,
    /// The subscription.
    retrying: i64,
    /// The position.
    retried: i64,
    attempts: i64,
    not_before: i64,
}

impl MongoData {
    /// Leases queue by queue, each in a transaction of its own, until there is enough.
    pub(crate) async fn lease_deliveries(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        const OPERATION: &str = "delivery_lease";
        // Every due retry keeps its entry, so queues with entries are all there are.
        let queues = queues_with_entries(&self.handle.store).await;
        let queues = queues.map_err(|error| failed(OPERATION, &error))?;
        let mut deliveries = Vec::new();
        for q in queues {
            let room = options.subscriptions_max.as_usize().saturating_sub(deliveries.len());
            if room == 0 {
                break;
            }
            let lease = Lease { q, room, options: options.clone() };
            match self.handle.housekeep(lease).await {
                Ok(leased) => deliveries.extend(leased),
                // What was leased so far is handed out; the rest comes with the next call.
                Err(error) if !deliveries.is_empty() => {
                    tracing::warn!(%error, "a queue's deliveries could not be leased");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(deliveries)
    }
}

/// Queues that have outbox entries: a walk of the index that jumps from queue to queue.
pub(crate) async fn queues_with_entries(store: &Store) -> NativeResult<Vec<i64>> {
    let found = store.collection(DATA).distinct("q", doc! { "k": kind::OUTBOX }).await?;
    Ok(found.iter().filter_map(mongodb::bson::Bson::as_i64).collect())
}

/// Leases the subscriptions of one queue that have something to deliver.
#[derive(Debug)]
struct Lease {
    q: i64,
    room: usize,
    options: LeaseDeliveries,
}

#[async_trait]
impl Task for Lease {
    type Output = Vec<Delivery>;
    const OPERATION: &'static str = "delivery_lease";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Vec<Delivery>, Failure> {
        let head: Option<Head> = step.find_one(Query::id(head_key(self.q))).await?;
        let Some(head) = head.filter(Head::is_live) else { return Ok(Vec::new()) };
        let queue = head.queue()?;
        let mut filter = living(self.q, step.now);
        filter.insert("lease_ends", doc! { "$lte": step.now.as_millis() });
        let query = Query::of(filter).by("subscribers");
        let rows: Vec<SubscriptionRow> = step.find(DATA, query).await?;
        let mut deliveries = Vec::new();
        for row in rows {
            let ours = row.owner.is_none() || row.owner == self.options.owner;
            if !ours || !row.is_active() || deliveries.len() >= self.room {
                continue;
            }
            let messages = self.due(step, &queue, &row).await?;
            if messages.is_empty() {
                continue;
            }
            let held = doc! {
                "lease": self.options.lease.to_string(),
                "lease_ends": lease_end(step.now, self.options.ttl),
            };
            step.update(DATA, doc! { "_id": row.key.as_str() }, doc! { "$set": held }).await?;
            deliveries.push(Delivery {
                queue: queue.clone(),
                subscription: row.subscription(&queue, step.now)?,
                lease: self.options.lease,
                messages,
            });
        }
        Ok(deliveries)
    }
}

impl Lease {
    /// Due retries, then new messages.
    async fn due(
        &self,
        step: &mut Step<'_>,
        queue: &QueueRef,
        row: &SubscriptionRow,
    ) -> NativeResult<Vec<OutboxMessage>> {
        let max = self.options.messages_max.as_usize();
        let filter = doc! {
            "q": self.q,
            "retrying": row.number,
            "not_before": { "$lte": step.now.as_millis() },
        };
        let query = Query::of(filter).by("retries_due").sort(doc! { "retried": 1 });
        let due: Vec<Retry> = step.find(DATA, query.limit(length_code(max))).await?;
        let mut messages = Vec::new();
        for retry in due {
            let entry = entries_from(self.q, retry.retried);
            let entry: Entry = step.find_one(entry).await?.ok_or_else(|| damaged("retry"))?;
            let mut held = entry.messages(queue)?.into_iter();
            let found = held.find(|(at, _)| *at == retry.retried);
            let (_, mut message) = found.ok_or_else(|| damaged("retry"))?;
            message.attempts = count(retry.attempts);
            messages.push(message);
        }
        let room = max.saturating_sub(messages.len());
        if room > 0 {
            // Every entry holds at least one message, so `room` entries are enough.
            let query = entries_from(self.q, row.cursor).limit(length_code(room));
            let entries: Vec<Entry> = step.find(DATA, query).await?;
            for entry in entries {
                let held = entry.messages(queue)?.into_iter();
                messages.extend(held.filter(|(at, _)| *at >= row.cursor).map(|(_, m)| m));
            }
            messages.truncate(max);
        }
        Ok(messages)
    }
}

/// The position of an own message in its queue.
fn own_position(id: MessageId) -> i64 {
    position(id.sequence()).unwrap_or(POSITION_MAX)
}

/// A leased subscription, and what of the delivery it retries.
struct Held {
    head: Head,
    row: SubscriptionRow,
    /// Attempts so far, by position.
    retries: HashMap<i64, i64>,
}

async fn held(step: &mut Step<'_>, delivery: &Delivery) -> Result<Held, Failure> {
    let head = step.head(&delivery.queue).await?;
    let number = position(delivery.subscription.id.sequence()).unwrap_or(POSITION_MAX);
    let query = Query::id(subscription_key(head.q, number));
    let row: Option<SubscriptionRow> = step.find_one(query).await?;
    step.tick();
    let lease = delivery.lease.to_string();
    let ours = |row: &SubscriptionRow| {
        row.lease.as_ref() == Some(&lease) && row.lease_ends > step.now.as_millis()
    };
    let row = row.filter(ours).ok_or_else(lease_lost)?;
    let keys: Vec<String> = delivery
        .messages
        .iter()
        .map(|message| retry_key(head.q, row.number, own_position(message.id)))
        .collect();
    let query = Query::of(doc! { "_id": { "$in": keys }, "q": head.q });
    let found: Vec<Retry> = step.find(DATA, query).await?;
    let retries = found.into_iter().map(|retry| (retry.retried, retry.attempts)).collect();
    Ok(Held { head, row, retries })
}

/// Records what became of leased messages.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) delivery: Delivery,
    pub(crate) outcomes: Vec<(MessageId, DeliveryOutcome)>,
    pub(crate) release: bool,
}

#[async_trait]
impl Task for Complete {
    type Output = ();
    const OPERATION: &'static str = "delivery_complete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let held = held(step, &self.delivery).await?;
        let cursor = self.cursor_after(&held)?;
        self.record(step, &held).await?;
        let mut update = doc! { "$set": { "cursor": cursor } };
        if self.release {
            update = doc! {
                "$set": { "cursor": cursor, "lease_ends": 0_i64 },
                "$unset": { "lease": "" },
            };
        }
        step.update(DATA, doc! { "_id": held.row.key.as_str() }, update).await?;
        trim(step, held.head.q).await?;
        Ok(())
    }
}

impl Complete {
    /// How far the cursor moves: past a prefix of the new messages, never over one left out.
    fn cursor_after(&self, held: &Held) -> Result<i64, Failure> {
        let told: HashMap<MessageId, &DeliveryOutcome> =
            self.outcomes.iter().map(|(id, outcome)| (*id, outcome)).collect();
        let mut cursor = held.row.cursor;
        let mut skipped = false;
        for message in &self.delivery.messages {
            let position = own_position(message.id);
            if held.retries.contains_key(&position) || position < held.row.cursor {
                continue;
            }
            match told.contains_key(&message.id) {
                true if skipped => {
                    let reason = "must cover the new messages from the first on".to_owned();
                    return Err(Error::Invalid { field: "outcomes", reason }.into());
                }
                true => cursor = position + 1,
                false => skipped = true,
            }
        }
        Ok(cursor)
    }

    async fn record(&self, step: &mut Step<'_>, held: &Held) -> Result<(), Failure> {
        let (mut settled, mut documents, mut exhausted) = (Vec::new(), Vec::new(), Vec::new());
        let Held { head, row, retries } = held;
        for (message, outcome) in self.delivery.pair(&self.outcomes)? {
            let (position, before) = (own_position(message.id), i64::from(message.attempts));
            let known = retries.get(&position).copied();
            // An earlier call under this lease may have recorded it: nothing counts twice.
            if known.map_or(position < row.cursor, |attempts| attempts > before) {
                continue;
            }
            let attempts = before + 1;
            let key = retry_key(head.q, row.number, position);
            if known.is_some() {
                settled.push(key.clone());
            }
            match outcome {
                DeliveryOutcome::Delivered => {}
                DeliveryOutcome::Retry { not_before } => documents.push(document(&Retry {
                    key,
                    q: head.q,
                    k: kind::RETRY.to_owned(),
                    retrying: row.number,
                    retried: position,
                    attempts,
                    not_before: not_before.as_millis(),
                })?),
                DeliveryOutcome::Exhausted { reason } => {
                    exhausted.push((message.id, attempts, reason))
                }
            }
        }
        if !exhausted.is_empty() {
            let take = doc! { "$inc": { "exhausted_next": length_code(exhausted.len()) } };
            let head = step.lock_head(&self.delivery.queue, false, take).await?;
            for (number, (id, attempts, reason)) in (head.exhausted_next..).zip(exhausted) {
                documents.push(document(&Exhausted {
                    key: exhausted_key(head.q, number),
                    q: head.q,
                    k: kind::EXHAUSTED.to_owned(),
                    number,
                    message: id.to_string(),
                    address: self.delivery.subscription.subscriber.clone(),
                    attempts,
                    reason: reason.clone(),
                    at: step.now.as_millis(),
                })?);
            }
        }
        if !settled.is_empty() {
            step.delete(DATA, doc! { "_id": { "$in": settled } }).await?;
        }
        if !documents.is_empty() {
            step.insert(&documents).await?;
        }
        Ok(())
    }
}

/// Prolongs a lease.
#[derive(Debug)]
pub(crate) struct Renew {
    pub(crate) delivery: Delivery,
    pub(crate) ttl: Ttl,
}

#[async_trait]
impl Task for Renew {
    type Output = ();
    const OPERATION: &'static str = "delivery_renew";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let held = held(step, &self.delivery).await?;
        let renewed = doc! { "$set": { "lease_ends": lease_end(step.now, self.ttl) } };
        step.update(DATA, doc! { "_id": held.row.key.as_str() }, renewed).await?;
        Ok(())
    }
}
