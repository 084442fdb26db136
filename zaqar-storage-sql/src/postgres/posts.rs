//! Posts: what waits for one queue goes into one transaction, and nearly always into one statement.
//!
//! The statement moves the queue's counter, which takes the head's row lock, and inserts all
//! messages at the positions it got. The lock is held to the commit, so positions become visible in
//! order, whoever posts from wherever (G9). If the queue has subscribers, or a post has a key, the
//! batch goes through [`super::post_step`] instead.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use zaqar_core::{Effect, NewMessage, PostMessages, Posted, QueueRef, Result, Timestamp, Ttl};
use zaqar_storage_lanes::LaneStep;

use crate::codes::counter_code;
use crate::layout::{CLAIMABLE, POSITION_MAX, gone, length_code, posted, ttl_code};

use super::error::Broken;
use super::post_step::PostStep;
use super::server::{Server, TaskFailed, WORK_MAX};
use super::step::Statement;

pub(crate) const OPERATION: &str = "message_post";

/// How late a commit may be before the messages' lives are prolonged, in milliseconds.
const LATE_MS_MAX: i64 = 250;

/// A post.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) messages: Vec<NewMessage>,
    pub(crate) options: PostMessages,
}

/// The rows of many posts, a list for each column.
#[derive(Debug, Default)]
pub(crate) struct Columns<'p> {
    pub(crate) avail: Vec<i64>,
    pub(crate) expires: Vec<i64>,
    pub(crate) ttl: Vec<i64>,
    pub(crate) client: Vec<Option<&'p str>>,
    pub(crate) body: Vec<&'p str>,
    pub(crate) checksum: Vec<Option<&'p str>>,
}

impl<'p> Columns<'p> {
    pub(crate) fn of(posts: impl Iterator<Item = &'p Post>, now: Timestamp) -> Self {
        let mut columns = Self::default();
        for post in posts {
            let client = post.options.client.as_ref().map(|client| client.as_str());
            for message in &post.messages {
                columns.add(message, client, now);
            }
        }
        columns
    }

    fn add(&mut self, message: &'p NewMessage, client: Option<&'p str>, now: Timestamp) {
        let delayed = message.delay > Ttl::ZERO;
        self.avail.push(if delayed { now.after(message.delay).as_millis() } else { CLAIMABLE });
        self.expires.push(now.after(message.ttl).as_millis());
        self.ttl.push(ttl_code(message.ttl));
        self.client.push(client);
        self.body.push(message.body.as_str());
        self.checksum.push(message.checksum.as_deref());
    }

    /// Binds the columns as `$n` to `$n + 6`, `posted` among them.
    pub(crate) fn bind(self, statement: Statement, now: Timestamp) -> Statement {
        statement
            .bind(self.avail)
            .bind(self.expires)
            .bind(self.ttl)
            .bind(self.client)
            .bind(self.body)
            .bind(self.checksum)
            .bind(now.as_millis())
    }
}

/// Inserts the rows bound as `$4` to `$10`; `h.first` is the row of the first.
macro_rules! insert_rows {
    ($head:literal) => {
        concat!(
            "m AS (INSERT INTO messages (id, queue, avail, expires, ttl, posted, claims, client) \
               SELECT h.first + u.place - 1, $1, u.avail, u.expires, u.ttl, $10, 0, u.client FROM ",
            $head,
            " AS h, unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::text[]) \
                 WITH ORDINALITY AS u (avail, expires, ttl, client, place)), \
             b AS (INSERT INTO bodies (id, body, checksum) \
               SELECT h.first + u.place - 1, u.body, u.checksum FROM ",
            $head,
            " AS h, unnest($8::text[], $9::text[]) WITH ORDINALITY AS u (body, checksum, place)) "
        )
    };
}
pub(crate) use insert_rows;

const POST: &str = concat!(
    "WITH head AS (UPDATE heads SET next = next + $2 \
       WHERE number = $1 AND state = 0 AND epoch <= $11 AND NOT subscribed AND next + $2 <= $3 \
       RETURNING (number << 35) | (next - $2) AS first), ",
    insert_rows!("head"),
    "SELECT first FROM head"
);

/// Lets messages live from when they were committed. A claim that comes by meanwhile passes over them,
/// so none may start behind them afterwards (see [`super::memory::Floor`]).
const PROLONG: &str = "WITH told AS (UPDATE releases SET count = count + 1 WHERE queue = $4) \
     UPDATE messages SET expires = expires + $3 WHERE id >= $1 AND id < $2 AND expires > 0";

/// What lanes do with posts.
#[derive(Debug)]
pub(crate) struct PostLane {
    pub(crate) server: Arc<Server>,
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
    async fn batch(&self, queue: &QueueRef, posts: Arc<[Post]>) -> Result<Answers, Broken> {
        let late = |_| {
            let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
            Err(Broken::committing(sqlx::Error::Io(late)))
        };
        let work = self.batch_unbounded(queue, posts);
        tokio::time::timeout(WORK_MAX, work).await.unwrap_or_else(late)
    }

    async fn batch_unbounded(
        &self,
        queue: &QueueRef,
        posts: Arc<[Post]>,
    ) -> Result<Answers, Broken> {
        let number = self.server.find_number(queue).await.map_err(Broken::inside)?;
        let Some(number) = number else {
            return Ok(posts.iter().map(|_| Err(gone(queue))).collect());
        };
        let keyed = posts.iter().any(|post| post.options.key.is_some());
        if !keyed && !self.server.memory.is_subscribed(number) {
            let first = self.at_once(queue, number, &posts).await.map_err(Broken::committing)?;
            if let Some(first) = first {
                return Ok(share_out(queue, &posts, first));
            }
        }
        // Closed, moved, full, subscribed or keyed: the step looks at the head and tells.
        let mut step = PostStep { queue: queue.clone(), posts };
        match self.server.transact_raw(&mut step).await {
            Ok(done) => {
                self.server.memory.set_subscribed(number, done.subscribed);
                Ok(done.answers)
            }
            Err(TaskFailed::Refused(_)) => {
                Ok(step.posts.iter().map(|_| Err(gone(queue))).collect())
            }
            Err(TaskFailed::Broken(broken)) => Err(broken),
        }
    }

    /// Posts in one statement; `None`: the head is not as this assumes, and nothing was stored.
    async fn at_once(
        &self,
        queue: &QueueRef,
        number: i64,
        posts: &[Post],
    ) -> Result<Option<i64>, sqlx::Error> {
        let now = self.server.clock.now();
        let rows = length_code(posts.iter().map(|post| post.messages.len()).sum());
        let make = || {
            let statement = sqlx::query(POST).bind(number).bind(rows).bind(POSITION_MAX);
            Columns::of(posts.iter(), now).bind(statement, now).bind(counter_code(queue.epoch))
        };
        let answer = self.server.write_raw(make).await?;
        let Some(row) = answer.first() else { return Ok(None) };
        let first: i64 = row.try_get(0)?;
        // The lives were computed before the lock was taken: make up for a pause in between (G8).
        let late_ms = self.server.clock.now().as_millis() - now.as_millis();
        if late_ms > LATE_MS_MAX {
            let prolong =
                || sqlx::query(PROLONG).bind(first).bind(first + rows).bind(late_ms).bind(number);
            // It is stored already, so a failure here must not read as if it were not.
            self.server.write_raw(prolong).await.map_err(|error| sqlx::Error::Io(lost(error)))?;
        }
        Ok(Some(first))
    }
}

fn lost(error: sqlx::Error) -> std::io::Error {
    std::io::Error::other(error)
}

/// The ids of each post, from the first row of all on.
pub(crate) fn share_out(queue: &QueueRef, posts: &[Post], first: i64) -> Answers {
    let mut next = first;
    let mut share = |post: &Post| {
        let row = next;
        next += length_code(post.messages.len());
        posted(queue, row, post.messages.len())
    };
    posts.iter().map(&mut share).collect()
}
