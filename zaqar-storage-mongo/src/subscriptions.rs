//! Subscriptions: the controller. Reads are here, changes in [`crate::subscription_changes`].

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};
use zaqar_core::{
    Created, Error, NewSubscription, Page, PageLimit, QueueRef, Result, Subscription,
    SubscriptionController, SubscriptionId, Timestamp, Ttl, UpdateSubscription,
};

use crate::barrier::Place;
use crate::driver::MongoData;
use crate::error::{NativeResult, damaged, failed};
use crate::query::Query;
use crate::rows::ttl;
use crate::schema::DATA;
use crate::subscription_changes::{Confirm, Create, Remove, Update};
use crate::tables::{queue_code, subscription_key};

/// A subscription to be written.
#[derive(Debug, Serialize)]
pub(crate) struct NewSubscriptionRow<'s> {
    #[serde(rename = "_id")]
    pub(crate) key: String,
    pub(crate) q: i64,
    pub(crate) number: i64,
    pub(crate) subscriber: &'s str,
    pub(crate) ttl: i64,
    pub(crate) created: i64,
    pub(crate) ends: i64,
    pub(crate) options: String,
    pub(crate) confirmed: bool,
    pub(crate) needs_confirmation: bool,
    pub(crate) since: i64,
    pub(crate) cursor: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<&'s str>,
    pub(crate) lease_ends: i64,
}

/// A subscription as it is stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SubscriptionRow {
    #[serde(rename = "_id")]
    pub(crate) key: String,
    pub(crate) q: i64,
    pub(crate) number: i64,
    pub(crate) subscriber: String,
    pub(crate) ttl: i64,
    pub(crate) created: i64,
    pub(crate) ends: i64,
    pub(crate) options: String,
    pub(crate) confirmed: bool,
    pub(crate) needs_confirmation: bool,
    pub(crate) since: i64,
    pub(crate) cursor: i64,
    pub(crate) owner: Option<String>,
    pub(crate) lease: Option<String>,
    pub(crate) lease_ends: i64,
}

impl SubscriptionRow {
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.ends > now.as_millis()
    }

    /// Whether messages posted now are delivered to it.
    pub(crate) fn is_active(&self) -> bool {
        self.confirmed || !self.needs_confirmation
    }

    /// The subscription as it is shown.
    pub(crate) fn subscription(
        &self,
        queue: &QueueRef,
        now: Timestamp,
    ) -> NativeResult<Subscription> {
        let id = SubscriptionId::new(queue.incarnation, self.number.unsigned_abs())
            .map_err(|_| damaged("subscription number"))?;
        let options = serde_json::from_str(&self.options);
        Ok(Subscription {
            id,
            subscriber: self.subscriber.clone(),
            ttl: ttl(self.ttl),
            age_s: now.seconds_since(Timestamp::from_millis(self.created)),
            expires_at: Timestamp::from_millis(self.ends),
            options: options.map_err(|_| damaged("subscription options"))?,
            confirmed: self.confirmed,
            needs_confirmation: self.needs_confirmation,
            since: self.since.unsigned_abs(),
            owner: self.owner.clone(),
        })
    }
}

/// The local number of a subscription; `None` if the id is another queue's.
pub(crate) fn number_of(queue: &QueueRef, id: SubscriptionId) -> Option<i64> {
    // Another queue's id is not found, whatever its number (G12).
    let own = id.incarnation() == queue.incarnation;
    own.then(|| i64::try_from(id.sequence()).ok()).flatten()
}

/// Which subscriptions of a queue live; a condition for the index `subscribers`.
pub(crate) fn living(q: i64, now: Timestamp) -> Document {
    doc! { "q": q, "subscriber": { "$exists": true }, "ends": { "$gt": now.as_millis() } }
}

impl MongoData {
    async fn read_subscriptions(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        query: Query,
        now: Timestamp,
    ) -> Result<Vec<Subscription>> {
        let place = Place::Queue(queue_code(queue.incarnation));
        let view = self.handle.store.view(operation, place).await?;
        let rows: Vec<SubscriptionRow> = view.find(DATA, query).await?;
        view.head(queue).await?;
        let read: NativeResult<Vec<_>> =
            rows.iter().map(|row| row.subscription(queue, now)).collect();
        read.map_err(|error| failed(operation, &error))
    }
}

#[async_trait]
impl SubscriptionController for MongoData {
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
        const OPERATION: &str = "subscription_list";
        let q = queue_code(queue.incarnation);
        let now = self.handle.store.clock.now();
        let after = marker.and_then(|id| number_of(queue, id)).unwrap_or(0);
        let range = doc! {
            "$gt": subscription_key(q, after),
            "$lte": subscription_key(q, crate::tables::POSITION_MAX),
        };
        let filter = doc! { "_id": range, "q": q, "ends": { "$gt": now.as_millis() } };
        let query = Query::of(filter).by("_id_").sort(doc! { "_id": 1 });
        let query = query.limit(i64::from(limit.get()));
        let items = self.read_subscriptions(OPERATION, queue, query, now).await?;
        Ok(Page::of(items, |subscription| subscription.id))
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        const OPERATION: &str = "subscription_get";
        let now = self.handle.store.clock.now();
        // A number that none has stands for another queue's id: the head is checked all the same.
        let number = number_of(queue, id).unwrap_or(0);
        let filter = doc! {
            "_id": subscription_key(queue_code(queue.incarnation), number),
            "ends": { "$gt": now.as_millis() },
        };
        let found = self.read_subscriptions(OPERATION, queue, Query::of(filter), now).await?;
        found.into_iter().next().ok_or(Error::SubscriptionNotFound { id })
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        const OPERATION: &str = "subscription_find";
        let now = self.handle.store.clock.now();
        let filter = doc! {
            "q": queue_code(queue.incarnation),
            "subscriber": subscriber,
            "ends": { "$gt": now.as_millis() },
        };
        let query = Query::of(filter).by("subscribers");
        let found = self.read_subscriptions(OPERATION, queue, query, now).await?;
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

/// The stored form of a subscription's options.
pub(crate) fn options_text(options: &zaqar_core::JsonObject) -> String {
    serde_json::Value::Object(options.clone()).to_string()
}

/// The stored form of a time-to-live from a moment on: its end.
pub(crate) fn end_of(now: Timestamp, ttl: Ttl) -> i64 {
    now.after(ttl).as_millis()
}
