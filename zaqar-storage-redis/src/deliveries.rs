//! Leasing deliveries and recording what became of them.

use std::collections::HashMap;
use std::sync::Arc;

use zaqar_core::{
    Delivery, DeliveryOutcome, Error, LeaseDeliveries, MessageId, OutboxMessage, QueueRef, Result,
    Timestamp, Ttl,
};

use crate::codec::{Record, Reply, moment};
use crate::driver::RedisData;
use crate::error::closed;
use crate::identity::incarnation_of;
use crate::keys::Place;
use crate::registry::{DELIVERY_COMPLETE, DELIVERY_LEASE, DELIVERY_RENEW};
use crate::store::{Call, Caller, Store, queue_text};
use crate::subscriptions::read_subscription;
use crate::sweep::Due;
use crate::transfers::queue_of;

const OPERATION: &str = "delivery_lease";
/// Queues of a bucket that one lease looks at.
const QUEUES_MAX: u32 = 1_000;
/// The lease is over or another's.
const LOST: i64 = 6;
/// The outcomes leave a gap.
const GAP: i64 = 3;

/// The messages of one post, with their positions.
type Entry = Vec<(u64, OutboxMessage)>;

/// One queue's share of a lease.
#[derive(Default)]
struct Leased {
    deliveries: Vec<Delivery>,
    /// Where to go on among the queue's subscriptions.
    go_on: String,
}

/// What one delivery consists of, before its entries are known.
struct Outline {
    delivery: Delivery,
    cursor: u64,
    /// Position, attempts, first position of the entry.
    retries: Vec<(u64, u32, String)>,
    entries: Vec<String>,
}

impl RedisData {
    pub(crate) async fn lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.store
            .shield(OPERATION, None, |store, caller| async move {
                if caller.left() {
                    return Err(closed(OPERATION));
                }
                store.lease_deliveries(&options, &caller).await
            })
            .await
    }

    pub(crate) async fn complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        let queue = &delivery.queue;
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let number = delivery.subscription.id.sequence();
        let lease = delivery.lease;
        let paired = delivery.pair(outcomes)?.into_iter();
        let outcomes: Vec<(MessageId, u32, DeliveryOutcome)> = paired
            .map(|(message, outcome)| (message.id, message.attempts, outcome.clone()))
            .collect();
        let positions: Vec<u64> = delivery.messages.iter().map(|m| m.id.sequence()).collect();
        let call = Call {
            operation: "delivery_complete",
            script: &DELIVERY_COMPLETE,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(incarnation).arg(number);
                command.arg(lease.as_bytes()).arg(u8::from(release)).arg(positions.len());
                for position in &positions {
                    command.arg(position);
                }
                for (id, attempts, outcome) in &outcomes {
                    command.arg(id.sequence()).arg(id.to_string()).arg(*attempts);
                    match outcome {
                        DeliveryOutcome::Delivered => command.arg(0).arg(0).arg(""),
                        DeliveryOutcome::Retry { not_before } => {
                            command.arg(1).arg(moment(*not_before)).arg("")
                        }
                        DeliveryOutcome::Exhausted { reason } => command.arg(2).arg(0).arg(reason),
                    };
                }
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        match answer.code {
            LOST => Err(Error::LeaseLost),
            GAP => {
                let reason = "must cover the new messages from the first on".to_owned();
                Err(Error::Invalid { field: "outcomes", reason })
            }
            _ => answer.done(queue).map(drop),
        }
    }

    pub(crate) async fn renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        let queue = &delivery.queue;
        let text = queue_text(queue);
        let (number, lease) = (delivery.subscription.id.sequence(), delivery.lease);
        let call = Call {
            operation: "delivery_renew",
            script: &DELIVERY_RENEW,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(number).arg(lease.as_bytes());
                command.arg(moment(now.after(ttl)));
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        match answer.code {
            LOST => Err(Error::LeaseLost),
            _ => answer.done(queue).map(drop),
        }
    }
}

impl Store {
    async fn lease_deliveries(
        self: &Arc<Self>,
        options: &LeaseDeliveries,
        caller: &Caller,
    ) -> Result<Vec<Delivery>> {
        let now = moment(self.clock.now()).to_string();
        let due = Due {
            operation: OPERATION,
            index: "outbox",
            from: "-inf",
            to: &now,
            limit: QUEUES_MAX,
        };
        let most = options.subscriptions_max.as_usize();
        let mut deliveries: Vec<Delivery> = Vec::new();
        for (_, member) in self.all_due(&due).await? {
            let mut skip = "0".to_owned();
            while deliveries.len() < most && !skip.is_empty() && !caller.left() {
                let room = most - deliveries.len();
                let leased = self.lease_queue(&member, options, room, &skip).await;
                let leased = match leased {
                    Ok(leased) => leased,
                    // What is leased already is worth more than the failure: it is handed out.
                    Err(error) if !deliveries.is_empty() => {
                        tracing::warn!(%error, "a lease of deliveries was cut short");
                        return Ok(deliveries);
                    }
                    Err(error) => return Err(error),
                };
                deliveries.extend(leased.deliveries);
                skip = leased.go_on;
            }
        }
        Ok(deliveries)
    }

    async fn lease_queue(
        &self,
        member: &str,
        options: &LeaseDeliveries,
        room: usize,
        skip: &str,
    ) -> Result<Leased> {
        let Some(incarnation) = incarnation_of(member) else { return Ok(Leased::default()) };
        let call = Call {
            operation: OPERATION,
            script: &DELIVERY_LEASE,
            place: Place::queue(incarnation),
            writes: true,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(member).arg(moment(now)).arg(options.lease.as_bytes());
                command.arg(moment(now.after(options.ttl))).arg(room);
                command.arg(options.messages_max.get()).arg(u8::from(options.owner.is_some()));
                command.arg(options.owner.as_deref().unwrap_or("")).arg(skip);
            },
        };
        let answer = self.call(&call, None).await?;
        let now = answer.now;
        let mut reply = answer.plain()?;
        let key = reply.text("queue head")?;
        let epoch = reply.number("queue head")?;
        let go_on = reply.text("queue head")?;
        let count = reply.number("delivery")?;
        if count == 0 {
            return Ok(Leased { deliveries: Vec::new(), go_on });
        }
        let queue =
            queue_of(&key, epoch, incarnation).ok_or_else(|| reply.damaged("queue head"))?;
        let mut outlines = Vec::new();
        for _ in 0..count {
            let subscription = read_subscription(&mut reply, &queue, now)?;
            let (queue, lease) = (queue.clone(), options.lease);
            let delivery = Delivery { queue, subscription, lease, messages: Vec::new() };
            outlines.push(read_outline(&mut reply, delivery)?);
        }
        let entries = read_entries(&mut reply, &queue)?;
        let each = options.messages_max.as_usize();
        let deliveries: Option<Vec<Delivery>> =
            outlines.into_iter().map(|outline| fill(outline, &entries, each)).collect();
        let deliveries = deliveries.ok_or_else(|| reply.damaged("outbox"))?;
        Ok(Leased { deliveries, go_on })
    }
}

fn read_outline(reply: &mut Reply, delivery: Delivery) -> Result<Outline> {
    let what = "delivery";
    let cursor = reply.number(what)?;
    let mut retries = Vec::new();
    for _ in 0..reply.number(what)? {
        retries.push((reply.number(what)?, reply.count(what)?, reply.text(what)?));
    }
    let mut entries = Vec::new();
    for _ in 0..reply.number(what)? {
        entries.push(reply.text(what)?);
    }
    Ok(Outline { delivery, cursor, retries, entries })
}

fn read_entries(reply: &mut Reply, queue: &QueueRef) -> Result<HashMap<String, Entry>> {
    let mut entries = HashMap::new();
    for _ in 0..reply.number("outbox")? {
        let first = reply.text("outbox")?;
        let bytes = reply.bytes("outbox")?;
        let entry = read_entry(queue, &first, &bytes).ok_or_else(|| reply.damaged("outbox"))?;
        entries.insert(first, entry);
    }
    Ok(entries)
}

/// Takes an entry apart: each record behind its length.
fn read_entry(queue: &QueueRef, first: &str, bytes: &[u8]) -> Option<Entry> {
    let (mut position, mut rest) = (first.parse::<u64>().ok()?, bytes);
    let mut entry = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let record = Record::read(after.get(..length)?)?;
        let message = OutboxMessage {
            id: MessageId::new(queue.incarnation, position).ok()?,
            body: record.body(),
            ttl: record.ttl(),
            delay: record.delay(),
            posted_at: record.posted_at(),
            attempts: 0,
        };
        entry.push((position, message));
        position += 1;
        rest = after.get(length..)?;
    }
    Some(entry)
}

/// Due retries first, then what the cursor has not met, each oldest first.
fn fill(outline: Outline, entries: &HashMap<String, Entry>, each: usize) -> Option<Delivery> {
    let Outline { mut delivery, cursor, retries, entries: mine } = outline;
    for (position, attempts, first) in retries {
        let entry = entries.get(&first)?;
        let (_, message) = entry.iter().find(|(at, _)| *at == position)?;
        delivery.messages.push(OutboxMessage { attempts, ..message.clone() });
    }
    for first in mine {
        let new = entries.get(&first)?.iter().filter(|(position, _)| *position >= cursor);
        delivery.messages.extend(new.map(|(_, message)| message.clone()));
    }
    delivery.messages.truncate(each);
    Some(delivery)
}
