//! Posts: what waits for one queue goes into one transaction.
//!
//! A small batch goes in one round trip, if its place can be guessed (see [`super::guess`]). Otherwise
//! there are three, however many posts there are: lock the head; insert the messages at the
//! positions that follow; move the head's counter and commit. The lock is held to the commit, so
//! positions become visible in order, whoever posts from wherever (G9). Keys that posts were made
//! under are looked up behind the lock, and outbox entries are written in the same transaction.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Effect, Error, NewMessage, PostKey, PostMessages, Posted, QueueRef, Result, Timestamp, Ttl,
};
use zaqar_storage_lanes::LaneStep;

use crate::error::Failure;
use crate::layout::{
    CLAIMABLE, OPEN, POSITION_MAX, gone, length_code, positions_used_up, posted, refused_too,
    row_id, ttl_code,
};

use super::error::Broken;
use super::guess::{self, Places};
use super::heads::Head;
use super::inserts::{Bound, insert};
use super::outbox;
use super::row::SqlRow;
use super::server::Server;
use super::sql::sql;
use super::step::Step;
use super::task::Task;

pub(crate) const OPERATION: &str = "message_post";

/// A post.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) messages: Vec<NewMessage>,
    pub(crate) options: PostMessages,
}

/// What lanes do with posts.
#[derive(Debug)]
pub(crate) struct PostLane {
    pub(crate) server: Arc<Server>,
    places: Places,
}

type Answers = Vec<Result<Posted>>;

#[async_trait]
impl LaneStep for PostLane {
    type Key = QueueRef;
    type Operation = Post;
    type Answer = Posted;
    const OPERATION: &'static str = OPERATION;

    async fn run(&self, queue: &QueueRef, posts: Vec<Post>) -> Answers {
        let posts: Arc<[Post]> = posts.into();
        let broken = match self.batch(queue, Arc::clone(&posts)).await {
            Ok(answers) => return answers,
            Err(broken) => broken,
        };
        if broken.effect == Effect::Unknown || posts.len() == 1 {
            return posts.iter().map(|_| Err(broken.tell(OPERATION))).collect();
        }
        // Nothing was stored. Whose fault it was shows when each is alone.
        let mut answers = Vec::with_capacity(posts.len());
        for post in posts.iter() {
            let alone = self.batch(queue, [post.clone()].into()).await;
            answers.extend(alone.unwrap_or_else(|broken| vec![Err(broken.tell(OPERATION))]));
        }
        answers
    }
}

impl PostLane {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        Self { server, places: Places::default() }
    }

    async fn batch(&self, queue: &QueueRef, posts: Arc<[Post]>) -> Result<Answers, Broken> {
        if let Some(answers) = guess::store(&self.server, &self.places, queue, &posts).await? {
            return Ok(answers);
        }
        let bytes_max = self.server.packet_max / 2;
        let mut step = PostStep { queue: queue.clone(), posts, bytes_max, learned: None };
        let answers = self.server.transact_for_many(&mut step).await?;
        if let Some(Learned { number, next, guessable }) = step.learned {
            self.places.learn(queue, guessable.then_some((number, next)));
            self.server.horizon.advance(queue, (next - 1).unsigned_abs());
        }
        let refuse =
            |refusal| step.posts.iter().map(|_| Err(refused_too(queue, &refusal))).collect();
        Ok(answers.unwrap_or_else(refuse))
    }
}

/// A batch of posts to one queue.
#[derive(Debug)]
struct PostStep {
    queue: QueueRef,
    posts: Arc<[Post]>,
    /// Bytes that one statement may carry.
    bytes_max: usize,
    /// What was found of the queue and left behind.
    learned: Option<Learned>,
}

/// A queue after a batch was posted to it.
#[derive(Debug, Clone, Copy)]
struct Learned {
    number: i64,
    /// Where the next message goes.
    next: i64,
    /// Whether the next batch may be sent there at once.
    guessable: bool,
}

/// Keys that were used before: the digest, and what was stored.
type Known = HashMap<String, (Vec<u8>, i64, i64)>;

#[async_trait]
impl Task for PostStep {
    type Output = Answers;
    const OPERATION: &'static str = OPERATION;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Answers, Failure> {
        let head = step.head_any(&self.queue).await?;
        if head.check_open(&self.queue, false).is_err() {
            let refuse = |_: &Post| {
                head.check_open(&self.queue, false).and_then(|()| Err(gone(&self.queue)))
            };
            return Ok(self.posts.iter().map(refuse).collect());
        }
        let mut known = self.known_keys(step, &head).await?;
        let (mut answers, mut stored) = (Vec::new(), Vec::new());
        let mut next = head.next;
        for post in self.posts.iter() {
            let answer = self.place(post, &head, &mut known, &mut next);
            if let Ok(Placed::At(first)) = answer {
                stored.push((post, first));
            }
            answers.push(match answer {
                Ok(Placed::At(first)) => {
                    posted(&self.queue, row_id(head.number, first), post.messages.len())
                }
                Ok(Placed::Before(before)) => Ok(before),
                Err(error) => Err(error),
            });
        }
        self.store(step, &head, &stored, next).await?;
        let guessable = head.state == OPEN && !head.subscribed;
        self.learned = Some(Learned { number: head.number, next, guessable });
        Ok(answers)
    }
}

enum Placed {
    /// New messages, from this position on.
    At(i64),
    /// The key was used before, for the same messages.
    Before(Posted),
}

impl PostStep {
    async fn known_keys(&self, step: &mut Step<'_>, head: &Head) -> Result<Known, sqlx::Error> {
        let keyed = self.posts.iter().filter_map(|post| post.options.key.as_ref());
        let keys: Vec<String> = keyed.map(|key| key.key.to_string()).collect();
        if keys.is_empty() {
            return Ok(Known::new());
        }
        let select = sql("SELECT post_key, digest, first, count FROM post_keys \
             WHERE queue = $1 AND post_key IN ($2) AND expires > $3")
        .bind(head.number)
        .bind(keys)
        .bind(step.now.as_millis());
        let rows = step.rows(select).await?;
        let read = |row: &SqlRow| {
            Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?)))
        };
        rows.iter().map(read).collect()
    }

    /// Decides about one post, and takes its positions.
    fn place(&self, post: &Post, head: &Head, known: &mut Known, next: &mut i64) -> Result<Placed> {
        if let Some(key) = &post.options.key
            && let Some((digest, first, count)) = known.get(key.key.as_str())
        {
            if digest.as_slice() != key.digest {
                return Err(Error::IdempotencyConflict);
            }
            let count = usize::try_from(*count).unwrap_or(0);
            let mut before = posted(&self.queue, row_id(head.number, *first), count)?;
            before.repeated = true;
            return Ok(Placed::Before(before));
        }
        // What a key stands for is told where it is known, also after the queue has moved (G3).
        head.check_open(&self.queue, true)?;
        let (first, count) = (*next, length_code(post.messages.len()));
        if first.saturating_add(count) > POSITION_MAX {
            return Err(positions_used_up());
        }
        *next = first + count;
        if let Some(key) = &post.options.key {
            known.insert(key.key.to_string(), (key.digest.to_vec(), first, count));
        }
        Ok(Placed::At(first))
    }

    async fn store(
        &self,
        step: &mut Step<'_>,
        head: &Head,
        stored: &[(&Post, i64)],
        next: i64,
    ) -> Result<(), sqlx::Error> {
        if stored.is_empty() {
            return Ok(());
        }
        const TABLE: &str = "messages \
             (id, queue, avail, expires, ttl, posted, client, checksum, body)";
        let rows = message_rows(step.now, head.number, stored);
        insert(step, TABLE, &rows, self.bytes_max).await?;
        for (post, first) in stored {
            if let Some(key) = &post.options.key {
                remember(step, head, key, *first, length_code(post.messages.len()))?;
            }
        }
        if head.subscribed {
            outbox::record_posts(step, head.number, stored, self.bytes_max).await?;
        }
        let advance = sql("UPDATE heads SET next = $2 WHERE number = $1");
        step.later(advance.bind(head.number).bind(next))
    }
}

/// The rows of messages: id, queue, avail, expires, ttl, posted, client, checksum, body.
pub(crate) fn message_rows<'p>(
    now: Timestamp,
    number: i64,
    stored: &[(&'p Post, i64)],
) -> Vec<[Bound<'p>; 9]> {
    let mut rows = Vec::new();
    for (post, first) in stored {
        let client = post.options.client.as_ref().map(|client| client.as_str());
        for (message, position) in post.messages.iter().zip(*first..) {
            let delayed = message.delay > Ttl::ZERO;
            let avail = if delayed { now.after(message.delay).as_millis() } else { CLAIMABLE };
            rows.push([
                Bound::Int(row_id(number, position)),
                Bound::Int(number),
                Bound::Int(avail),
                Bound::Int(now.after(message.ttl).as_millis()),
                Bound::Int(ttl_code(message.ttl)),
                Bound::Int(now.as_millis()),
                Bound::opt(client),
                Bound::opt(message.checksum.as_deref()),
                Bound::text(message.body.as_str()),
            ]);
        }
    }
    rows
}

/// Remembers what was stored under a key, in place of one that was forgotten.
fn remember(
    step: &mut Step<'_>,
    head: &Head,
    key: &PostKey,
    first: i64,
    count: i64,
) -> Result<(), sqlx::Error> {
    let put = sql("REPLACE INTO post_keys (queue, post_key, digest, first, count, expires) \
         VALUES ($1, $2, $3, $4, $5, $6)")
    .bind(head.number)
    .bind(key.key.as_str())
    .bind(key.digest.as_slice())
    .bind(first)
    .bind(count)
    .bind(step.now.after(key.keep).as_millis());
    step.later(put)
}
