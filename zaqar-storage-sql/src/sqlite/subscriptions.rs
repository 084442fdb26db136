//! Subscriptions: the controller. Reads are here, changes in [`super::subscription_changes`].

use async_trait::async_trait;
use zaqar_core::{
    Created, Error, NewSubscription, Page, PageLimit, QueueRef, Result, Subscription,
    SubscriptionController, SubscriptionId, Timestamp, Ttl, UpdateSubscription,
};

use crate::error::damaged;
use crate::layout::ttl_of;

use super::driver::SqliteData;
use super::reader::{check_head, failed};
use super::statement::{Row, query};
use super::subscription_changes::{CollectEnded, Confirm, Create, Remove, Update};

/// The columns of a subscription `s`; [`subscription`] reads them.
macro_rules! subscription_columns {
    () => {
        "s.number, s.subscriber, s.ttl, s.created, s.expires, s.options, s.confirmed, \
         s.needs_confirmation, s.since, s.owner"
    };
}
pub(crate) use subscription_columns;

/// Reads a subscription whose columns start at `offset`.
pub(crate) fn subscription(
    row: &Row,
    offset: usize,
    queue: &QueueRef,
    now: Timestamp,
) -> Result<Subscription, sqlx::Error> {
    let number: i64 = row.try_get(offset)?;
    let id = SubscriptionId::new(queue.incarnation, number.unsigned_abs())
        .map_err(|_| damaged("subscription number"))?;
    let options: &str = row.try_get(offset + 5)?;
    Ok(Subscription {
        id,
        subscriber: row.try_get(offset + 1)?,
        ttl: ttl_of(row.try_get(offset + 2)?),
        age_s: now.seconds_since(Timestamp::from_millis(row.try_get(offset + 3)?)),
        expires_at: Timestamp::from_millis(row.try_get(offset + 4)?),
        options: serde_json::from_str(options).map_err(|_| damaged("subscription options"))?,
        confirmed: row.try_get(offset + 6)?,
        needs_confirmation: row.try_get(offset + 7)?,
        since: row.try_get::<i64>(offset + 8)?.unsigned_abs(),
        owner: row.try_get(offset + 9)?,
    })
}

/// The local number of a subscription; `None` if the id is another queue's.
pub(crate) fn number_of(queue: &QueueRef, id: SubscriptionId) -> Option<i64> {
    // Another queue's id is not found, whatever its number (G12).
    let own = id.incarnation() == queue.incarnation;
    own.then(|| i64::try_from(id.sequence()).ok()).flatten()
}

impl SqliteData {
    /// Collects ended subscriptions and what is left in outboxes.
    pub(crate) async fn collect_subscriptions(&self, margin: Ttl, rows_max: i64) -> Result<u64> {
        let ended = self.housekeep(CollectEnded { margin, rows_max }).await?;
        if ended > 0 {
            return Ok(ended);
        }
        self.housekeep(super::outbox::TrimAll { rows_max }).await
    }

    async fn read_one(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        select: super::statement::Statement,
    ) -> Result<Option<Subscription>> {
        let now = self.store.clock.now();
        let rows = self.store.reader.rows_of_queue(operation, queue, select).await?;
        let found = rows.first().map(|row| subscription(row, 1, queue, now)).transpose();
        found.map_err(|error| failed(operation, error))
    }
}

#[async_trait]
impl SubscriptionController for SqliteData {
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        new: NewSubscription,
    ) -> Result<Created<Subscription>> {
        self.run(&queue.key.project, Create { queue: queue.clone(), new }).await
    }

    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        const OPERATION: &str = "subscription_list";
        let number = self.store.reader.number(OPERATION, queue).await?;
        let now = self.store.clock.now();
        let after = marker.and_then(|id| number_of(queue, id)).unwrap_or(0);
        let select = query(concat!(
            "SELECT 0, ",
            subscription_columns!(),
            " FROM subscriptions AS s WHERE queue = ? AND number > ? AND expires > ? \
             ORDER BY number LIMIT ?",
            check_head!()
        ))
        .bind(number)
        .bind(after)
        .bind(now.as_millis())
        .bind(i64::from(limit.get()))
        .bind(number);
        let rows = self.store.reader.rows_of_queue(OPERATION, queue, select).await?;
        let items: Result<Vec<_>, _> =
            rows.iter().map(|row| subscription(row, 1, queue, now)).collect();
        let items = items.map_err(|error| failed(OPERATION, error))?;
        Ok(Page::of(items, |subscription| subscription.id))
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        const OPERATION: &str = "subscription_get";
        let number = self.store.reader.number(OPERATION, queue).await?;
        let select = query(concat!(
            "SELECT 0, ",
            subscription_columns!(),
            " FROM subscriptions AS s WHERE queue = ? AND number = ? AND expires > ?",
            check_head!()
        ))
        .bind(number)
        .bind(number_of(queue, id))
        .bind(self.store.clock.now().as_millis())
        .bind(number);
        let found = self.read_one(OPERATION, queue, select).await?;
        found.ok_or(Error::SubscriptionNotFound { id })
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        const OPERATION: &str = "subscription_find";
        let number = self.store.reader.number(OPERATION, queue).await?;
        let select = query(concat!(
            "SELECT 0, ",
            subscription_columns!(),
            " FROM subscriptions AS s WHERE queue = ? AND subscriber = ? AND expires > ?",
            check_head!()
        ))
        .bind(number)
        .bind(subscriber.to_owned())
        .bind(self.store.clock.now().as_millis())
        .bind(number);
        self.read_one(OPERATION, queue, select).await
    }

    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()> {
        self.run(&queue.key.project, Update { queue: queue.clone(), id, changes }).await
    }

    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()> {
        self.run(&queue.key.project, Confirm { queue: queue.clone(), id, confirmed }).await
    }

    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()> {
        self.run(&queue.key.project, Remove { queue: queue.clone(), id: Some(id) }).await
    }

    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()> {
        self.run(&queue.key.project, Remove { queue: queue.clone(), id: None }).await
    }
}
