//! Purging a queue, and taking in messages that come from another.

use async_trait::async_trait;
use mongodb::bson::doc;
use zaqar_core::{Created, DeadLetterOrigin, Error, MessageMarker, MovedMessage, QueueRef};

use crate::error::{Failure, damaged};
use crate::origins::{NewArrival, OriginRow};
use crate::query::Query;
use crate::reader::Arrival;
use crate::rows::{NewRow, document, ttl_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::tables::{CLAIMABLE, POSITION_MAX, arrival_key, head_key, message_id, message_key};
use crate::task::Task;

/// Hides everything posted so far behind a mark; `gc` removes it.
#[derive(Debug)]
pub(crate) struct Purge(pub(crate) QueueRef);

#[async_trait]
impl Task for Purge {
    type Output = ();
    const OPERATION: &'static str = "message_purge";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.lock_head(&self.0, false, doc! { "$set": { "gc": true } }).await?;
        let purged = doc! { "$set": { "purged": head.next - 1 } };
        step.update(DATA, doc! { "_id": head_key(head.q) }, purged).await?;
        Ok(())
    }
}

/// Stores a message that comes from another queue, once (G10).
#[derive(Debug)]
pub(crate) struct InsertMoved {
    pub(crate) queue: QueueRef,
    pub(crate) message: MovedMessage,
}

#[async_trait]
impl Task for InsertMoved {
    type Output = Created<MessageMarker>;
    const OPERATION: &'static str = "message_insert_moved";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure> {
        // The lock first: two web heads that carry the same transfer meet here.
        let take = doc! { "$inc": { "next": 1_i64 } };
        let head = match step.lock_head(&self.queue, true, take).await {
            Err(Failure::Refused(Error::QueueMoved { .. })) => return self.known(step).await,
            head => head?,
        };
        let key = arrival_key(head.q, self.message.id);
        if let Some(known) = step.find_one::<Arrival>(Query::id(key.clone())).await? {
            let back = doc! { "$inc": { "next": -1_i64 } };
            step.update(DATA, doc! { "_id": head_key(head.q) }, back).await?;
            return Ok(Created::Existing(self.place(known.at)?));
        }
        let position = head.next;
        if position >= POSITION_MAX {
            let reason = "has used up its positions; use another queue".to_owned();
            return Err(Error::Invalid { field: "queue", reason }.into());
        }
        let message = &self.message;
        let origin = OriginRow::of(&DeadLetterOrigin::of(message, step.now));
        let arrival = NewArrival { key, q: head.q, at: position, origin };
        let row = NewRow {
            key: message_key(head.q, position),
            q: head.q,
            s: position,
            avail: CLAIMABLE,
            was: None,
            expires: step.now.after(message.ttl).as_millis(),
            ttl: ttl_code(message.ttl),
            posted: message.posted_at.as_millis(),
            claims: i64::from(message.claim_count),
            claim: None,
            client: None,
            origin: Some(message.id.to_string()),
            checksum: message.checksum.as_deref(),
            body: message.body.as_str(),
        };
        let documents = [document(&arrival)?, document(&row)?];
        step.insert(&documents).await?;
        Ok(Created::New(self.place(position)?))
    }
}

impl InsertMoved {
    fn place(&self, position: i64) -> Result<MessageMarker, Failure> {
        let id = message_id(self.queue.incarnation, position);
        let id = id.map_err(|_| Failure::Engine(damaged("position of a message")))?;
        Ok(MessageMarker::from(id))
    }

    /// A moved head takes no message, but knows still what arrived.
    async fn known(&self, step: &mut Step<'_>) -> Result<Created<MessageMarker>, Failure> {
        let head = step.head(&self.queue).await?;
        let key = arrival_key(head.q, self.message.id);
        match step.find_one::<Arrival>(Query::id(key)).await? {
            Some(known) => Ok(Created::Existing(self.place(known.at)?)),
            None => Err(head.moved(&self.queue).into()),
        }
    }
}
