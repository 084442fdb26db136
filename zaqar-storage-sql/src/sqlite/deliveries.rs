//! Leasing deliveries and recording what became of them.

use std::collections::HashMap;

use async_trait::async_trait;
use zaqar_core::{
    Delivery, DeliveryOutcome, Error, Incarnation, LeaseDeliveries, MessageId, OutboxMessage,
    ProjectId, QueueKey, QueueKind, QueueName, QueueRef, Ttl,
};

use crate::error::{Failure, damaged};
use crate::layout::count_of;

use super::heads::Head;
use super::outbox::{lease_end, lease_lost, own_position, read_entry, trim};
use super::statement::{Row, query};
use super::step::Step;
use super::subscriptions::{subscription, subscription_columns};
use super::task::Task;

/// The queue that a row describes in five columns: incarnation, project, kind, name, epoch.
pub(crate) fn queue_ref(row: &Row, offset: usize) -> Result<QueueRef, sqlx::Error> {
    let bad = |_| damaged("queue head");
    let number: i64 = row.try_get(offset)?;
    let incarnation = Incarnation::new(number.unsigned_abs()).map_err(bad)?;
    let project = ProjectId::new(row.try_get::<&str>(offset + 1)?).map_err(bad)?;
    let kind = match row.try_get::<i64>(offset + 2)? {
        0 => QueueKind::Queue,
        _ => QueueKind::Topic,
    };
    let name = QueueName::new(row.try_get::<&str>(offset + 3)?).map_err(bad)?;
    let epoch = row.try_get::<i64>(offset + 4)?.unsigned_abs();
    Ok(QueueKey { project, kind, name }.incarnate(incarnation).at_epoch(epoch))
}

/// Leases subscriptions that have something to deliver.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) options: LeaseDeliveries,
}

const SELECT_DUE: &str = concat!(
    // Every due retry keeps its entry, so queues with entries are all there are.
    "WITH RECURSIVE q (queue) AS (SELECT min(queue) FROM outbox UNION ALL \
       SELECT (SELECT min(queue) FROM outbox WHERE queue > q.queue) FROM q \
       WHERE q.queue IS NOT NULL) \
     SELECT h.incarnation, h.project, h.kind, h.name, h.epoch, s.queue, s.cursor, ",
    subscription_columns!(),
    " FROM q CROSS JOIN heads AS h ON h.number = q.queue AND h.state < 2 \
       CROSS JOIN subscriptions AS s ON s.queue = q.queue \
     WHERE q.queue IS NOT NULL AND s.expires > ?1 AND (s.confirmed OR NOT s.needs_confirmation) \
       AND s.lease_ends <= ?1 AND (s.owner IS NULL OR s.owner = ?2) \
       AND (EXISTS (SELECT 1 FROM outbox AS o WHERE o.queue = s.queue AND o.last >= s.cursor) \
         OR EXISTS (SELECT 1 FROM retries AS r WHERE r.queue = s.queue \
              AND r.subscription = s.number AND r.not_before <= ?1)) \
     LIMIT ?3"
);

#[async_trait]
impl Task for Lease {
    type Output = Vec<Delivery>;
    const OPERATION: &'static str = "delivery_lease";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Vec<Delivery>, Failure> {
        let select = query(SELECT_DUE)
            .bind(step.now.as_millis())
            .bind(self.options.owner.clone())
            .bind(i64::from(self.options.subscriptions_max.get()));
        let mut deliveries = Vec::new();
        for row in step.rows(select).await? {
            let queue = queue_ref(&row, 0)?;
            let (number, cursor): (i64, i64) = (row.try_get(5)?, row.try_get(6)?);
            let which: i64 = row.try_get(7)?;
            let subscription = subscription(&row, 7, &queue, step.now)?;
            let mut messages = self.due_retries(step, &queue, number, which).await?;
            let room = self.options.messages_max.as_usize().saturating_sub(messages.len());
            messages.extend(new_messages(step, &queue, number, cursor, room).await?);
            let hold = query(
                "UPDATE subscriptions SET lease = ?, lease_ends = ? WHERE queue = ? AND number = ?",
            )
            .bind(self.options.lease.as_bytes().to_vec())
            .bind(lease_end(step, self.options.ttl))
            .bind(number)
            .bind(which);
            step.execute(hold).await?;
            let lease = self.options.lease;
            deliveries.push(Delivery { queue, subscription, lease, messages });
        }
        Ok(deliveries)
    }
}

impl Lease {
    async fn due_retries(
        &self,
        step: &mut Step<'_>,
        queue: &QueueRef,
        number: i64,
        which: i64,
    ) -> Result<Vec<OutboxMessage>, sqlx::Error> {
        let select = query(
            "SELECT r.position, r.attempts, (SELECT payload FROM outbox AS o \
               WHERE o.queue = r.queue AND o.last >= r.position ORDER BY o.last LIMIT 1) \
             FROM retries AS r \
             WHERE r.queue = ? AND r.subscription = ? AND r.not_before <= ? \
             ORDER BY r.position LIMIT ?",
        )
        .bind(number)
        .bind(which)
        .bind(step.now.as_millis())
        .bind(i64::from(self.options.messages_max.get()));
        let mut messages = Vec::new();
        for row in step.rows(select).await? {
            let position: i64 = row.try_get(0)?;
            let payload = row.try_get::<Option<&str>>(2)?.ok_or_else(|| damaged("retry"))?;
            let mut entry = read_entry(queue, payload)?.into_iter();
            let (_, mut message) =
                entry.find(|(at, _)| *at == position).ok_or_else(|| damaged("retry"))?;
            message.attempts = count_of(row.try_get(1)?);
            messages.push(message);
        }
        Ok(messages)
    }
}

/// The messages from the cursor on, up to `room`.
async fn new_messages(
    step: &mut Step<'_>,
    queue: &QueueRef,
    number: i64,
    cursor: i64,
    room: usize,
) -> Result<Vec<OutboxMessage>, sqlx::Error> {
    if room == 0 {
        return Ok(Vec::new());
    }
    // Every entry holds at least one message, so `room` entries are enough.
    let select = query(
        "SELECT payload FROM outbox INDEXED BY outbox_by_queue \
         WHERE queue = ? AND last >= ? ORDER BY last LIMIT ?",
    )
    .bind(number)
    .bind(cursor)
    .bind(i64::try_from(room).unwrap_or(i64::MAX));
    let mut messages = Vec::new();
    for row in step.rows(select).await? {
        let entry = read_entry(queue, row.try_get(0)?)?;
        messages.extend(entry.into_iter().filter(|(at, _)| *at >= cursor).map(|(_, m)| m));
    }
    messages.truncate(room);
    Ok(messages)
}

/// The subscription's number, cursor and what it retries, if the lease still holds it.
struct Held {
    head: Head,
    number: i64,
    cursor: i64,
    retries: HashMap<i64, i64>,
}

async fn held(step: &mut Step<'_>, delivery: &Delivery) -> Result<Held, Failure> {
    let head = step.head(&delivery.queue).await?;
    let number = i64::try_from(delivery.subscription.id.sequence()).unwrap_or(0);
    let select = query(
        "SELECT cursor FROM subscriptions \
         WHERE queue = ? AND number = ? AND lease = ? AND lease_ends > ?",
    )
    .bind(head.number)
    .bind(number)
    .bind(delivery.lease.as_bytes().to_vec())
    .bind(step.now.as_millis());
    let cursor = step.row(select).await?.ok_or_else(lease_lost)?.try_get(0)?;
    let select =
        query("SELECT position, attempts FROM retries WHERE queue = ? AND subscription = ?");
    let mut retries = HashMap::new();
    for row in step.rows(select.bind(head.number).bind(number)).await? {
        retries.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(Held { head, number, cursor, retries })
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
        for (message, outcome) in self.delivery.pair(&self.outcomes)? {
            self.record(step, &held, message, outcome).await?;
        }
        let advance = query(
            "UPDATE subscriptions SET cursor = ?, \
               lease = CASE WHEN ? THEN NULL ELSE lease END, \
               lease_ends = CASE WHEN ? THEN 0 ELSE lease_ends END \
             WHERE queue = ? AND number = ?",
        )
        .bind(cursor)
        .bind(self.release)
        .bind(self.release)
        .bind(held.head.number)
        .bind(held.number);
        step.execute(advance).await?;
        trim(step, held.head.number).await?;
        Ok(())
    }
}

impl Complete {
    /// How far the cursor moves: past a prefix of the new messages, never over one left out.
    fn cursor_after(&self, held: &Held) -> Result<i64, Failure> {
        let told: HashMap<MessageId, &DeliveryOutcome> =
            self.outcomes.iter().map(|(id, outcome)| (*id, outcome)).collect();
        let mut cursor = held.cursor;
        let mut skipped = false;
        for message in &self.delivery.messages {
            let position = own_position(message.id);
            if held.retries.contains_key(&position) || position < held.cursor {
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

    async fn record(
        &self,
        step: &mut Step<'_>,
        held: &Held,
        message: &OutboxMessage,
        outcome: &DeliveryOutcome,
    ) -> Result<(), sqlx::Error> {
        let (position, before) = (own_position(message.id), i64::from(message.attempts));
        // An earlier call under this lease may have recorded it: nothing counts twice.
        let is_recorded = match held.retries.get(&position) {
            None => position < held.cursor,
            Some(attempts) => *attempts > before,
        };
        if is_recorded {
            return Ok(());
        }
        let attempts = before + 1;
        match outcome {
            DeliveryOutcome::Retry { not_before } => {
                let keep = query(
                    "INSERT OR REPLACE INTO retries \
                       (queue, subscription, position, attempts, not_before) VALUES (?, ?, ?, ?, ?)",
                )
                .bind(held.head.number)
                .bind(held.number)
                .bind(position)
                .bind(attempts)
                .bind(not_before.as_millis());
                step.execute(keep).await?;
                return Ok(());
            }
            DeliveryOutcome::Exhausted { reason } => {
                self.record_exhausted(step, held, message.id, attempts, reason).await?;
            }
            DeliveryOutcome::Delivered => {}
        }
        let settled =
            query("DELETE FROM retries WHERE queue = ? AND subscription = ? AND position = ?");
        let settled = settled.bind(held.head.number).bind(held.number).bind(position);
        step.execute(settled).await?;
        Ok(())
    }

    async fn record_exhausted(
        &self,
        step: &mut Step<'_>,
        held: &Held,
        id: MessageId,
        attempts: i64,
        reason: &str,
    ) -> Result<(), sqlx::Error> {
        let take = query(
            "UPDATE heads SET exhausted_next = exhausted_next + 1 WHERE number = ? \
             RETURNING exhausted_next - 1",
        );
        let row = step.row(take.bind(held.head.number)).await?;
        let number: i64 = row.ok_or_else(|| damaged("queue head"))?.try_get(0)?;
        let keep = query(
            "INSERT INTO exhausted (queue, number, message, subscriber, attempts, reason, at) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(held.head.number)
        .bind(number)
        .bind(id.to_string())
        .bind(self.delivery.subscription.subscriber.clone())
        .bind(attempts)
        .bind(reason.to_owned())
        .bind(step.now.as_millis());
        step.execute(keep).await?;
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
        let renew = query("UPDATE subscriptions SET lease_ends = ? WHERE queue = ? AND number = ?")
            .bind(lease_end(step, self.ttl))
            .bind(held.head.number)
            .bind(held.number);
        step.execute(renew).await?;
        Ok(())
    }
}
