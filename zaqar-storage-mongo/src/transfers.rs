//! Dead letters on their way: leased, carried by the engine, completed here (G10). The record of a
//! transfer is the parked message itself, so one cannot be without the other.

use std::collections::HashMap;

use async_trait::async_trait;
use mongodb::bson::doc;
use serde::Deserialize;
use zaqar_core::{
    LeaseId, MessageId, MovedMessage, PageLimit, QueueName, QueueRef, Timestamp, Transfer, Ttl,
};

use crate::error::{Failure, NativeResult, damaged};
use crate::heads::Head;
use crate::outbox::{lease_end, lease_lost};
use crate::query::Query;
use crate::reader::Arrival;
use crate::rows::{MessageRow, length_code, ttl};
use crate::schema::DATA;
use crate::step::Step;
use crate::sweep::STEP_ROWS_MAX;
use crate::tables::{PARKED, arrival_key, head_key, message_key, position, queue_code};
use crate::task::Task;

/// Leases transfers that nobody holds.
#[derive(Debug)]
pub(crate) struct LeaseTransfers {
    pub(crate) queue: Option<QueueRef>,
    pub(crate) lease: LeaseId,
    pub(crate) ttl: Ttl,
    pub(crate) limit: PageLimit,
}

#[async_trait]
impl Task for LeaseTransfers {
    type Output = Vec<Transfer>;
    const OPERATION: &'static str = "transfer_lease";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Vec<Transfer>, Failure> {
        if let Some(queue) = &self.queue {
            step.head(queue).await?;
        }
        let rows = self.find(step).await?;
        let keys: Vec<String> = rows.iter().map(|(row, _)| message_key(row.q, row.s)).collect();
        if !keys.is_empty() {
            let held = doc! {
                "lease": self.lease.to_string(),
                "lease_ends": lease_end(step.now, self.ttl),
            };
            step.update(DATA, doc! { "_id": { "$in": keys } }, doc! { "$set": held }).await?;
        }
        rows.into_iter().map(|(row, source)| Ok(self.transfer(row, source, step.now)?)).collect()
    }
}

impl LeaseTransfers {
    /// Parked messages that nobody leases, of queues that still have them.
    async fn find(&self, step: &mut Step<'_>) -> NativeResult<Vec<(MessageRow, QueueRef)>> {
        let mut filter = doc! { "avail": PARKED, "lease_ends": { "$lte": step.now.as_millis() } };
        if let Some(queue) = &self.queue {
            filter.insert("q", queue_code(queue.incarnation));
        }
        let wanted = length_code(self.limit.as_usize());
        let mut limit = wanted;
        loop {
            let query = Query::of(filter.clone()).by("parked").limit(limit);
            let rows: Vec<MessageRow> = step.find(DATA, query).await?;
            let full = length_code(rows.len()) >= limit;
            let heads = self.heads(step, &rows).await?;
            let mut found = Vec::new();
            for row in rows {
                // What was purged, or closed with its queue, is on its way nowhere.
                let head = heads.get(&row.q).filter(|head| head.is_live() && row.s > head.purged);
                if let Some(head) = head {
                    found.push((row, head.queue()?));
                }
            }
            found.truncate(self.limit.as_usize());
            let enough = length_code(found.len()) >= wanted;
            if enough || !full || limit > i64::from(STEP_ROWS_MAX) {
                return Ok(found);
            }
            limit *= 4;
        }
    }

    async fn heads(
        &self,
        step: &mut Step<'_>,
        rows: &[MessageRow],
    ) -> NativeResult<HashMap<i64, Head>> {
        let mut keys: Vec<String> = rows.iter().map(|row| head_key(row.q)).collect();
        keys.dedup();
        if keys.is_empty() {
            return Ok(HashMap::new());
        }
        let heads: Vec<Head> = step.find(DATA, Query::of(doc! { "_id": { "$in": keys } })).await?;
        Ok(heads.into_iter().map(|head| (head.q, head)).collect())
    }

    fn transfer(
        &self,
        row: MessageRow,
        source: QueueRef,
        now: Timestamp,
    ) -> NativeResult<Transfer> {
        let target = row.target.clone().unwrap_or_default();
        let target = QueueName::new(target).map_err(|_| damaged("dead-letter queue"))?;
        let moved_ttl = ttl(row.moved_ttl.ok_or_else(|| damaged("transfer"))?);
        let last_claim = row.last_claim()?;
        let message = row.message(source.incarnation, now)?;
        let message = MovedMessage {
            id: message.id,
            body: message.body,
            ttl: moved_ttl,
            claim_count: message.claim_count,
            posted_at: message.posted_at,
            checksum: message.checksum,
            source: source.key.name.clone(),
            last_claim,
        };
        Ok(Transfer { source, target, message, lease: self.lease })
    }
}

/// Removes a parked message whose transfer this lease holds.
#[derive(Debug)]
pub(crate) struct CompleteTransfer {
    pub(crate) source: QueueRef,
    pub(crate) id: MessageId,
    pub(crate) lease: LeaseId,
}

impl CompleteTransfer {
    /// Where the message stands, or stood, unless it was purged.
    async fn position(&self, step: &mut Step<'_>, head: &Head) -> NativeResult<Option<i64>> {
        let found = if self.id.incarnation() == self.source.incarnation {
            position(self.id.sequence())
        } else {
            let arrival = Query::id(arrival_key(head.q, self.id));
            step.find_one::<Arrival>(arrival).await?.map(|arrival| arrival.at)
        };
        Ok(found.filter(|position| *position > head.purged))
    }
}

/// The lease on a parked message.
#[derive(Debug, Deserialize)]
struct Parked {
    #[serde(rename = "_id")]
    key: String,
    lease: Option<String>,
}

#[async_trait]
impl Task for CompleteTransfer {
    type Output = ();
    const OPERATION: &'static str = "transfer_complete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head(&self.source).await?;
        let Some(position) = self.position(step, &head).await? else { return Ok(()) };
        let filter = doc! { "_id": message_key(head.q, position), "avail": PARKED };
        // Not parked: it was completed before.
        let Some(parked) = step.find_one::<Parked>(Query::of(filter)).await? else {
            return Ok(());
        };
        if parked.lease != Some(self.lease.to_string()) {
            return Err(lease_lost());
        }
        step.delete(DATA, doc! { "_id": parked.key }).await?;
        Ok(())
    }
}
