//! Changes to subscriptions: tasks that have the queue head in their step, so that a post either
//! sees a change or does not.

use async_trait::async_trait;
use sqlx::Row;
use zaqar_core::{
    Created, Error, NewSubscription, QueueRef, Result, Subscription, SubscriptionId, Ttl,
    UpdateSubscription,
};

use crate::error::{Failure, damaged};
use crate::layout::{STEP_ROWS_MAX, ttl_code};

use super::heads::Head;
use super::step::Step;
use super::subscriptions::{number_of, subscription, subscription_columns};
use super::task::Task;

fn not_found(id: SubscriptionId) -> Failure {
    Error::SubscriptionNotFound { id }.into()
}

const SELECT_ONE: &str = concat!(
    "SELECT ",
    subscription_columns!(),
    " FROM subscriptions AS s WHERE queue = $1 AND number = $2 AND expires > $3"
);

async fn find(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
    id: SubscriptionId,
) -> Result<(i64, Subscription), Failure> {
    let number = number_of(queue, id).ok_or_else(|| not_found(id))?;
    let select = sqlx::query(SELECT_ONE).bind(head.number).bind(number);
    let row = step.row(select.bind(step.now.as_millis())).await?;
    let row = row.ok_or_else(|| not_found(id))?;
    let found = subscription(&row, 0, queue, step.now)?;
    Ok((number, found.ok_or_else(|| not_found(id))?))
}

async fn find_by_subscriber(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
    subscriber: &str,
) -> Result<Option<(i64, Subscription)>, sqlx::Error> {
    let select = sqlx::query(concat!(
        "SELECT ",
        subscription_columns!(),
        " FROM subscriptions AS s WHERE queue = $1 AND subscriber = $2"
    ))
    .bind(head.number)
    .bind(subscriber.to_owned());
    let Some(row) = step.row(select).await? else { return Ok(None) };
    let found = subscription(&row, 0, queue, step.now)?;
    found.map(|found| Ok((row.try_get(0)?, found))).transpose()
}

/// Removes a subscription with what was still to be delivered to it.
async fn remove(step: &mut Step<'_>, number: i64, subscription: i64) -> Result<(), sqlx::Error> {
    let delete = sqlx::query(
        "WITH r AS (DELETE FROM retries WHERE queue = $1 AND subscription = $2) \
         DELETE FROM subscriptions WHERE queue = $1 AND number = $2",
    )
    .bind(number)
    .bind(subscription);
    step.execute(delete).await?;
    Ok(())
}

/// Brings the head's flag in line with the subscriptions, and drops what nobody needs any more.
pub(super) async fn settle_head(step: &mut Step<'_>, number: i64) -> Result<(), sqlx::Error> {
    let update = sqlx::query(
        "UPDATE heads SET subscribed = EXISTS (SELECT 1 FROM subscriptions WHERE queue = $1 \
           AND expires > $2 AND (confirmed OR NOT needs_confirmation)) \
         WHERE number = $1 AND state < 2",
    )
    .bind(number)
    .bind(step.now.as_millis());
    step.execute(update).await?;
    super::outbox::trim(step, number).await
}

#[derive(Debug)]
pub(crate) struct Create {
    pub(crate) queue: QueueRef,
    pub(crate) new: NewSubscription,
}

#[async_trait]
impl Task for Create {
    type Output = Created<Subscription>;
    const OPERATION: &'static str = "subscription_create";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure> {
        let head = step.head_for_news(&self.queue).await?;
        let known = find_by_subscriber(step, &self.queue, &head, &self.new.subscriber).await?;
        if let Some((number, known)) = known {
            if known.expires_at > step.now {
                return Ok(Created::Existing(known));
            }
            remove(step, head.number, number).await?;
        }
        let take = sqlx::query(
            "UPDATE heads SET subscription_next = subscription_next + 1 WHERE number = $1 \
             RETURNING subscription_next - 1",
        );
        let row = step.row(take.bind(head.number)).await?;
        let number: i64 = row.ok_or_else(|| damaged("queue head"))?.try_get(0)?;
        self.insert(step, &head, number).await?;
        settle_head(step, head.number).await?;
        let id = SubscriptionId::new(self.queue.incarnation, number.unsigned_abs())?;
        let (_, made) = find(step, &self.queue, &head, id).await?;
        Ok(Created::New(made))
    }
}

impl Create {
    async fn insert(
        &self,
        step: &mut Step<'_>,
        head: &Head,
        number: i64,
    ) -> Result<(), sqlx::Error> {
        let new = &self.new;
        let options = serde_json::Value::Object(new.options.clone()).to_string();
        let insert = sqlx::query(
            "INSERT INTO subscriptions (queue, number, subscriber, ttl, created, expires, options, \
               confirmed, needs_confirmation, since, cursor, owner) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, false, $8, $9, $10, $11)",
        )
        .bind(head.number)
        .bind(number)
        .bind(new.subscriber.clone())
        .bind(ttl_code(new.ttl))
        .bind(step.now.as_millis())
        .bind(step.now.after(new.ttl).as_millis())
        .bind(options)
        .bind(new.needs_confirmation)
        .bind(head.next)
        .bind(head.next)
        .bind(new.owner.clone());
        step.execute(insert).await?;
        Ok(())
    }
}

/// Starts delivery afresh: only what is posted from now on.
async fn restart(step: &mut Step<'_>, head: &Head, number: i64) -> Result<(), sqlx::Error> {
    let restart = sqlx::query(
        "WITH r AS (DELETE FROM retries WHERE queue = $1 AND subscription = $2) \
         UPDATE subscriptions SET since = $3, cursor = $3, lease = NULL, lease_ends = 0 \
         WHERE queue = $1 AND number = $2",
    )
    .bind(head.number)
    .bind(number)
    .bind(head.next);
    step.execute(restart).await?;
    Ok(())
}

#[derive(Debug)]
pub(crate) struct Update {
    pub(crate) queue: QueueRef,
    pub(crate) id: SubscriptionId,
    pub(crate) changes: UpdateSubscription,
}

#[async_trait]
impl Task for Update {
    type Output = ();
    const OPERATION: &'static str = "subscription_update";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head_for_news(&self.queue).await?;
        let (number, before) = find(step, &self.queue, &head, self.id).await?;
        if let Some(subscriber) = self.changes.subscriber.clone()
            && subscriber != before.subscriber
        {
            self.change_subscriber(step, &head, (number, &before), subscriber).await?;
        }
        if let Some(ttl) = self.changes.ttl {
            self.change_ttl(step, &head, number, ttl).await?;
        }
        if let Some(options) = self.changes.options.clone() {
            let change = sqlx::query(
                "UPDATE subscriptions SET options = $1 WHERE queue = $2 AND number = $3",
            )
            .bind(serde_json::Value::Object(options).to_string())
            .bind(head.number)
            .bind(number);
            step.execute(change).await?;
        }
        settle_head(step, head.number).await?;
        Ok(())
    }
}

impl Update {
    async fn change_subscriber(
        &self,
        step: &mut Step<'_>,
        head: &Head,
        (number, before): (i64, &Subscription),
        subscriber: String,
    ) -> Result<(), Failure> {
        let needs_confirmation =
            self.changes.needs_confirmation.unwrap_or(before.needs_confirmation);
        if let Some((other, held)) =
            find_by_subscriber(step, &self.queue, head, &subscriber).await?
        {
            if held.expires_at > step.now {
                return Err(Error::SubscriptionExists.into());
            }
            remove(step, head.number, other).await?;
        }
        // Another address must confirm anew and gets nothing that was posted before.
        let change = sqlx::query(
            "UPDATE subscriptions SET subscriber = $1, confirmed = false, needs_confirmation = $2 \
             WHERE queue = $3 AND number = $4",
        )
        .bind(subscriber)
        .bind(needs_confirmation)
        .bind(head.number)
        .bind(number);
        step.execute(change).await?;
        restart(step, head, number).await?;
        Ok(())
    }

    async fn change_ttl(
        &self,
        step: &mut Step<'_>,
        head: &Head,
        number: i64,
        ttl: Ttl,
    ) -> Result<(), sqlx::Error> {
        let change = sqlx::query(
            "UPDATE subscriptions SET ttl = $1, expires = $2 WHERE queue = $3 AND number = $4",
        )
        .bind(ttl_code(ttl))
        .bind(step.now.after(ttl).as_millis())
        .bind(head.number)
        .bind(number);
        step.execute(change).await?;
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) queue: QueueRef,
    pub(crate) id: SubscriptionId,
    pub(crate) confirmed: bool,
}

#[async_trait]
impl Task for Confirm {
    type Output = ();
    const OPERATION: &'static str = "subscription_confirm";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head_for_news(&self.queue).await?;
        let (number, before) = find(step, &self.queue, &head, self.id).await?;
        let change =
            sqlx::query("UPDATE subscriptions SET confirmed = $1 WHERE queue = $2 AND number = $3")
                .bind(self.confirmed)
                .bind(head.number)
                .bind(number);
        step.execute(change).await?;
        let after = Subscription { confirmed: self.confirmed, ..before.clone() };
        if after.is_active() != before.is_active() {
            restart(step, &head, number).await?;
        }
        settle_head(step, head.number).await?;
        Ok(())
    }
}

/// Removes one subscription, or all.
#[derive(Debug)]
pub(crate) struct Remove {
    pub(crate) queue: QueueRef,
    pub(crate) id: Option<SubscriptionId>,
}

#[async_trait]
impl Task for Remove {
    type Output = ();
    const OPERATION: &'static str = "subscription_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head_for_news(&self.queue).await?;
        match self.id {
            Some(id) => match number_of(&self.queue, id) {
                Some(number) => remove(step, head.number, number).await?,
                None => return Ok(()),
            },
            None => {
                let delete = sqlx::query(
                    "WITH r AS (DELETE FROM retries WHERE queue = $1) \
                     DELETE FROM subscriptions WHERE queue = $1",
                );
                step.execute(delete.bind(head.number)).await?;
            }
        }
        settle_head(step, head.number).await?;
        Ok(())
    }
}

/// Removes a step of subscriptions that ended before the margin, and what nobody needs of one
/// queue's outbox; returns how many rows.
#[derive(Debug)]
pub(crate) struct CollectEnded {
    pub(crate) margin: Ttl,
    pub(crate) rows_max: i64,
}

#[async_trait]
impl Task for CollectEnded {
    type Output = u64;
    const OPERATION: &'static str = "gc";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let latest = step.now.as_millis().saturating_sub(self.margin.as_millis());
        let select = sqlx::query(
            "SELECT queue FROM subscriptions WHERE expires <= $1 ORDER BY expires LIMIT 1",
        );
        let Some(row) = step.row(select.bind(latest)).await? else { return Ok(0) };
        let number: i64 = row.try_get(0)?;
        // The head first, as for every change: a subscription prolonged meanwhile stays.
        let lock = sqlx::query("SELECT 1 FROM heads WHERE number = $1 FOR NO KEY UPDATE");
        step.row(lock.bind(number)).await?;
        step.refresh_now();
        let remove = sqlx::query(
            "WITH gone AS (DELETE FROM subscriptions WHERE queue = $1 AND number = ANY \
                 (ARRAY(SELECT number FROM subscriptions \
                   WHERE queue = $1 AND expires <= $2 LIMIT $3)) RETURNING number), \
               r AS (DELETE FROM retries AS r USING gone AS g \
                 WHERE r.queue = $1 AND r.subscription = g.number) \
             SELECT count(*) FROM gone",
        )
        .bind(number)
        .bind(latest)
        .bind(self.rows_max.min(STEP_ROWS_MAX / 10));
        let row = step.row(remove).await?.ok_or(sqlx::Error::RowNotFound)?;
        settle_head(step, number).await?;
        Ok(row.try_get::<i64, _>(0)?.unsigned_abs())
    }
}
