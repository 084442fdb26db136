//! Reads: of what the majority has (`readConcern: "majority"`), at a moment after all that was
//! acknowledged before ([`crate::barrier`] says how that is made sure).
//!
//! A read cannot check the queue head inside anybody's transaction, so it checks *after* it has
//! read: an incarnation that is open afterwards was open throughout, because closed is for ever
//! (G11).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Document, Timestamp, doc};
use mongodb::error::Error as Native;
use mongodb::options::Hint;
use serde::de::DeserializeOwned;
use zaqar_core::{Error, MessageId, QueueRef, Result};

use crate::barrier::Place;
use crate::error::{NativeResult, failed};
use crate::heads::{Head, checked, head_query};
use crate::query::{Query, read};
use crate::schema::DATA;
use crate::store::Store;
use crate::tables::{arrival_key, head_key, position, queue_code};

/// Queues that are remembered at most; beyond it, remembering starts afresh.
const QUEUES_MAX: usize = 100_000;
/// How long a member may take over a read, its wait for the moment included: one that is cut off
/// from the others would wait for ever.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// The same for counting, which looks at every message.
const COUNT_LIMIT: Duration = Duration::from_secs(120);

/// Up to where each queue was purged, as far as this process knows: a position that was purged stays
/// so, so an old figure is only too low.
#[derive(Debug, Default)]
pub(crate) struct Bounds(RwLock<HashMap<i64, i64>>);

impl Bounds {
    /// Up to where the queue was purged at least.
    pub(crate) fn purged(&self, q: i64) -> i64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&q).copied().unwrap_or(0)
    }

    /// Notes what a head said that the majority has: what only its primary has may not last.
    fn note(&self, head: &Head) {
        if head.purged <= self.purged(head.q) {
            return;
        }
        let mut bounds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if bounds.len() >= QUEUES_MAX {
            bounds.clear();
        }
        bounds.insert(head.q, head.purged);
    }
}

/// Where a message that came from another queue stands.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Arrival {
    /// Its position here.
    pub(crate) at: i64,
}

/// The store as it was at a moment, or later.
#[derive(Debug)]
pub(crate) struct View<'s> {
    store: &'s Store,
    /// What is read for, in errors.
    operation: &'static str,
    /// `None`: what a member happens to know.
    moment: Option<Timestamp>,
}

impl Store {
    /// A view of all that was acknowledged before this was called.
    pub(crate) async fn view(&self, operation: &'static str, place: Place) -> Result<View<'_>> {
        let moment = self.moment(operation, place).await?;
        Ok(self.view_after(operation, moment))
    }

    /// A view of all up to a write of one's own, which says when it was.
    pub(crate) fn view_after(&self, operation: &'static str, moment: Timestamp) -> View<'_> {
        View { store: self, operation, moment: Some(moment) }
    }

    /// A view that may lack the latest: for housekeeping, which decides by conditional writes and
    /// comes again.
    pub(crate) fn glance(&self, operation: &'static str) -> View<'_> {
        View { store: self, operation, moment: None }
    }
}

impl View<'_> {
    /// What the caller is told when a read failed.
    pub(crate) fn failed(&self, error: &Native) -> Error {
        failed(self.operation, error)
    }

    /// A session whose reads carry the moment. Each read has its own: a session cannot be shared.
    async fn session(&self) -> NativeResult<ClientSession> {
        let mut session = self.store.client.start_session().await?;
        if let Some(moment) = self.moment {
            session.advance_operation_time(moment);
        }
        Ok(session)
    }

    /// Finds documents.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        collection: &str,
        query: Query,
    ) -> Result<Vec<T>> {
        let found = self.find_native(collection, query).await;
        found.map_err(|error| self.failed(&error))
    }

    async fn find_native<T: DeserializeOwned>(
        &self,
        collection: &str,
        query: Query,
    ) -> NativeResult<Vec<T>> {
        let mut session = self.session().await?;
        let collection = self.store.collection(collection);
        let found = collection.find(query.filter).with_options(query.options).max_time(READ_LIMIT);
        let mut cursor = found.session(&mut session).await?;
        let mut rows = Vec::new();
        while cursor.advance(&mut session).await? {
            rows.push(read(cursor.current())?);
        }
        Ok(rows)
    }

    /// Finds one document of `data`.
    pub(crate) async fn find_one<T: DeserializeOwned>(&self, query: Query) -> Result<Option<T>> {
        Ok(self.find(DATA, query.limit(1)).await?.pop())
    }

    /// Reads what an aggregation of `data` gives.
    pub(crate) async fn aggregate<T: DeserializeOwned>(
        &self,
        pipeline: Vec<Document>,
    ) -> Result<Vec<T>> {
        let aggregated = async {
            let mut session = self.session().await?;
            let data = self.store.collection(DATA);
            let aggregate = data.aggregate(pipeline).max_time(READ_LIMIT);
            let mut cursor = aggregate.session(&mut session).await?;
            let mut rows = Vec::new();
            while cursor.advance(&mut session).await? {
                rows.push(read(cursor.current())?);
            }
            Ok(rows)
        };
        aggregated.await.map_err(|error| self.failed(&error))
    }

    /// Counts documents.
    pub(crate) async fn count(
        &self,
        collection: &str,
        filter: Document,
        index: &str,
    ) -> Result<u64> {
        let counted = async {
            let mut session = self.session().await?;
            let collection = self.store.collection(collection);
            let count = collection.count_documents(filter).hint(Hint::Name(index.to_owned()));
            count.max_time(COUNT_LIMIT).session(&mut session).await
        };
        counted.await.map_err(|error| self.failed(&error))
    }

    /// The head of a queue, open or moved; `QueueGone` if it is closed or missing.
    pub(crate) async fn head(&self, queue: &QueueRef) -> Result<Head> {
        let head = checked(queue, self.find_one(head_query(queue)).await?)?;
        self.store.bounds.note(&head);
        Ok(head)
    }

    /// The heads of some queues by incarnation, whatever their state, as far as they are there.
    pub(crate) async fn heads<'q>(
        &self,
        queues: impl Iterator<Item = &'q QueueRef>,
    ) -> Result<HashMap<i64, Head>> {
        let codes: Vec<i64> = queues.map(|queue| queue_code(queue.incarnation)).collect();
        let keys: Vec<String> = codes.iter().map(|q| head_key(*q)).collect();
        let filter = doc! { "_id": { "$in": keys }, "q": { "$in": codes } };
        let heads: Vec<Head> = self.find(DATA, Query::of(filter).by("_id_")).await?;
        Ok(heads.into_iter().map(|head| (head.q, head)).collect())
    }

    /// Up to where a queue was purged at least.
    pub(crate) fn purged(&self, queue: &QueueRef) -> i64 {
        self.store.bounds.purged(queue_code(queue.incarnation))
    }

    /// The position that a message has, or had; `None` if this queue never held it.
    pub(crate) async fn position_of(&self, queue: &QueueRef, id: MessageId) -> Result<Option<i64>> {
        if id.incarnation() == queue.incarnation {
            return Ok(position(id.sequence()));
        }
        let key = arrival_key(queue_code(queue.incarnation), id);
        let arrival: Option<Arrival> = self.find_one(Query::id(key)).await?;
        Ok(arrival.map(|arrival| arrival.at))
    }
}
