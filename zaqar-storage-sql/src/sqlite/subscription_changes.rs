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
use super::statement::query;
use super::step::Step;
use super::subscriptions::{number_of, subscription, subscription_columns};
use super::task::Task;

fn not_found(id: SubscriptionId) -> Failure {
    Error::SubscriptionNotFound { id }.into()
}

const SELECT_ONE: &str = concat!(
    "SELECT ",
    subscription_columns!(),
    " FROM subscriptions AS s WHERE queue = ? AND number = ? AND expires > ?"
);

async fn find(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
    id: SubscriptionId,
) -> Result<(i64, Subscription), Failure> {
    let number = number_of(queue, id).ok_or_else(|| not_found(id))?;
    let select = query(SELECT_ONE).bind(head.number).bind(number);
    let row = step.row(select.bind(step.now.as_millis())).await?;
    let row = row.ok_or_else(|| not_found(id))?;
    Ok((number, subscription(&row, 0, queue, step.now)?))
}

async fn find_by_subscriber(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
    subscriber: &str,
) -> Result<Option<(i64, Subscription)>, sqlx::Error> {
    let select = query(concat!(
        "SELECT ",
        subscription_columns!(),
        " FROM subscriptions AS s WHERE queue = ? AND subscriber = ?"
    ))
    .bind(head.number)
    .bind(subscriber.to_owned());
    let Some(row) = step.row(select).await? else { return Ok(None) };
    Ok(Some((row.try_get(0)?, subscription(&row, 0, queue, step.now)?)))
}

/// Removes a subscription with what was still to be delivered to it.
async fn remove(step: &mut Step<'_>, number: i64, subscription: i64) -> Result<(), sqlx::Error> {
    let delete = query(
        "DELETE FROM subscriptions WHERE queue = ? AND number = ?; \
         DELETE FROM retries WHERE queue = ? AND subscription = ?",
    )
    .bind(number)
    .bind(subscription)
    .bind(number)
    .bind(subscription);
    step.execute(delete).await?;
    Ok(())
}

/// Brings the head's flag in line with the subscriptions, and drops what nobody needs any more.
pub(super) async fn settle_head(
    step: &mut Step<'_>,
    queue: Option<&QueueRef>,
    number: i64,
) -> Result<(), sqlx::Error> {
    let update = query(
        "UPDATE heads SET subscribed = EXISTS (SELECT 1 FROM subscriptions WHERE queue = ? \
           AND expires > ? AND (confirmed OR NOT needs_confirmation)) \
         WHERE number = ? AND state < 2",
    )
    .bind(number)
    .bind(step.now.as_millis())
    .bind(number);
    step.execute(update).await?;
    match queue {
        Some(queue) => step.heads.forget(queue),
        None => step.heads.clear(),
    }
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
        let take = query(
            "UPDATE heads SET subscription_next = subscription_next + 1 WHERE number = ? \
             RETURNING subscription_next - 1",
        );
        let row = step.row(take.bind(head.number)).await?;
        let number: i64 = row.ok_or_else(|| damaged("queue head"))?.try_get(0)?;
        self.insert(step, &head, number).await?;
        settle_head(step, Some(&self.queue), head.number).await?;
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
        let insert = query(
            "INSERT INTO subscriptions (queue, number, subscriber, ttl, created, expires, options, \
               confirmed, needs_confirmation, since, cursor, owner) \
             VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?)",
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
    let restart = query(
        "UPDATE subscriptions SET since = ?, cursor = ?, lease = NULL, lease_ends = 0 \
         WHERE queue = ? AND number = ?; \
         DELETE FROM retries WHERE queue = ? AND subscription = ?",
    )
    .bind(head.next)
    .bind(head.next)
    .bind(head.number)
    .bind(number)
    .bind(head.number)
    .bind(number);
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
            let change =
                query("UPDATE subscriptions SET options = ? WHERE queue = ? AND number = ?")
                    .bind(serde_json::Value::Object(options).to_string())
                    .bind(head.number)
                    .bind(number);
            step.execute(change).await?;
        }
        settle_head(step, Some(&self.queue), head.number).await?;
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
        let change = query(
            "UPDATE subscriptions SET subscriber = ?, confirmed = 0, needs_confirmation = ? \
             WHERE queue = ? AND number = ?",
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
        let change =
            query("UPDATE subscriptions SET ttl = ?, expires = ? WHERE queue = ? AND number = ?")
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
        let change = query("UPDATE subscriptions SET confirmed = ? WHERE queue = ? AND number = ?")
            .bind(self.confirmed)
            .bind(head.number)
            .bind(number);
        step.execute(change).await?;
        let after = Subscription { confirmed: self.confirmed, ..before.clone() };
        if after.is_active() != before.is_active() {
            restart(step, &head, number).await?;
        }
        settle_head(step, Some(&self.queue), head.number).await?;
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
                let delete = query(
                    "DELETE FROM subscriptions WHERE queue = ?; DELETE FROM retries WHERE queue = ?",
                );
                step.execute(delete.bind(head.number).bind(head.number)).await?;
            }
        }
        settle_head(step, Some(&self.queue), head.number).await?;
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
        let select = query(
            "SELECT queue, number FROM subscriptions INDEXED BY subscriptions_by_end \
             WHERE expires <= ? LIMIT ?",
        )
        .bind(step.now.as_millis() - self.margin.as_millis())
        .bind(self.rows_max.min(STEP_ROWS_MAX / 10));
        let rows = step.rows(select).await?;
        for row in &rows {
            let number = row.try_get(0)?;
            remove(step, number, row.try_get(1)?).await?;
            settle_head(step, None, number).await?;
        }
        Ok(rows.len() as u64)
    }
}
