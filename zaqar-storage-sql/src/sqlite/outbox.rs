//! The outbox: entries written by posts, walked by subscriptions' cursors under leases.

use async_trait::async_trait;
use serde_json::{Value, json};
use zaqar_core::{
    Body, Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId, MessageId,
    NewMessage, OutboxBacklog, OutboxController, OutboxMessage, Page, PageLimit, QueueRef, Result,
    Timestamp, Transfer, Ttl,
};

use crate::error::{Failure, damaged};
use crate::layout::{STEP_ROWS_MAX, count_of, message_id, position_of, row_id, ttl_code};

use super::deliveries::{Complete, Lease, Renew};
use super::driver::SqliteData;
use super::reader::{check_head, failed};
use super::statement::{Row, query};
use super::step::Step;
use super::task::Task;
use super::transfers::{CompleteTransfer, LeaseTransfers};

/// Writes the entry of a post: in the post's own step, so that it is there if and only if the
/// messages are (G13). It keeps the bodies, for a consumer may delete the messages at once.
pub(crate) async fn record_post(
    step: &mut Step<'_>,
    number: i64,
    first: i64,
    messages: &[NewMessage],
) -> Result<(), sqlx::Error> {
    let entries: Vec<Value> = (first..)
        .zip(messages)
        .map(|(position, message)| {
            json!([
                position,
                message.ttl.as_secs(),
                message.delay.as_secs(),
                step.now.as_millis(),
                message.body.as_str(),
            ])
        })
        .collect();
    let last = first + i64::try_from(messages.len()).unwrap_or(1) - 1;
    let insert = query("INSERT INTO outbox (id, queue, last, payload) VALUES (?, ?, ?, ?)")
        .bind(row_id(number, first))
        .bind(number)
        .bind(last)
        .bind(Value::Array(entries).to_string());
    step.execute(insert).await?;
    Ok(())
}

/// Reads the messages of an entry, with their positions.
pub(crate) fn read_entry(
    queue: &QueueRef,
    payload: &str,
) -> Result<Vec<(i64, OutboxMessage)>, sqlx::Error> {
    type Entry = (i64, u64, u64, i64, String);
    let entries: Vec<Entry> = serde_json::from_str(payload).map_err(|_| damaged("outbox entry"))?;
    let read = |(position, ttl, delay, posted, body): Entry| {
        let id = message_id(queue.incarnation, position).map_err(|_| damaged("outbox entry"))?;
        let message = OutboxMessage {
            id,
            body: Body::from_checked(body),
            ttl: Ttl::from_secs_clamped(ttl),
            delay: Ttl::from_secs_clamped(delay),
            posted_at: Timestamp::from_millis(posted),
            attempts: 0,
        };
        Ok((position, message))
    };
    entries.into_iter().map(read).collect()
}

/// Removes a step of entries that lie below every active cursor and have no retry left.
pub(crate) async fn trim(step: &mut Step<'_>, number: i64) -> Result<(), sqlx::Error> {
    trim_counted(step, number, STEP_ROWS_MAX).await?;
    Ok(())
}

async fn trim_counted(step: &mut Step<'_>, number: i64, rows_max: i64) -> Result<u64, sqlx::Error> {
    let delete = query(
        "DELETE FROM outbox WHERE id IN (SELECT o.id FROM outbox AS o INDEXED BY outbox_by_queue \
           WHERE o.queue = ?1 AND o.last < coalesce((SELECT min(cursor) FROM subscriptions \
               WHERE queue = ?1 AND expires > ?2 AND (confirmed OR NOT needs_confirmation)), \
             9223372036854775807) \
           AND NOT EXISTS (SELECT 1 FROM retries AS r WHERE r.queue = ?1 \
             AND r.position BETWEEN o.id & 34359738367 AND o.last) \
           ORDER BY o.last LIMIT ?3)",
    )
    .bind(number)
    .bind(step.now.as_millis())
    .bind(rows_max);
    step.execute(delete).await
}

/// Trims the outboxes one after the other: a step of one queue at a time.
#[derive(Debug)]
pub(crate) struct TrimAll {
    pub(crate) rows_max: i64,
}

#[async_trait]
impl Task for TrimAll {
    type Output = u64;
    const OPERATION: &'static str = "gc";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let select = query(
            "WITH RECURSIVE q (queue) AS (SELECT min(queue) FROM outbox UNION ALL \
               SELECT (SELECT min(queue) FROM outbox WHERE queue > q.queue) FROM q \
               WHERE q.queue IS NOT NULL) \
             SELECT queue FROM q WHERE queue IS NOT NULL",
        );
        for row in step.rows(select).await? {
            let trimmed = trim_counted(step, row.try_get(0)?, self.rows_max).await?;
            if trimmed > 0 {
                return Ok(trimmed);
            }
        }
        Ok(0)
    }
}

#[async_trait]
impl OutboxController for SqliteData {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.housekeep(Lease { options }).await
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        let task = Complete { delivery: delivery.clone(), outcomes: outcomes.to_vec(), release };
        self.run(&delivery.queue.key.project, task).await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        let task = Renew { delivery: delivery.clone(), ttl };
        self.run(&delivery.queue.key.project, task).await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        const OPERATION: &str = "delivery_list_exhausted";
        let number = self.store.reader.number(OPERATION, queue).await?;
        let after = i64::try_from(marker.unwrap_or(0)).unwrap_or(i64::MAX);
        let select = query(concat!(
            "SELECT 0, number, message, subscriber, attempts, reason, at FROM exhausted \
             WHERE queue = ? AND number > ? ORDER BY number LIMIT ?",
            check_head!()
        ))
        .bind(number)
        .bind(after)
        .bind(i64::from(limit.get()))
        .bind(number);
        let rows = self.store.reader.rows_of_queue(OPERATION, queue, select).await?;
        let items: Result<Vec<_>, sqlx::Error> = rows.iter().map(exhausted).collect();
        let items = items.map_err(|error| failed(OPERATION, error))?;
        Ok(Page::of(items, |record| record.number))
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        self.housekeep(LeaseTransfers { queue: queue.cloned(), lease, ttl, limit }).await
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        let task = CompleteTransfer {
            source: transfer.source.clone(),
            id: transfer.message.id,
            lease: transfer.lease,
        };
        self.run(&transfer.source.key.project, task).await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        const OPERATION: &str = "outbox_backlog";
        let select = query(
            "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM retries), \
               (SELECT count(*) FROM exhausted), (SELECT count(*) FROM transfers)",
        );
        let rows = self.store.reader.rows(OPERATION, select).await?;
        let Some(row) = rows.first() else { return Ok(OutboxBacklog::default()) };
        let count = |column: usize| {
            let count = row.try_get::<i64>(column).map(i64::unsigned_abs);
            count.map_err(|error| failed(OPERATION, error))
        };
        Ok(OutboxBacklog {
            entries: count(0)?,
            retries: count(1)?,
            exhausted: count(2)?,
            transfers: count(3)?,
        })
    }
}

/// Reads a delivery that was given up; its columns are behind one that is not its own.
pub(super) fn exhausted(row: &Row) -> Result<ExhaustedDelivery, sqlx::Error> {
    let message: &str = row.try_get(2)?;
    Ok(ExhaustedDelivery {
        number: row.try_get::<i64>(1)?.unsigned_abs(),
        message: message.parse().map_err(|_| damaged("message id"))?,
        subscriber: row.try_get(3)?,
        attempts: count_of(row.try_get(4)?),
        reason: row.try_get(5)?,
        at: Timestamp::from_millis(row.try_get(6)?),
    })
}

/// The refusal of work whose lease is over or another's.
pub(crate) fn lease_lost() -> Failure {
    Error::LeaseLost.into()
}

/// The position of an own message in its queue.
pub(crate) fn own_position(id: MessageId) -> i64 {
    position_of(i64::try_from(id.sequence()).unwrap_or(0))
}

/// The end of a lease that starts now.
pub(crate) fn lease_end(step: &Step<'_>, ttl: Ttl) -> i64 {
    debug_assert!(ttl_code(ttl) >= 0, "a span");
    step.now.after(ttl).as_millis()
}
