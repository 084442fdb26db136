//! Messages: the controller. Writes go into their lanes, reads are here.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use tokio::sync::oneshot;
use zaqar_core::{
    ClaimId, Created, DeadLetterOrigin, Error, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MessageWatch, MovedMessage, NewMessage, Page, PageLimit, PostMessages, Posted,
    QueueEnd, QueueRef, QueueStats, Result, Timestamp,
};
use zaqar_storage_lanes::Weight;

use crate::available;
use crate::barrier::Place;
use crate::driver::MongoData;
use crate::error::{NativeResult, vanished};
use crate::heads::Head;
use crate::moves::{InsertMoved, Purge};
use crate::origins;
use crate::posts::Post;
use crate::query::Query;
use crate::reader::View;
use crate::removals::{Removal, Rule};
use crate::rows::MessageRow;
use crate::schema::DATA;
use crate::stats;
use crate::sweep::{self, Id};
use crate::tables::{CLAIMABLE, FROZEN, PARKED, POSITION_MAX, message_key, queue_code};
use crate::takes::Taker;

const LIST: &str = "message_list";

/// The filter of a listing from after a position on, and the index that holds all that it may show.
fn listing(
    q: i64,
    after: i64,
    options: &ListMessages,
    whole: bool,
    now: Timestamp,
) -> (Document, &'static str, Document) {
    let now_ms = now.as_millis();
    let mut filter = doc! { "q": q, "expires": { "$gt": now_ms } };
    if let Some(client) = &options.hide_client {
        filter.insert("client", doc! { "$ne": client.as_str() });
    }
    if !whole && !options.include_claimed && !options.include_delayed {
        // What is claimed or delayed ahead is not in this walk.
        filter.insert("avail", CLAIMABLE);
        filter.insert("s", doc! { "$gt": after });
        return (filter, "claimable", doc! { "s": 1 });
    }
    let low = message_key(q, after);
    filter.insert("_id", doc! { "$gt": low, "$lte": message_key(q, POSITION_MAX) });
    let mut hidden = Vec::new();
    if !options.include_claimed {
        hidden.push(doc! { "avail": PARKED });
        hidden.push(waits(true, now_ms));
    }
    if !options.include_delayed {
        hidden.push(waits(false, now_ms));
    }
    if !hidden.is_empty() {
        filter.insert("$nor", hidden);
    }
    (filter, "_id_", doc! { "_id": 1 })
}

/// What is claimed, or else what is delayed; what is on its way as it was.
fn waits(claimed: bool, now_ms: i64) -> Document {
    doc! {
        "claim": { "$exists": claimed },
        "$or": [{ "avail": { "$gt": now_ms } }, { "avail": FROZEN, "was": { "$gt": now_ms } }],
    }
}

impl MongoData {
    /// The position that a marker stands for: the queue's own place, or where a message moved in
    /// stands.
    async fn position_of_marker(
        view: &View<'_>,
        queue: &QueueRef,
        marker: MessageMarker,
    ) -> Result<i64> {
        let id = MessageId::from(marker);
        let found = view.position_of(queue, id).await?;
        // A place that no message can have lies behind the end; another incarnation's is no place.
        let own = id.incarnation() == queue.incarnation;
        Ok(found.unwrap_or(if own { POSITION_MAX } else { 0 }))
    }

    /// Reads messages of a queue, then its head; `None` if more was purged than was known, so that
    /// the read is to be done anew.
    async fn read(
        view: &View<'_>,
        queue: &QueueRef,
        query: Query,
        now: Timestamp,
    ) -> Result<Option<Vec<Message>>> {
        let read = Self::read_under(view, queue, query, now).await?;
        Ok(read.map(|(messages, _)| messages))
    }

    /// The same, with the head.
    async fn read_under(
        view: &View<'_>,
        queue: &QueueRef,
        query: Query,
        now: Timestamp,
    ) -> Result<Option<(Vec<Message>, Head)>> {
        let known = view.purged(queue);
        let rows: Vec<MessageRow> = view.find(DATA, query).await?;
        let head = view.head(queue).await?;
        if head.purged > known {
            return Ok(None);
        }
        let shown = rows.into_iter().filter(|row| row.s > head.purged);
        let messages: NativeResult<Vec<Message>> =
            shown.map(|row| row.message(queue.incarnation, now)).collect();
        let messages = messages.map_err(|error| view.failed(&error))?;
        Ok(Some((messages, head)))
    }

    /// What of the queue is on its way, if it ever moved. One that did not costs no look.
    async fn on_its_way(view: &View<'_>, queue: &QueueRef) -> Result<(i64, i64)> {
        if queue.epoch == 0 {
            return Ok((0, 0));
        }
        let head = view.head(queue).await?;
        Ok((head.from, head.to))
    }

    async fn find_some(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<HashMap<MessageId, Message>> {
        let store = &self.handle.store;
        let q = queue_code(queue.incarnation);
        let view = store.view(operation, Place::Queue(q)).await?;
        let mut keys = Vec::with_capacity(ids.len());
        for id in ids {
            let position = view.position_of(queue, *id).await?;
            keys.extend(position.map(|position| message_key(q, position)));
        }
        loop {
            let now = store.clock.now();
            let filter = doc! {
                "_id": { "$in": keys.clone() },
                "q": q,
                "expires": { "$gt": now.as_millis() },
            };
            if let Some(found) = Self::read(&view, queue, Query::of(filter), now).await? {
                return Ok(found.into_iter().map(|message| (message.id, message)).collect());
            }
        }
    }

    async fn remove(&self, queue: &QueueRef, ids: Vec<MessageId>, rule: Rule) -> Result<()> {
        let party = Some(queue.key.project.clone());
        let weight = Weight::new(ids.len(), 0);
        let (caller, underway) = self.handle.store.abandoned.begin(Some(queue)).await;
        let removal = Removal { ids, rule, _underway: underway };
        let answer = self.handle.removals.submit(&party, queue, weight, removal).await;
        caller.answered();
        answer
    }
}

#[async_trait]
impl MessageController for MongoData {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        let max = zaqar_core::limits::MESSAGES_PER_POST_MAX;
        if messages.is_empty() || messages.len() > max {
            let reason = format!("must be 1 to {max}");
            return Err(Error::Invalid { field: "number of messages", reason });
        }
        let party = Some(queue.key.project.clone());
        let bytes = messages.iter().map(|message| message.body.len()).sum();
        let weight = Weight::new(messages.len(), bytes);
        let (caller, underway) = self.handle.store.abandoned.begin(Some(queue)).await;
        let post = Post { messages, options, _underway: underway };
        let answer = self.handle.posts.submit(&party, queue, weight, post).await;
        caller.answered();
        answer
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        let store = &self.handle.store;
        let q = queue_code(queue.incarnation);
        let view = store.view(LIST, Place::Queue(q)).await?;
        let after = match options.marker {
            None => 0,
            Some(marker) => Self::position_of_marker(&view, queue, marker).await?,
        };
        let mut whole = false;
        loop {
            // What is on its way is not among what can be claimed, and shown nevertheless.
            let (start, end) = Self::on_its_way(&view, queue).await?;
            whole |= start < end;
            let now = store.clock.now();
            let from = after.max(view.purged(queue));
            let (filter, index, order) = listing(q, from, &options, whole, now);
            if index == "claimable"
                && !view.find::<Id>(DATA, sweep::any_matured(q, now)).await?.is_empty()
            {
                // Free by time, but not in the index yet: it must not be stepped over.
                let release = |store: std::sync::Arc<crate::store::Store>| async move {
                    sweep::release(&store, q, now).await
                };
                let party = Some(queue.key.project.clone());
                let released = self.handle.finish(party, LIST, release).await?;
                // Somebody released it, and the majority does not know yet: look at each message.
                whole = released == 0;
                continue;
            }
            let limit = i64::from(options.limit.get());
            let query = Query::of(filter).by(index).sort(order).limit(limit);
            let Some((messages, head)) = Self::read_under(&view, queue, query, now).await? else {
                continue;
            };
            let stands_still = queue.epoch == 0 || (head.from, head.to) == (start, end);
            if index != "claimable" || stands_still {
                return Ok(Page::of(messages, |message| message.marker));
            }
        }
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        let store = &self.handle.store;
        let q = queue_code(queue.incarnation);
        let view = store.view("message_first", Place::Queue(q)).await?;
        loop {
            let now = store.clock.now();
            let query = stats::edge(q, view.purged(queue), end, now);
            if let Some(found) = Self::read(&view, queue, query, now).await? {
                return Ok(found.into_iter().next());
            }
        }
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        let mut found = self.find_some("message_get", queue, &[id]).await?;
        let missing = || Error::MessageNotFound { queue: queue.key.name.clone(), id };
        found.remove(&id).ok_or_else(missing)
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        let mut seen = HashSet::new();
        let ids: Vec<MessageId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let mut found = self.find_some("message_bulk_get", queue, &ids).await?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.remove(queue, vec![id], claim.map_or(Rule::Free, Rule::HeldBy)).await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        let rule = claims.map_or(Rule::Any, |claims| Rule::AllHeldBy(claims.to_vec()));
        self.remove(queue, ids.to_vec(), rule).await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        let (reply, answer) = oneshot::channel();
        self.take(queue, limit, Taker::Pop(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(vanished("message_pop")))
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, Purge(queue.clone())).await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        stats::queue(&self.handle.store, queue).await
    }

    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        available::of_watches(&self.handle.store, watches).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.run(queue, InsertMoved { queue: queue.clone(), message }).await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        origins::origins(&self.handle.store, queue, ids).await
    }
}
