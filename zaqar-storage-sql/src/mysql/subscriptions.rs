//! Subscriptions: the controller. Reads are here, changes in [`super::subscription_changes`].

use std::sync::Arc;

use async_trait::async_trait;

use zaqar_core::{
    Created, Error, NewSubscription, Page, PageLimit, QueueRef, Result, Subscription,
    SubscriptionController, SubscriptionId, Timestamp, Ttl, UpdateSubscription,
};

use crate::error::damaged;
use crate::layout::ttl_of;

use super::driver::MyData;
use super::heads::{check_rows, state};
use super::row::SqlRow;
use super::server::Server;
use super::sql::{Sql, sql};
use super::subscription_changes::{CollectEnded, Confirm, Create, Remove, Update};
use super::told::Told;

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
    row: &SqlRow,
    offset: usize,
    queue: &QueueRef,
    now: Timestamp,
) -> Result<Option<Subscription>, sqlx::Error> {
    let Some(number) = row.try_get::<Option<i64>>(offset)? else { return Ok(None) };
    let id = SubscriptionId::new(queue.incarnation, number.unsigned_abs())
        .map_err(|_| damaged("subscription number"))?;
    let options: &str = row.try_get(offset + 5)?;
    Ok(Some(Subscription {
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
    }))
}

/// The local number of a subscription; `None` if the id is another queue's.
pub(crate) fn number_of(queue: &QueueRef, id: SubscriptionId) -> Option<i64> {
    // Another queue's id is not found, whatever its number (G12).
    let own = id.incarnation() == queue.incarnation;
    own.then(|| i64::try_from(id.sequence()).ok()).flatten()
}

impl MyData {
    /// Collects ended subscriptions and what is left in outboxes.
    pub(crate) async fn collect_subscriptions(&self, margin: Ttl, rows_max: i64) -> Result<u64> {
        let ended = self.housekeep_task(CollectEnded { margin, rows_max }).await?;
        if ended > 0 {
            return Ok(ended);
        }
        self.housekeep_task(super::outbox::TrimAll { rows_max }).await
    }

    /// Reads the subscriptions that a statement finds.
    async fn read_some(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        make: impl FnOnce(i64, Timestamp) -> Sql + Send + 'static,
    ) -> Result<Vec<Subscription>> {
        let work = move |server: Arc<Server>, queue: QueueRef| async move {
            let number = server.number(operation, &queue).await?;
            let now = server.clock.now();
            let script = vec![make(number, now), state(number)];
            let answers = server.read_snapshot(operation, script).await?;
            check_rows(answers.rows(1), &queue).told(operation)?;
            let read = |row| subscription(row, 0, &queue, now);
            let found: Result<Vec<Option<_>>, _> = answers.rows(0).iter().map(read).collect();
            Ok(found.told(operation)?.into_iter().flatten().collect())
        };
        self.at(operation, queue, work).await
    }
}

/// Live subscriptions of queue `$1` at moment `$2` that meet a condition on `s`.
macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT ",
            subscription_columns!(),
            " FROM subscriptions AS s WHERE s.queue = $1 AND s.expires > $2 AND ",
            $condition
        )
    };
}

const LIST: &str = select!("s.number > $3 ORDER BY s.number LIMIT $4");
const GET: &str = select!("s.number = $3");
const FIND: &str = select!("s.subscriber = $3");

#[async_trait]
impl SubscriptionController for MyData {
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        new: NewSubscription,
    ) -> Result<Created<Subscription>> {
        self.run(queue, Create { queue: queue.clone(), new }).await
    }

    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        let after = marker.and_then(|id| number_of(queue, id)).unwrap_or(0);
        let make = move |number: i64, now: Timestamp| {
            let select = sql(LIST).bind(number).bind(now.as_millis());
            select.bind(after).bind(i64::from(limit.get()))
        };
        let items = self.read_some("subscription_list", queue, make).await?;
        Ok(Page::of(items, |subscription| subscription.id))
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        let which = number_of(queue, id);
        let make = move |number: i64, now: Timestamp| {
            sql(GET).bind(number).bind(now.as_millis()).bind(which)
        };
        let found = self.read_some("subscription_get", queue, make).await?;
        found.into_iter().next().ok_or(Error::SubscriptionNotFound { id })
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        let subscriber = subscriber.to_owned();
        let make = move |number: i64, now: Timestamp| {
            sql(FIND).bind(number).bind(now.as_millis()).bind(subscriber)
        };
        let found = self.read_some("subscription_find", queue, make).await?;
        Ok(found.into_iter().next())
    }

    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()> {
        self.run(queue, Update { queue: queue.clone(), id, changes }).await
    }

    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()> {
        self.run(queue, Confirm { queue: queue.clone(), id, confirmed }).await
    }

    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()> {
        self.run(queue, Remove { queue: queue.clone(), id: Some(id) }).await
    }

    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, Remove { queue: queue.clone(), id: None }).await
    }
}
