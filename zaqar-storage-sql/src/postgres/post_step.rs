//! Posts that need more than one statement: to a queue with subscribers, or under a key.
//!
//! All posts of a batch share a transaction of a fixed number of statements: lock the head, look the
//! keys up, insert the messages, the keys and the outbox entries, move the counter.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use zaqar_core::{Error, PostKey, Posted, QueueRef, Result};

use crate::error::Failure;
use crate::layout::{POSITION_MAX, length_code, position_of, positions_used_up, posted, row_id};

use super::heads::Head;
use super::outbox;
use super::posts::{Columns, OPERATION, Post, insert_rows};
use super::step::Step;
use super::task::Task;

const INSERT: &str = concat!(
    "WITH head AS (UPDATE heads SET next = $3 WHERE number = $1 RETURNING $2::bigint AS first), ",
    insert_rows!("head"),
    "SELECT first FROM head"
);

/// A batch of posts to one queue.
#[derive(Debug)]
pub(crate) struct PostStep {
    pub(crate) queue: QueueRef,
    pub(crate) posts: Arc<[Post]>,
}

/// What became of the batch.
#[derive(Debug)]
pub(crate) struct PostsDone {
    pub(crate) answers: Vec<Result<Posted>>,
    /// Whether somebody subscribes to the queue.
    pub(crate) subscribed: bool,
}

/// A batch that has a key's earlier use: the digest, and what was stored.
type Known = HashMap<String, (Vec<u8>, i64, i64)>;

#[async_trait]
impl Task for PostStep {
    type Output = PostsDone;
    const OPERATION: &'static str = OPERATION;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<PostsDone, Failure> {
        let head = step.head_any(&self.queue).await?;
        if head.check_open(&self.queue, false).is_err() {
            let refuse = |_: &Post| match head.check_open(&self.queue, false) {
                Err(error) => Err(error),
                Ok(()) => Err(crate::layout::gone(&self.queue)),
            };
            let answers = self.posts.iter().map(refuse).collect();
            return Ok(PostsDone { answers, subscribed: false });
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
        Ok(PostsDone { answers, subscribed: head.subscribed })
    }
}

enum Placed {
    /// New messages, from this position on.
    At(i64),
    /// The key was used before, for the same messages.
    Before(Posted),
}

impl PostStep {
    fn keys(&self) -> impl Iterator<Item = &PostKey> {
        self.posts.iter().filter_map(|post| post.options.key.as_ref())
    }

    async fn known_keys(&self, step: &mut Step<'_>, head: &Head) -> Result<Known, sqlx::Error> {
        let keys: Vec<&str> = self.keys().map(|key| key.key.as_str()).collect();
        if keys.is_empty() {
            return Ok(Known::new());
        }
        let select = sqlx::query(
            "SELECT key, digest, first, count FROM post_keys \
             WHERE queue = $1 AND key = ANY ($2) AND expires > $3",
        )
        .bind(head.number)
        .bind(keys)
        .bind(step.now.as_millis());
        let rows = step.rows(select).await?;
        let read = |row: &sqlx::postgres::PgRow| {
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
        let Some((_, first)) = stored.first() else { return Ok(()) };
        let insert =
            sqlx::query(INSERT).bind(head.number).bind(row_id(head.number, *first)).bind(next);
        let posts = stored.iter().map(|(post, _)| *post);
        let insert = Columns::of(posts, step.now).bind(insert, step.now);
        step.execute(insert).await?;
        self.store_keys(step, head, stored).await?;
        if head.subscribed {
            outbox::record_posts(step, head.number, stored).await?;
        }
        Ok(())
    }

    /// Remembers what was stored, in place of keys that were forgotten.
    async fn store_keys(
        &self,
        step: &mut Step<'_>,
        head: &Head,
        stored: &[(&Post, i64)],
    ) -> Result<(), sqlx::Error> {
        let keyed: Vec<(&PostKey, i64, i64)> = stored
            .iter()
            .filter_map(|(post, first)| {
                let key = post.options.key.as_ref()?;
                Some((key, position_of(*first), length_code(post.messages.len())))
            })
            .collect();
        if keyed.is_empty() {
            return Ok(());
        }
        let end = |key: &PostKey| step.now.after(key.keep).as_millis();
        let insert = sqlx::query(
            "INSERT INTO post_keys (queue, key, digest, first, count, expires) \
             SELECT $1, * FROM \
               unnest($2::text[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[]) \
             ON CONFLICT (queue, key) DO UPDATE SET digest = excluded.digest, \
               first = excluded.first, count = excluded.count, expires = excluded.expires",
        )
        .bind(head.number)
        .bind(keyed.iter().map(|(key, _, _)| key.key.as_str()).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(key, _, _)| key.digest.to_vec()).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(_, first, _)| *first).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(_, _, count)| *count).collect::<Vec<_>>())
        .bind(keyed.iter().map(|(key, _, _)| end(key)).collect::<Vec<_>>());
        step.execute(insert).await?;
        Ok(())
    }
}
