//! The outbox: entries written by posts, walked by subscriptions' cursors under leases.

use async_trait::async_trait;

use zaqar_core::{
    Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId, MessageId,
    OutboxBacklog, OutboxController, Page, PageLimit, QueueRef, Result, Timestamp, Transfer, Ttl,
};

use crate::error::{Failure, damaged};
use crate::layout::{STEP_ROWS_MAX, count_of, length_code, position_of, row_id};
use crate::payload;

use super::deliveries::{Complete, Lease, Renew};
use super::driver::MyData;
use super::heads::{check_rows, state};
use super::inserts::{Bound, insert};
use super::posts::Post;
use super::row::SqlRow;
use super::sql::sql;
use super::step::Step;
use super::sweep::ids;
use super::task::Task;
use super::told::Told;
use super::transfers::{CompleteTransfer, LeaseTransfers};

/// Writes the entries of posts, an entry each: in the posts' own step, so that they are there if and
/// only if the messages are (G13).
pub(crate) async fn record_posts(
    step: &mut Step<'_>,
    number: i64,
    stored: &[(&Post, i64)],
    bytes_max: usize,
) -> Result<(), sqlx::Error> {
    let payload = |(post, first): &(&Post, i64)| payload::write(*first, &post.messages, step.now);
    let payloads: Vec<String> = stored.iter().map(payload).collect();
    let mut rows = Vec::with_capacity(stored.len());
    for ((post, first), payload) in stored.iter().zip(&payloads) {
        rows.push([
            Bound::Int(row_id(number, *first)),
            Bound::Int(number),
            Bound::Int(first + length_code(post.messages.len()) - 1),
            Bound::text(payload),
        ]);
    }
    insert(step, "outbox (id, queue, last, payload)", &rows, bytes_max).await
}

/// Removes a step of entries that lie below every active cursor and have no retry left.
pub(crate) async fn trim(step: &mut Step<'_>, number: i64) -> Result<(), sqlx::Error> {
    trim_counted(step, number, STEP_ROWS_MAX).await?;
    Ok(())
}

/// Entries of queue `$1` that nobody needs at `$2`, up to `$3`; `$4` is the queue's row zero.
const NEEDLESS: &str = "SELECT o.id FROM outbox AS o FORCE INDEX (outbox_by_queue) \
     WHERE o.queue = $1 AND o.last < COALESCE((SELECT MIN(s.delivered) FROM subscriptions AS s \
         WHERE s.queue = $1 AND s.expires > $2 AND (s.confirmed OR NOT s.needs_confirmation)), \
       9223372036854775807) \
     AND NOT EXISTS (SELECT 1 FROM retries AS r FORCE INDEX (retries_by_position) \
       WHERE r.queue = $1 AND r.position BETWEEN o.id - $4 AND o.last) \
     ORDER BY o.last LIMIT $3";

/// What one look finds needless stays so: cursors only advance, and what is to be tried again was
/// not needless.
async fn trim_counted(step: &mut Step<'_>, number: i64, rows_max: i64) -> Result<u64, sqlx::Error> {
    let select = sql(NEEDLESS)
        .bind(number)
        .bind(step.now.as_millis())
        .bind(rows_max)
        .bind(row_id(number, 0));
    let rows = ids(&step.rows(select).await?)?;
    let trimmed = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    if trimmed > 0 {
        let delete = "DELETE o FROM outbox AS o FORCE INDEX (PRIMARY) WHERE o.id IN ($1)";
        step.later(sql(delete).bind(rows))?;
    }
    Ok(trimmed)
}

/// Every queue that has entries, with its latest: read by jumping from one to the next in the index.
macro_rules! queues_with_entries {
    () => {
        "(SELECT o.queue, MAX(o.last) AS newest FROM outbox AS o FORCE INDEX (outbox_by_queue) \
           GROUP BY o.queue) AS q"
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
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let select = sql(concat!("SELECT q.queue FROM ", queues_with_entries!()));
        for row in step.rows(select).await? {
            let number: i64 = row.try_get(0)?;
            // No lock on the head, for nobody is to wait for this. A subscription that the look does
            // not see was made under the head's lock after every entry that it does see, and is
            // entitled to none of them.
            let trimmed = trim_counted(step, number, self.rows_max).await?;
            if trimmed > 0 {
                return Ok(trimmed);
            }
        }
        Ok(0)
    }
}

/// Up to `$3` deliveries of queue `$1` behind number `$2` that were given up; [`exhausted`] reads them.
pub(super) const EXHAUSTED: &str = "SELECT number, message, subscriber, attempts, reason, at \
     FROM exhausted WHERE queue = $1 AND number > $2 ORDER BY number LIMIT $3";

#[async_trait]
impl OutboxController for MyData {
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
            let select = sql(EXHAUSTED).bind(number).bind(after).bind(i64::from(limit.get()));
            let answers = server.read_snapshot(OPERATION, vec![select, state(number)]).await?;
            check_rows(answers.rows(1), &queue).told(OPERATION)?;
            let items: Result<Vec<_>, _> = answers.rows(0).iter().map(exhausted).collect();
            let items = items.told(OPERATION)?;
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
            let select =
                sql("SELECT (SELECT count(*) FROM outbox), (SELECT count(*) FROM retries), \
                   (SELECT count(*) FROM exhausted), (SELECT count(*) FROM transfers)");
            let rows = server.read(OPERATION, select).await?;
            let Some(row) = rows.first() else { return Ok(OutboxBacklog::default()) };
            let count =
                |column: usize| row.try_get::<i64>(column).map(i64::unsigned_abs).told(OPERATION);
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

pub(super) fn exhausted(row: &SqlRow) -> Result<ExhaustedDelivery, sqlx::Error> {
    let message: &str = row.try_get(1)?;
    Ok(ExhaustedDelivery {
        number: row.try_get::<i64>(0)?.unsigned_abs(),
        message: message.parse().map_err(|_| damaged("message id"))?,
        subscriber: row.try_get(2)?,
        attempts: count_of(row.try_get(3)?),
        reason: row.try_get(4)?,
        at: Timestamp::from_millis(row.try_get(5)?),
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
