//! The outbox: entries written by posts, walked by subscriptions' cursors under leases.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{
    Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId, MessageId,
    OutboxBacklog, OutboxController, Page, PageLimit, QueueRef, Result, Timestamp, Transfer, Ttl,
};

use crate::error::{Failure, damaged};
use crate::layout::{STEP_ROWS_MAX, count_of, length_code, position_of, row_id};
use crate::payload;

use super::deliveries::{Complete, Lease, Renew};
use super::driver::PgData;
use super::heads::check_rows;
use super::posts::Post;
use super::step::Step;
use super::task::Task;
use super::told::Told;
use super::transfers::{CompleteTransfer, LeaseTransfers};

/// Writes the entries of posts, an entry each: in the posts' own step, so that they are there if and
/// only if the messages are (G13).
pub(crate) async fn record_posts(
    step: &mut Step<'_>,
    number: i64,
    stored: &[(&Post, i64)],
) -> Result<(), sqlx::Error> {
    let (mut ids, mut lasts, mut payloads) = (Vec::new(), Vec::new(), Vec::new());
    for (post, first) in stored {
        ids.push(row_id(number, *first));
        lasts.push(first + length_code(post.messages.len()) - 1);
        payloads.push(payload::write(*first, &post.messages, step.now));
    }
    let insert = sqlx::query(
        "INSERT INTO outbox (id, queue, last, payload) SELECT u.id, $1, u.last, u.payload \
         FROM unnest($2::bigint[], $3::bigint[], $4::text[]) AS u (id, last, payload)",
    )
    .bind(number)
    .bind(ids)
    .bind(lasts)
    .bind(payloads);
    step.execute(insert).await?;
    Ok(())
}

/// Removes a step of entries that lie below every active cursor and have no retry left.
pub(crate) async fn trim(step: &mut Step<'_>, number: i64) -> Result<(), sqlx::Error> {
    trim_counted(step, number, STEP_ROWS_MAX).await?;
    Ok(())
}

async fn trim_counted(step: &mut Step<'_>, number: i64, rows_max: i64) -> Result<u64, sqlx::Error> {
    let delete = sqlx::query(
        "DELETE FROM outbox WHERE id = ANY (ARRAY(SELECT o.id FROM outbox AS o \
           WHERE o.queue = $1 AND o.last < coalesce((SELECT min(cursor) FROM subscriptions \
               WHERE queue = $1 AND expires > $2 AND (confirmed OR NOT needs_confirmation)), \
             9223372036854775807) \
           AND NOT EXISTS (SELECT 1 FROM retries AS r WHERE r.queue = $1 \
             AND r.position BETWEEN o.id & 34359738367 AND o.last) \
           ORDER BY o.last LIMIT $3))",
    )
    .bind(number)
    .bind(step.now.as_millis())
    .bind(rows_max);
    step.execute(delete).await
}

/// Every queue that has entries, jumping from one to the next in the index.
macro_rules! queues_with_entries {
    () => {
        "WITH RECURSIVE q (queue) AS ((SELECT queue FROM outbox ORDER BY queue LIMIT 1) UNION ALL \
           SELECT (SELECT o.queue FROM outbox AS o WHERE o.queue > q.queue \
             ORDER BY o.queue LIMIT 1) FROM q WHERE q.queue IS NOT NULL) "
    };
}
pub(crate) use queues_with_entries;

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
        let select = sqlx::query(concat!(
            queues_with_entries!(),
            "SELECT queue FROM q WHERE queue IS NOT NULL"
        ));
        for row in step.rows(select).await? {
            let number: i64 = row.try_get(0)?;
            // No lock on the head, for nobody is to wait for this. A subscription that the statement
            // does not see was made under the head's lock after every entry that it does see, and
            // is entitled to none of them.
            let trimmed = trim_counted(step, number, self.rows_max).await?;
            if trimmed > 0 {
                return Ok(trimmed);
            }
        }
        Ok(0)
    }
}

const EXHAUSTED: &str = "SELECT h.state, h.epoch, \
       e.number, e.message, e.subscriber, e.attempts, e.reason, e.at \
     FROM heads AS h LEFT JOIN LATERAL (SELECT * FROM exhausted AS x \
       WHERE x.queue = h.number AND x.number > $2 ORDER BY x.number LIMIT $3) AS e ON true \
     WHERE h.number = $1 ORDER BY e.number";

#[async_trait]
impl OutboxController for PgData {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.housekeep_task(Lease { options }).await
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
        let after = i64::try_from(marker.unwrap_or(0)).unwrap_or(i64::MAX);
        let work = move |server: std::sync::Arc<super::server::Server>, queue| async move {
            let number = server.number(OPERATION, &queue).await?;
            let select =
                sqlx::query(EXHAUSTED).bind(number).bind(after).bind(i64::from(limit.get()));
            let rows = server.read(OPERATION, select).await?;
            check_rows(&rows, &queue).told(OPERATION)?;
            let items: Result<Vec<Option<_>>, _> = rows.iter().map(exhausted).collect();
            let items = items.told(OPERATION)?.into_iter().flatten().collect();
            Ok(Page::of(items, |record: &ExhaustedDelivery| record.number))
        };
        self.at(OPERATION, queue, work).await
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        self.housekeep_task(LeaseTransfers { queue: queue.cloned(), lease, ttl, limit }).await
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
        self.housekeep(OPERATION, |server| async move {
            let select = sqlx::query(
                "SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM retries), \
                   (SELECT count(*) FROM exhausted), (SELECT count(*) FROM transfers)",
            );
            let rows = server.read(OPERATION, select).await?;
            let Some(row) = rows.first() else { return Ok(OutboxBacklog::default()) };
            let count = |column: usize| {
                row.try_get::<i64, _>(column).map(i64::unsigned_abs).told(OPERATION)
            };
            Ok(OutboxBacklog {
                entries: count(0)?,
                retries: count(1)?,
                exhausted: count(2)?,
                transfers: count(3)?,
            })
        })
        .await
    }
}

/// Reads a delivery that was given up; its columns are behind the head's state and epoch.
pub(super) fn exhausted(row: &PgRow) -> Result<Option<ExhaustedDelivery>, sqlx::Error> {
    let Some(number) = row.try_get::<Option<i64>, _>(2)? else { return Ok(None) };
    let message: &str = row.try_get(3)?;
    Ok(Some(ExhaustedDelivery {
        number: number.unsigned_abs(),
        message: message.parse().map_err(|_| damaged("message id"))?,
        subscriber: row.try_get(4)?,
        attempts: count_of(row.try_get(5)?),
        reason: row.try_get(6)?,
        at: Timestamp::from_millis(row.try_get(7)?),
    }))
}

/// The refusal of work whose lease is over or another's.
pub(crate) fn lease_lost() -> Failure {
    Error::LeaseLost.into()
}

/// The position of an own message in its queue.
pub(crate) fn own_position(id: MessageId) -> i64 {
    position_of(i64::try_from(id.sequence()).unwrap_or(0))
}
