//! Changes to subscriptions: tasks that have the queue head in their step, so that a post either
//! sees a change or does not.

use async_trait::async_trait;
use zaqar_core::{
    Created, Error, NewSubscription, QueueRef, Result, Subscription, SubscriptionId, Ttl,
    UpdateSubscription,
};

use crate::error::{Failure, damaged};
use crate::layout::{STEP_ROWS_MAX, ttl_code};

use super::heads::Head;
use super::sql::sql;
use super::step::Step;
use super::subscriptions::{number_of, subscription, subscription_columns};
use super::sweep::ids;
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
    let select = sql(SELECT_ONE).bind(head.number).bind(number);
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
    let select = sql(concat!(
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
fn remove(step: &mut Step<'_>, number: i64, subscription: i64) -> Result<(), sqlx::Error> {
    let forget = sql("DELETE FROM retries WHERE queue = $1 AND subscription = $2");
    step.later(forget.bind(number).bind(subscription))?;
    let delete = sql("DELETE FROM subscriptions WHERE queue = $1 AND number = $2");
    step.later(delete.bind(number).bind(subscription))
}

/// Brings the head's flag in line with the subscriptions, and drops what nobody needs any more.
pub(super) async fn settle_head(step: &mut Step<'_>, number: i64) -> Result<(), sqlx::Error> {
    let update =
        sql("UPDATE heads SET subscribed = EXISTS (SELECT 1 FROM subscriptions WHERE queue = $1 \
           AND expires > $2 AND (confirmed OR NOT needs_confirmation)) \
         WHERE number = $1 AND state < 2")
        .bind(number)
        .bind(step.now.as_millis());
    step.later(update)?;
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
            remove(step, head.number, number)?;
        }
        let look = sql("SELECT subscription_next FROM heads WHERE number = $1").bind(head.number);
        let row = step.row(look).await?.ok_or_else(|| damaged("queue head"))?;
        let number: i64 = row.try_get(0)?;
        let take = sql("UPDATE heads SET subscription_next = $2 WHERE number = $1");
        step.later(take.bind(head.number).bind(number + 1))?;
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
        let insert = sql(
            "INSERT INTO subscriptions (queue, number, subscriber, ttl, created, expires, options, \
               confirmed, needs_confirmation, since, delivered, owner) \
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
        step.later(insert)?;
        Ok(())
    }
}

/// Starts delivery afresh: only what is posted from now on.
fn restart(step: &mut Step<'_>, head: &Head, number: i64) -> Result<(), sqlx::Error> {
    let forget = sql("DELETE FROM retries WHERE queue = $1 AND subscription = $2");
    step.later(forget.bind(head.number).bind(number))?;
    let restart =
        sql("UPDATE subscriptions SET since = $3, delivered = $3, lease = NULL, lease_ends = 0 \
         WHERE queue = $1 AND number = $2");
    step.later(restart.bind(head.number).bind(number).bind(head.next))
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
            let change =
                sql("UPDATE subscriptions SET options = $1 WHERE queue = $2 AND number = $3")
                    .bind(serde_json::Value::Object(options).to_string())
                    .bind(head.number)
                    .bind(number);
            step.later(change)?;
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
            remove(step, head.number, other)?;
        }
        // Another address must confirm anew and gets nothing that was posted before.
        let change = sql(
            "UPDATE subscriptions SET subscriber = $1, confirmed = false, needs_confirmation = $2 \
             WHERE queue = $3 AND number = $4",
        )
        .bind(subscriber)
        .bind(needs_confirmation)
        .bind(head.number)
        .bind(number);
        step.execute(change).await?;
        restart(step, head, number)?;
        Ok(())
    }

    async fn change_ttl(
        &self,
        step: &mut Step<'_>,
        head: &Head,
        number: i64,
        ttl: Ttl,
    ) -> Result<(), sqlx::Error> {
        let change =
            sql("UPDATE subscriptions SET ttl = $1, expires = $2 WHERE queue = $3 AND number = $4")
                .bind(ttl_code(ttl))
                .bind(step.now.after(ttl).as_millis())
                .bind(head.number)
                .bind(number);
        step.later(change)?;
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
            sql("UPDATE subscriptions SET confirmed = $1 WHERE queue = $2 AND number = $3")
                .bind(self.confirmed)
                .bind(head.number)
                .bind(number);
        step.later(change)?;
        let after = Subscription { confirmed: self.confirmed, ..before.clone() };
        if after.is_active() != before.is_active() {
            restart(step, &head, number)?;
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
                Some(number) => remove(step, head.number, number)?,
                None => return Ok(()),
            },
            None => {
                step.later(sql("DELETE FROM retries WHERE queue = $1").bind(head.number))?;
                step.later(sql("DELETE FROM subscriptions WHERE queue = $1").bind(head.number))?;
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
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let latest = step.now.as_millis().saturating_sub(self.margin.as_millis());
        let select =
            sql("SELECT queue FROM subscriptions WHERE expires <= $1 ORDER BY expires LIMIT 1");
        let Some(row) = step.row(select.bind(latest)).await? else { return Ok(0) };
        let number: i64 = row.try_get(0)?;
        // The head first, as for every change: a subscription prolonged meanwhile stays.
        let lock = sql("SELECT 1 FROM heads WHERE number = $1 FOR UPDATE");
        step.row(lock.bind(number)).await?;
        step.refresh_now();
        let ended =
            sql("SELECT number FROM subscriptions WHERE queue = $1 AND expires <= $2 LIMIT $3")
                .bind(number)
                .bind(latest)
                .bind(self.rows_max.min(STEP_ROWS_MAX / 10));
        let ended = ids(&step.rows(ended).await?)?;
        for subscription in &ended {
            remove(step, number, *subscription)?;
        }
        settle_head(step, number).await?;
        Ok(u64::try_from(ended.len()).unwrap_or(u64::MAX))
    }
}
