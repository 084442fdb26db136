//! Posts: what waits for one queue goes into one transaction.
//!
//! It takes the head's lock and the positions in one command, inserts messages, outbox entries and
//! keys in another, and commits: three round trips and one journal flush, however many posts
//! gathered. A web head has one such transaction per queue in flight, so its posts never conflict
//! with each other, and those of several web heads only at the head.

use async_trait::async_trait;
use mongodb::bson::{RawDocumentBuf, doc};
use std::sync::Arc;
use zaqar_core::{
    Effect, Error, NewMessage, PostMessages, Posted, QueueRef, Result, Timestamp, Ttl,
};
use zaqar_storage_lanes::LaneStep;

use crate::abandoned::Underway;
use crate::error::{Failure, NativeResult, damaged, engine_error};
use crate::heads::Head;
use crate::outbox;
use crate::post_keys;
use crate::rows::{NewRow, document, length_code, ttl_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::store::Store;
use crate::tables::{
    CLAIMABLE, FROZEN, POSITION_MAX, head_key, message_id, message_key, queue_code,
};
use crate::task::{Task, transact};

/// How late a commit may be before the messages' lives are prolonged, in milliseconds.
const LATE_MS_MAX: i64 = 250;

/// A post that waits in its queue's lane.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) messages: Vec<NewMessage>,
    pub(crate) options: PostMessages,
    pub(crate) _underway: Underway,
}

/// Posts all that waits in a lane.
#[derive(Debug)]
pub(crate) struct PostStep(pub(crate) Arc<Store>);

#[async_trait]
impl LaneStep for PostStep {
    type Key = QueueRef;
    type Operation = Post;
    type Answer = Posted;
    const OPERATION: &'static str = "message_post";

    async fn run(&self, queue: &QueueRef, posts: Vec<Post>) -> Vec<Result<Posted>> {
        let count = posts.len();
        let mut batch = Batch { queue: queue.clone(), posts };
        match transact(&self.0, &mut batch).await {
            Ok(stored) => {
                let prolonged = prolong(&self.0, queue, &stored).await;
                let answer = |outcome| match (outcome, &prolonged) {
                    (Ok(posted), Ok(())) => Ok(posted),
                    (Ok(_), Err(error)) => Err(same(error)),
                    (Err(error), _) => Err(error),
                };
                stored.outcomes.into_iter().map(answer).collect()
            }
            Err(error) => (0..count).map(|_| Err(same(&error))).collect(),
        }
    }
}

/// The same failure for each operation of a batch.
pub(crate) fn same(error: &Error) -> Error {
    match error {
        Error::QueueGone { name } => Error::QueueGone { name: name.clone() },
        Error::QueueMoved { name, epoch } => {
            Error::QueueMoved { name: name.clone(), epoch: *epoch }
        }
        Error::QueueMoving { name } => Error::QueueMoving { name: name.clone() },
        Error::Invalid { field, reason } => Error::Invalid { field, reason: reason.clone() },
        Error::Backend { operation, effect, retry, source } => {
            Error::backend(operation, *effect, *retry, source.to_string())
        }
        other => Error::backend(
            "batch",
            Effect::None,
            zaqar_core::Retry::Later,
            format!("the batch was refused: {other}"),
        ),
    }
}

/// What a batch stored.
#[derive(Debug)]
struct Stored {
    outcomes: Vec<Result<Posted>>,
    /// The moment from which the messages' lives were reckoned.
    since: Timestamp,
    /// The positions: from the first on, before the second.
    positions: (i64, i64),
}

/// All posts of a batch.
#[derive(Debug)]
struct Batch {
    queue: QueueRef,
    posts: Vec<Post>,
}

#[async_trait]
impl Task for Batch {
    type Output = Stored;
    const OPERATION: &'static str = "message_post";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Stored, Failure> {
        let wanted = self.posts.iter().map(|post| length_code(post.messages.len())).sum::<i64>();
        let take = doc! { "$inc": { "next": wanted } };
        let head = match step.lock_head(&self.queue, true, take).await {
            Err(Failure::Refused(Error::QueueMoved { .. })) => return self.repeats(step).await,
            head => head?,
        };
        if head.next.saturating_add(wanted) > POSITION_MAX {
            let reason = "has used up its positions; use another queue".to_owned();
            return Err(Error::Invalid { field: "queue", reason }.into());
        }
        let known = post_keys::find(step, head.q, &self.posts).await?;
        let (mut next, mut documents) = (head.next, Vec::new());
        let mut outcomes = Vec::with_capacity(self.posts.len());
        let mut fresh = post_keys::Fresh::default();
        for post in &self.posts {
            let before = match &post.options.key {
                Some(key) => post_keys::repeated(&self.queue, key, &known, &fresh, step.now),
                None => None,
            };
            if let Some(outcome) = before {
                outcomes.push(outcome);
                continue;
            }
            let first = next;
            next += length_code(post.messages.len());
            write(&mut documents, &head, post, first, step.now)?;
            if let Some(key) = &post.options.key {
                let count = post.messages.len();
                documents.extend(fresh.record(head.q, key, first, count, &known, step.now)?);
            }
            outcomes.push(ids(&self.queue, first, post.messages.len(), false));
        }
        // What a repeat did not need is given back in the same transaction: no gap is ever seen.
        let unused = head.next + wanted - next;
        if unused > 0 {
            let give_back = doc! { "$inc": { "next": -unused } };
            step.update(DATA, doc! { "_id": head_key(head.q) }, give_back).await?;
        }
        fresh.replace_forgotten(step).await?;
        if !documents.is_empty() {
            step.insert(&documents).await?;
        }
        Ok(Stored { outcomes, since: step.now, positions: (head.next, next) })
    }
}

impl Batch {
    /// A moved head takes no message, but knows still what was posted under a key (G3).
    async fn repeats(&self, step: &mut Step<'_>) -> Result<Stored, Failure> {
        let head = step.head(&self.queue).await?;
        let known = post_keys::find(step, head.q, &self.posts).await?;
        let fresh = post_keys::Fresh::default();
        let answer = |post: &Post| {
            let key = post.options.key.as_ref();
            let before =
                key.and_then(|key| post_keys::repeated(&self.queue, key, &known, &fresh, step.now));
            before.unwrap_or_else(|| Err(head.moved(&self.queue)))
        };
        let outcomes = self.posts.iter().map(answer).collect();
        Ok(Stored { outcomes, since: step.now, positions: (head.next, head.next) })
    }
}

/// Writes a post's messages, and its outbox entry if anyone subscribes (G13).
fn write(
    documents: &mut Vec<RawDocumentBuf>,
    head: &Head,
    post: &Post,
    first: i64,
    now: Timestamp,
) -> NativeResult<()> {
    let client = post.options.client.as_ref().map(|client| client.as_str());
    for (position, message) in (first..).zip(&post.messages) {
        let delayed = message.delay > Ttl::ZERO;
        let row = NewRow {
            key: message_key(head.q, position),
            q: head.q,
            s: position,
            avail: if delayed { now.after(message.delay).as_millis() } else { CLAIMABLE },
            was: None,
            expires: now.after(message.ttl).as_millis(),
            ttl: ttl_code(message.ttl),
            posted: now.as_millis(),
            claims: 0,
            claim: None,
            client,
            origin: None,
            checksum: message.checksum.as_deref(),
            body: message.body.as_str(),
        };
        documents.push(document(&row)?);
    }
    if head.subscribed {
        outbox::write_entries(documents, head.q, first, &post.messages, now)?;
    }
    Ok(())
}

/// The ids of `count` messages from position `first` on.
pub(crate) fn ids(queue: &QueueRef, first: i64, count: usize, repeated: bool) -> Result<Posted> {
    let ids: Result<Vec<_>, _> =
        (first..).take(count).map(|position| message_id(queue.incarnation, position)).collect();
    let damaged = |_| engine_error("message_post", Effect::None, &damaged("position of a message"));
    Ok(Posted { ids: ids.map_err(damaged)?, repeated })
}

/// Lets messages live from when they were committed, if that was late: a life counts from its
/// acknowledgement (G8).
async fn prolong(store: &Store, queue: &QueueRef, stored: &Stored) -> Result<()> {
    let late = store.clock.now().as_millis() - stored.since.as_millis();
    let (first, end) = stored.positions;
    if late <= LATE_MS_MAX || first == end {
        return Ok(());
    }
    let q = queue_code(queue.incarnation);
    let range = doc! { "$gte": message_key(q, first), "$lt": message_key(q, end) };
    // What is on its way was read as it is; the other store would keep another life than this one.
    let filter = doc! {
        "_id": range,
        "q": q,
        "expires": { "$gt": 0_i64 },
        "avail": { "$ne": FROZEN },
    };
    // In doubt it is not repeated: the messages are stored, and live a little shorter.
    let prolonged =
        store.update("message_post", filter, doc! { "$inc": { "expires": late } }).await;
    match prolonged {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Error::backend("message_post", Effect::Unknown, error.retry(), error.to_string()))
        }
    }
}
