//! Changes to subscriptions: transactions that write the queue head, so that a post either sees a
//! change or does not, and two changes never pass each other.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use zaqar_core::{
    Created, Error, NewSubscription, QueueRef, Result, Subscription, SubscriptionId, Ttl,
    UpdateSubscription,
};

use crate::error::{Failure, NativeResult};
use crate::heads::Head;
use crate::outbox;
use crate::query::Query;
use crate::rows::{document, ttl_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::subscriptions::{
    NewSubscriptionRow, SubscriptionRow, end_of, living, number_of, options_text,
};
use crate::sweep::STEP_ROWS_MAX;
use crate::tables::{head_key, subscription_key};
use crate::task::Task;

fn not_found(id: SubscriptionId) -> Failure {
    Error::SubscriptionNotFound { id }.into()
}

/// Takes the head's lock for a change of subscriptions; those of a moved queue are elsewhere.
async fn lock(step: &mut Step<'_>, queue: &QueueRef) -> Result<Head, Failure> {
    step.lock_head(queue, true, doc! { "$inc": { "changes": 1_i64 } }).await
}

async fn find(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
    id: SubscriptionId,
) -> Result<SubscriptionRow, Failure> {
    let number = number_of(queue, id).ok_or_else(|| not_found(id))?;
    let found = step.find_one(Query::id(subscription_key(head.q, number))).await?;
    let now = step.now;
    found.filter(|row: &SubscriptionRow| row.is_live(now)).ok_or_else(|| not_found(id))
}

async fn find_by_subscriber(
    step: &mut Step<'_>,
    head: &Head,
    subscriber: &str,
) -> NativeResult<Option<SubscriptionRow>> {
    let filter = doc! { "q": head.q, "subscriber": subscriber };
    step.find_one(Query::of(filter).by("subscribers")).await
}

/// Removes the retries of a subscription.
async fn remove_retries(step: &mut Step<'_>, q: i64, number: i64) -> NativeResult<()> {
    step.delete(DATA, doc! { "q": q, "retrying": number }).await?;
    Ok(())
}

/// Removes a subscription with what was still to be delivered to it.
async fn remove(step: &mut Step<'_>, q: i64, number: i64) -> NativeResult<()> {
    step.delete(DATA, doc! { "_id": subscription_key(q, number) }).await?;
    remove_retries(step, q, number).await
}

/// Brings the head's flag in line with the subscriptions, and drops what nobody needs any more.
pub(crate) async fn settle_head(step: &mut Step<'_>, q: i64, more: Document) -> NativeResult<()> {
    let query = Query::of(living(q, step.now)).by("subscribers");
    let rows: Vec<SubscriptionRow> = step.find(DATA, query).await?;
    let mut set = doc! { "subscribed": rows.iter().any(SubscriptionRow::is_active) };
    set.extend(more);
    step.update(DATA, doc! { "_id": head_key(q) }, doc! { "$set": set }).await?;
    outbox::trim(step, q).await
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
        let head = lock(step, &self.queue).await?;
        if let Some(known) = find_by_subscriber(step, &head, &self.new.subscriber).await? {
            if known.is_live(step.now) {
                return Ok(Created::Existing(known.subscription(&self.queue, step.now)?));
            }
            remove(step, head.q, known.number).await?;
        }
        let number = head.subscription_next;
        self.insert(step, &head, number).await?;
        settle_head(step, head.q, doc! { "subscription_next": number + 1 }).await?;
        let id = SubscriptionId::new(self.queue.incarnation, number.unsigned_abs())?;
        let made = find(step, &self.queue, &head, id).await?;
        Ok(Created::New(made.subscription(&self.queue, step.now)?))
    }
}

impl Create {
    async fn insert(&self, step: &mut Step<'_>, head: &Head, number: i64) -> NativeResult<()> {
        let new = &self.new;
        let row = NewSubscriptionRow {
            key: subscription_key(head.q, number),
            q: head.q,
            number,
            subscriber: &new.subscriber,
            ttl: ttl_code(new.ttl),
            created: step.now.as_millis(),
            ends: end_of(step.now, new.ttl),
            options: options_text(&new.options),
            confirmed: false,
            needs_confirmation: new.needs_confirmation,
            since: head.next,
            cursor: head.next,
            owner: new.owner.as_deref(),
            lease_ends: 0,
        };
        step.insert(&[document(&row)?]).await
    }
}

/// What starts delivery afresh: only what is posted from now on.
fn restarted(head: &Head) -> Document {
    doc! { "since": head.next, "cursor": head.next, "lease_ends": 0_i64 }
}

async fn set(step: &mut Step<'_>, row: &SubscriptionRow, set: Document) -> NativeResult<()> {
    let mut update = doc! {};
    if set.contains_key("lease_ends") {
        update.insert("$unset", doc! { "lease": "" });
    }
    update.insert("$set", set);
    step.update(DATA, doc! { "_id": row.key.as_str() }, update).await?;
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
        let head = lock(step, &self.queue).await?;
        let before = find(step, &self.queue, &head, self.id).await?;
        let mut changed = doc! {};
        if let Some(subscriber) = &self.changes.subscriber
            && *subscriber != before.subscriber
        {
            make_room(step, &head, subscriber).await?;
            remove_retries(step, head.q, before.number).await?;
            // Another address must confirm anew and gets nothing that was posted before.
            changed.extend(restarted(&head));
            changed.insert("subscriber", subscriber.as_str());
            changed.insert("confirmed", false);
            if let Some(needs) = self.changes.needs_confirmation {
                changed.insert("needs_confirmation", needs);
            }
        }
        if let Some(ttl) = self.changes.ttl {
            changed.insert("ttl", ttl_code(ttl));
            changed.insert("ends", end_of(step.now, ttl));
        }
        if let Some(options) = &self.changes.options {
            changed.insert("options", options_text(options));
        }
        if !changed.is_empty() {
            set(step, &before, changed).await?;
        }
        settle_head(step, head.q, doc! {}).await?;
        Ok(())
    }
}

/// Sees to it that nobody has an address: what has ended makes room.
async fn make_room(step: &mut Step<'_>, head: &Head, subscriber: &str) -> Result<(), Failure> {
    if let Some(held) = find_by_subscriber(step, head, subscriber).await? {
        if held.is_live(step.now) {
            return Err(Error::SubscriptionExists.into());
        }
        remove(step, head.q, held.number).await?;
    }
    Ok(())
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
        let head = lock(step, &self.queue).await?;
        let before = find(step, &self.queue, &head, self.id).await?;
        let after = SubscriptionRow { confirmed: self.confirmed, ..before.clone() };
        let mut changed = doc! { "confirmed": self.confirmed };
        if after.is_active() != before.is_active() {
            changed.extend(restarted(&head));
            remove_retries(step, head.q, before.number).await?;
        }
        set(step, &before, changed).await?;
        settle_head(step, head.q, doc! {}).await?;
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
        let head = lock(step, &self.queue).await?;
        match self.id {
            Some(id) => match number_of(&self.queue, id) {
                Some(number) => remove(step, head.q, number).await?,
                None => return Ok(()),
            },
            None => {
                let q = head.q;
                step.delete(DATA, doc! { "q": q, "subscriber": { "$exists": true } }).await?;
                step.delete(DATA, doc! { "q": q, "retrying": { "$exists": true } }).await?;
            }
        }
        settle_head(step, head.q, doc! {}).await?;
        Ok(())
    }
}

/// Removes a step of subscriptions that ended before the margin, and what nobody needs of their
/// queues' outboxes; returns how many.
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
        let latest = step.now.as_millis() - self.margin.as_millis();
        let filter = doc! {
            "ends": { "$gt": 0_i64, "$lte": latest },
            "subscriber": { "$exists": true },
        };
        let limit = self.rows_max.min(i64::from(STEP_ROWS_MAX / 10));
        let query = Query::of(filter).by("ending").limit(limit);
        let ended: Vec<SubscriptionRow> = step.find(DATA, query).await?;
        let mut queues: Vec<i64> = ended.iter().map(|row| row.q).collect();
        queues.dedup();
        for q in queues {
            // The head's lock: a post must see the flag go with the subscription.
            let lock = doc! { "$inc": { "changes": 1_i64 } };
            step.update(DATA, doc! { "_id": head_key(q) }, lock).await?;
        }
        for row in &ended {
            remove(step, row.q, row.number).await?;
            settle_head(step, row.q, doc! {}).await?;
        }
        Ok(ended.len() as u64)
    }
}
