//! Subscriptions.

use async_trait::async_trait;
use zaqar_core::{
    Created, Error, JsonObject, NewSubscription, Page, PageLimit, QueueRef, Result, Subscription,
    SubscriptionController, SubscriptionId, Timestamp, UpdateSubscription,
};

use crate::codec::{Reply, moment};
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{
    SUBSCRIPTION_CONFIRM, SUBSCRIPTION_CREATE, SUBSCRIPTION_DELETE, SUBSCRIPTION_GET,
    SUBSCRIPTION_LIST, SUBSCRIPTION_UPDATE, Script,
};
use crate::store::{Answer, Call, endless, queue_text};

/// There is none that lives.
const MISSING: i64 = 6;
/// Another one has that subscriber.
const TAKEN: i64 = 9;
/// Steps of one listing.
const STEPS_MAX: usize = 10_000;

/// Reads a subscription as scripts show it.
pub(crate) fn read_subscription(
    reply: &mut Reply,
    queue: &QueueRef,
    now: Timestamp,
) -> Result<Subscription> {
    let what = "subscription";
    let id = SubscriptionId::new(queue.incarnation, reply.number(what)?)?;
    let subscriber = reply.text(what)?;
    let ttl = reply.ttl(what)?;
    let made = reply.moment(what)?;
    let expires_at = reply.moment(what)?;
    let options = reply.text(what)?;
    let options: Option<JsonObject> = serde_json::from_str(&options).ok();
    let confirmed = reply.int(what)? != 0;
    let needs_confirmation = reply.int(what)? != 0;
    let since = reply.number(what)?;
    let owned = reply.int(what)? != 0;
    let owner = reply.text(what)?;
    Ok(Subscription {
        id,
        subscriber,
        ttl,
        age_s: now.seconds_since(made),
        expires_at,
        options: options.ok_or_else(|| reply.damaged(what))?,
        confirmed,
        needs_confirmation,
        since,
        owner: owned.then_some(owner),
    })
}

pub(crate) fn json_text(options: &JsonObject) -> String {
    // A map of JSON values always has a text.
    serde_json::to_string(options).unwrap_or_else(|_| "{}".to_owned())
}

/// The number of a subscription as scripts know it; `None` if the id is another queue's (G12).
pub(crate) fn number_of(queue: &QueueRef, id: SubscriptionId) -> Option<u64> {
    (id.incarnation() == queue.incarnation).then(|| id.sequence())
}

fn not_found(id: SubscriptionId) -> Error {
    Error::SubscriptionNotFound { id }
}

impl RedisData {
    /// Changes the subscriptions of a queue: every such script begins with key, now, incarnation.
    async fn change_subscription<A>(
        &self,
        operation: &'static str,
        script: &'static Script,
        queue: &QueueRef,
        arguments: A,
    ) -> Result<Answer>
    where
        A: Fn(&mut redis::Cmd, Timestamp) + Send + Sync + 'static,
    {
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let call = Call {
            operation,
            script,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(incarnation);
                arguments(command, now);
            },
        };
        self.store.write(Some(&queue.key.project), call).await
    }

    async fn find_subscription(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        number: Option<u64>,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        let text = queue_text(queue);
        let number = number.map(|number| number.to_string()).unwrap_or_default();
        let call = Call {
            operation,
            script: &SUBSCRIPTION_GET,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(&number).arg(subscriber);
            },
        };
        let answer = self.store.read(Some(&queue.key.project), call).await?;
        if answer.code == MISSING {
            return Ok(None);
        }
        let now = answer.now;
        read_subscription(&mut answer.done(queue)?, queue, now).map(Some)
    }

    async fn drop_subscriptions(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        number: String,
    ) -> Result<()> {
        let arguments = move |command: &mut redis::Cmd, _| {
            command.arg(&number);
        };
        let script = &SUBSCRIPTION_DELETE;
        let answer = self.change_subscription(operation, script, queue, arguments).await?;
        answer.done(queue).map(drop)
    }
}

#[async_trait]
impl SubscriptionController for RedisData {
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        subscription: NewSubscription,
    ) -> Result<Created<Subscription>> {
        let new = subscription;
        let arguments = move |command: &mut redis::Cmd, now: Timestamp| {
            command.arg(&new.subscriber).arg(new.ttl.as_secs()).arg(moment(now.after(new.ttl)));
            command.arg(json_text(&new.options)).arg(u8::from(new.needs_confirmation));
            command.arg(u8::from(new.owner.is_some())).arg(new.owner.as_deref().unwrap_or(""));
        };
        let operation = "subscription_create";
        let script = &SUBSCRIPTION_CREATE;
        let answer = self.change_subscription(operation, script, queue, arguments).await?;
        let now = answer.now;
        let mut reply = answer.done(queue)?;
        let new = reply.int("subscription")? != 0;
        let subscription = read_subscription(&mut reply, queue, now)?;
        Ok(if new { Created::New(subscription) } else { Created::Existing(subscription) })
    }

    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        let operation = "subscription_list";
        let text = queue_text(queue);
        let after = marker.and_then(|marker| number_of(queue, marker)).unwrap_or(0);
        let mut after = after.min(crate::codec::NUMBER_MAX).to_string();
        for _ in 0..STEPS_MAX {
            let call = Call {
                operation,
                script: &SUBSCRIPTION_LIST,
                place: Place::queue(queue.incarnation),
                writes: false,
                arguments: |command: &mut redis::Cmd, now: Timestamp| {
                    command.arg(&text).arg(moment(now)).arg(&after).arg(limit.get());
                },
            };
            let answer = self.store.read(Some(&queue.key.project), call).await?;
            let now = answer.now;
            let mut reply = answer.done(queue)?;
            let go_on = reply.text("subscription")?;
            let mut items = Vec::new();
            while !reply.is_empty() {
                items.push(read_subscription(&mut reply, queue, now)?);
            }
            if !items.is_empty() || go_on.is_empty() {
                return Ok(Page::of(items, |subscription| subscription.id));
            }
            after = go_on;
        }
        Err(endless(operation))
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        // Another queue's id finds nothing here; whether the queue is there is asked all the same.
        let number = number_of(queue, id).unwrap_or(0);
        let found = self.find_subscription("subscription_get", queue, Some(number), "").await?;
        found.ok_or_else(|| not_found(id))
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        self.find_subscription("subscription_find", queue, None, subscriber).await
    }

    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()> {
        let number = number_of(queue, id).unwrap_or(0);
        let arguments = move |command: &mut redis::Cmd, now: Timestamp| {
            command.arg(number).arg(changes.subscriber.as_deref().unwrap_or(""));
            match changes.ttl {
                Some(ttl) => command.arg(ttl.as_secs()).arg(moment(now.after(ttl))),
                None => command.arg("").arg(""),
            };
            command.arg(changes.options.as_ref().map(json_text).unwrap_or_default());
            command
                .arg(changes.needs_confirmation.map_or("", |needs| if needs { "1" } else { "0" }));
        };
        let operation = "subscription_update";
        let script = &SUBSCRIPTION_UPDATE;
        let answer = self.change_subscription(operation, script, queue, arguments).await?;
        match answer.code {
            MISSING => Err(not_found(id)),
            TAKEN => Err(Error::SubscriptionExists),
            _ => answer.done(queue).map(drop),
        }
    }

    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()> {
        let number = number_of(queue, id).unwrap_or(0);
        let arguments = move |command: &mut redis::Cmd, _| {
            command.arg(number).arg(u8::from(confirmed));
        };
        let operation = "subscription_confirm";
        let script = &SUBSCRIPTION_CONFIRM;
        let answer = self.change_subscription(operation, script, queue, arguments).await?;
        match answer.code {
            MISSING => Err(not_found(id)),
            _ => answer.done(queue).map(drop),
        }
    }

    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()> {
        let number = number_of(queue, id).unwrap_or(0).to_string();
        self.drop_subscriptions("subscription_delete", queue, number).await
    }

    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()> {
        self.drop_subscriptions("subscription_purge", queue, String::new()).await
    }
}
