//! The outbox: entries written by posts, walked by subscriptions' cursors under leases.

use async_trait::async_trait;
use mongodb::bson::{RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};
use zaqar_core::{
    Body, Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId, MessageId,
    NewMessage, OutboxBacklog, OutboxController, OutboxMessage, Page, PageLimit, QueueRef, Result,
    Timestamp, Transfer, Ttl,
};

use crate::barrier::Place;
use crate::deliveries::{Complete, Renew};
use crate::driver::MongoData;
use crate::error::{Failure, NativeResult, damaged, failed};
use crate::query::Query;
use crate::rows::{count, document, length_code, ttl, ttl_code};
use crate::schema::DATA;
use crate::stats;
use crate::step::Step;
use crate::subscriptions::{SubscriptionRow, living};
use crate::sweep::STEP_ROWS_MAX;
use crate::tables::{POSITION_MAX, exhausted_key, kind, message_id, outbox_key, queue_code};
use crate::task::Task;
use crate::transfers::{CompleteTransfer, LeaseTransfers};

/// Bytes of bodies that one entry holds; a document may have sixteen million.
const ENTRY_BYTES_MAX: usize = 4 << 20;
/// Retries that one look at an outbox counts.
const RETRIES_MAX: i64 = 10 * STEP_ROWS_MAX as i64;

/// A message of an entry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct EntryMessage {
    s: i64,
    ttl: i64,
    delay: i64,
    posted: i64,
    body: String,
}

/// An outbox entry.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(rename = "_id")]
    key: String,
    q: i64,
    k: String,
    first: i64,
    last: i64,
    messages: Vec<EntryMessage>,
}

/// Writes the entry of a post: in the post's own transaction, so that it is there if and only if the
/// messages are (G13). It keeps the bodies, for a consumer may delete the messages at once.
pub(crate) fn write_entries(
    documents: &mut Vec<RawDocumentBuf>,
    q: i64,
    first: i64,
    messages: &[NewMessage],
    now: Timestamp,
) -> NativeResult<()> {
    let (mut held, mut bytes) = (Vec::new(), 0);
    for (position, message) in (first..).zip(messages) {
        if bytes > 0 && bytes + message.body.len() > ENTRY_BYTES_MAX {
            documents.push(entry(q, std::mem::take(&mut held))?);
            bytes = 0;
        }
        bytes += message.body.len();
        held.push(EntryMessage {
            s: position,
            ttl: ttl_code(message.ttl),
            delay: ttl_code(message.delay),
            posted: now.as_millis(),
            body: message.body.as_str().to_owned(),
        });
    }
    documents.push(entry(q, held)?);
    Ok(())
}

fn entry(q: i64, messages: Vec<EntryMessage>) -> NativeResult<RawDocumentBuf> {
    let first = messages.first().map_or(0, |message| message.s);
    let last = messages.last().map_or(0, |message| message.s);
    let k = kind::OUTBOX.to_owned();
    document(&Entry { key: outbox_key(q, last), q, k, first, last, messages })
}

impl Entry {
    /// The messages, with their positions.
    pub(crate) fn messages(self, queue: &QueueRef) -> NativeResult<Vec<(i64, OutboxMessage)>> {
        let read = |message: EntryMessage| {
            let id = message_id(queue.incarnation, message.s);
            let shown = OutboxMessage {
                id: id.map_err(|_| damaged("outbox entry"))?,
                body: Body::from_checked(message.body),
                ttl: ttl(message.ttl),
                delay: ttl(message.delay),
                posted_at: Timestamp::from_millis(message.posted),
                attempts: 0,
            };
            Ok((message.s, shown))
        };
        self.messages.into_iter().map(read).collect()
    }
}

/// The entries that hold a position or a later one, in order.
pub(crate) fn entries_from(q: i64, position: i64) -> Query {
    let range = doc! { "$gte": outbox_key(q, position), "$lte": outbox_key(q, POSITION_MAX) };
    Query::of(doc! { "_id": range, "q": q }).by("_id_").sort(doc! { "_id": 1 })
}

/// The extent of an entry.
#[derive(Debug, Deserialize)]
struct Extent {
    #[serde(rename = "_id")]
    key: String,
    first: i64,
    last: i64,
}

/// A position that is to be delivered again.
#[derive(Debug, Deserialize)]
struct Retried {
    retried: i64,
}

/// Removes a step of entries that lie below every active cursor and have no retry left.
pub(crate) async fn trim(step: &mut Step<'_>, q: i64) -> NativeResult<()> {
    trim_counted(step, q, i64::from(STEP_ROWS_MAX)).await?;
    Ok(())
}

/// As [`trim`]; how many.
async fn trim_counted(step: &mut Step<'_>, q: i64, rows_max: i64) -> NativeResult<u64> {
    let query = Query::of(living(q, step.now)).by("subscribers");
    let rows: Vec<SubscriptionRow> = step.find(DATA, query).await?;
    let active = rows.iter().filter(|row| row.is_active());
    let end = active.map(|row| row.cursor).min().unwrap_or(POSITION_MAX);
    let mut from = 0;
    loop {
        let range = doc! { "$gt": outbox_key(q, from), "$lt": outbox_key(q, end) };
        let query = Query::of(doc! { "_id": range, "q": q }).by("_id_").sort(doc! { "_id": 1 });
        let query = query.fields(&["first", "last"]).limit(rows_max);
        let entries: Vec<Extent> = step.find(DATA, query).await?;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(0) };
        from = last.last;
        let full = length_code(entries.len()) >= rows_max;
        let retries = retries(step, q, first.first, last.last).await?;
        let free = entries.iter().filter(|entry| !retries.needs(entry));
        let doomed: Vec<String> = free.map(|entry| entry.key.clone()).collect();
        if !doomed.is_empty() {
            return step.delete(DATA, doc! { "_id": { "$in": doomed } }).await;
        }
        if !full {
            return Ok(0);
        }
    }
}

/// Positions with a retry, as far as they were looked at.
struct Retries {
    positions: Vec<i64>,
    /// From here on every position may have one.
    unknown_from: i64,
}

impl Retries {
    fn needs(&self, entry: &Extent) -> bool {
        let next = self.positions.partition_point(|position| *position < entry.first);
        let within = self.positions.get(next).is_some_and(|position| *position <= entry.last);
        within || entry.last >= self.unknown_from
    }
}

async fn retries(step: &mut Step<'_>, q: i64, first: i64, last: i64) -> NativeResult<Retries> {
    let filter = doc! { "q": q, "retried": { "$gte": first, "$lte": last } };
    let query = Query::of(filter).by("retries_at").sort(doc! { "retried": 1 });
    let rows: Vec<Retried> = step.find(DATA, query.fields(&["retried"]).limit(RETRIES_MAX)).await?;
    let positions: Vec<i64> = rows.into_iter().map(|row| row.retried).collect();
    let cut = length_code(positions.len()) >= RETRIES_MAX;
    let unknown_from = positions.last().copied().filter(|_| cut).unwrap_or(i64::MAX);
    Ok(Retries { positions, unknown_from })
}

/// Trims the outbox of one queue; returns how many entries.
#[derive(Debug)]
pub(crate) struct Trim {
    pub(crate) q: i64,
    pub(crate) rows_max: i64,
}

#[async_trait]
impl Task for Trim {
    type Output = u64;
    const OPERATION: &'static str = "gc";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        Ok(trim_counted(step, self.q, self.rows_max).await?)
    }
}

/// A delivery that was given up, as it is recorded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Exhausted {
    #[serde(rename = "_id")]
    pub(crate) key: String,
    pub(crate) q: i64,
    pub(crate) k: String,
    pub(crate) number: i64,
    pub(crate) message: String,
    pub(crate) address: String,
    pub(crate) attempts: i64,
    pub(crate) reason: String,
    pub(crate) at: i64,
}

impl Exhausted {
    /// One that was recorded elsewhere, under a number of this store.
    pub(crate) fn of(q: i64, number: i64, given_up: &ExhaustedDelivery) -> Self {
        Self {
            key: exhausted_key(q, number),
            q,
            k: kind::EXHAUSTED.to_owned(),
            number,
            message: given_up.message.to_string(),
            address: given_up.subscriber.clone(),
            attempts: i64::from(given_up.attempts),
            reason: given_up.reason.clone(),
            at: given_up.at.as_millis(),
        }
    }

    pub(crate) fn shown(self) -> NativeResult<ExhaustedDelivery> {
        Ok(ExhaustedDelivery {
            number: self.number.unsigned_abs(),
            message: self.message.parse().map_err(|_| damaged("message id"))?,
            subscriber: self.address,
            attempts: count(self.attempts),
            reason: self.reason,
            at: Timestamp::from_millis(self.at),
        })
    }
}

/// The stored form of a position or another number that is given out in order.
pub(crate) fn number_code(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// When a lease that begins now ends.
pub(crate) fn lease_end(now: Timestamp, ttl: Ttl) -> i64 {
    now.after(ttl).as_millis()
}

pub(crate) fn lease_lost() -> Failure {
    Error::LeaseLost.into()
}

#[async_trait]
impl OutboxController for MongoData {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.lease_deliveries(options).await
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        let task = Complete { delivery: delivery.clone(), outcomes: outcomes.to_vec(), release };
        self.run(&delivery.queue, task).await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.run(&delivery.queue, Renew { delivery: delivery.clone(), ttl }).await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        const OPERATION: &str = "delivery_list_exhausted";
        let store = &self.handle.store;
        let q = queue_code(queue.incarnation);
        let after = i64::try_from(marker.unwrap_or(0)).unwrap_or(POSITION_MAX).min(POSITION_MAX);
        let range = doc! { "$gt": exhausted_key(q, after), "$lte": exhausted_key(q, POSITION_MAX) };
        let query = Query::of(doc! { "_id": range, "q": q }).by("_id_").sort(doc! { "_id": 1 });
        let query = query.limit(i64::from(limit.get()));
        let view = store.view(OPERATION, Place::Queue(q)).await?;
        let rows: Vec<Exhausted> = view.find(DATA, query).await?;
        view.head(queue).await?;
        let items: NativeResult<Vec<_>> = rows.into_iter().map(Exhausted::shown).collect();
        let items = items.map_err(|error| failed(OPERATION, &error))?;
        Ok(Page::of(items, |record| record.number))
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        self.handle.housekeep(LeaseTransfers { queue: queue.cloned(), lease, ttl, limit }).await
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        let task = CompleteTransfer {
            source: transfer.source.clone(),
            id: transfer.message.id,
            lease: transfer.lease,
        };
        self.run(&transfer.source, task).await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        const OPERATION: &str = "outbox_backlog";
        let view = self.handle.store.view(OPERATION, Place::Rest).await?;
        let of_kind =
            async |kind: &'static str| view.count(DATA, doc! { "k": kind }, "kinds").await;
        let (entries, retries, exhausted, transfers) = tokio::try_join!(
            of_kind(kind::OUTBOX),
            of_kind(kind::RETRY),
            of_kind(kind::EXHAUSTED),
            stats::transfers(&view),
        )?;
        Ok(OutboxBacklog { entries, retries, exhausted, transfers })
    }
}
