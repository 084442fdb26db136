//! Posts: places first, then the rows of all posts of a batch.

use std::sync::Arc;

use rusqlite::params;
use tokio::sync::oneshot;
use zaqar_core::{Effect, Error, NewMessage, PostMessages, Posted, QueueRef, Result, Ttl};

use crate::error::{Failure, engine_error};
use crate::layout::{
    CLAIMABLE, POSITION_MAX, length_code, positions_used_up, posted, row_id, ttl_code,
};

use super::engine::native;
use super::heads::Head;
use super::outbox;
use super::post_keys;
use super::step::Step;
use super::task::answer;

pub(super) const INSERT_BODY: &str = "INSERT INTO bodies (id, body, checksum) VALUES (?, ?, ?)";
const INSERT_MESSAGE: &str = "INSERT INTO messages \
       (id, queue, avail, expires, ttl, posted, claims, client) VALUES (?, ?, ?, ?, ?, ?, 0, ?)";
const UPDATE_COUNTER: &str = "UPDATE heads SET next = ? WHERE number = ?";

const OPERATION: &str = "message_post";

/// A post together with whoever waits for it.
pub(crate) struct Post {
    pub(crate) queue: QueueRef,
    pub(crate) messages: Vec<NewMessage>,
    pub(crate) options: PostMessages,
    pub(crate) reply: oneshot::Sender<Result<Posted>>,
    pub(crate) outcome: Option<Result<Posted>>,
}

impl Post {
    pub(crate) fn settle(self) {
        let lost = || Err(crate::error::closed(OPERATION));
        answer(self.reply, self.outcome.unwrap_or_else(lost));
    }

    pub(crate) fn fail(self, effect: Effect, error: &Arc<sqlx::Error>) {
        answer(self.reply, Err(engine_error(OPERATION, effect, error)));
    }

    pub(crate) fn refuse(self, make: &dyn Fn(&'static str) -> Error) {
        answer(self.reply, Err(make(OPERATION)));
    }
}

/// Executes all posts of a batch: places first, then the rows of all of them together.
pub(crate) async fn execute(step: &mut Step<'_>, posts: &mut [Post]) -> Result<(), sqlx::Error> {
    if posts.is_empty() {
        return Ok(());
    }
    let mut firsts = Vec::with_capacity(posts.len());
    for post in posts.iter_mut() {
        let placed = place(step, post).await;
        firsts.push(match placed {
            Ok(Placed::At(head, first)) => {
                post.outcome = None;
                Some((head, first))
            }
            Ok(Placed::Before(posted)) => {
                post.outcome = Some(Ok(posted));
                None
            }
            Err(Failure::Refused(error)) => {
                post.outcome = Some(Err(error));
                None
            }
            Err(Failure::Engine(error)) => return Err(error),
        });
    }
    insert(step, posts, &firsts)?;
    for (post, first) in posts.iter_mut().zip(&firsts) {
        if let Some((head, first)) = first {
            record(step, post, head, *first).await?;
            let first = row_id(head.number, *first);
            post.outcome = Some(posted(&post.queue, first, post.messages.len()));
        }
    }
    Ok(())
}

enum Placed {
    /// New messages, from this position on.
    At(Head, i64),
    /// The key was used before, for the same messages.
    Before(Posted),
}

/// Checks the head and the key, and takes the positions.
async fn place(step: &mut Step<'_>, post: &Post) -> Result<Placed, Failure> {
    let mut head = step.head(&post.queue).await?;
    // What a key stands for is told where it is known, also after the queue has moved (G3).
    if let Some(key) = &post.options.key
        && let Some(posted) = post_keys::find(step, &post.queue, &head, key).await?
    {
        return Ok(Placed::Before(posted));
    }
    head.check_open(&post.queue, true)?;
    let first = head.next;
    // At most a thousand messages, so the sum cannot overflow.
    head.next += length_code(post.messages.len());
    if head.next > POSITION_MAX {
        return Err(positions_used_up().into());
    }
    step.heads.put(&post.queue, head);
    if let Some(key) = &post.options.key {
        post_keys::record(step, &head, key, first, post.messages.len()).await?;
    }
    Ok(Placed::At(head, first))
}

fn insert(
    step: &Step<'_>,
    posts: &[Post],
    firsts: &[Option<(Head, i64)>],
) -> Result<(), sqlx::Error> {
    let mut insert_body = step.prepare(INSERT_BODY)?;
    let mut insert_message = step.prepare(INSERT_MESSAGE)?;
    // The last post of a queue in this batch knows where its counter ends.
    let mut counters: Vec<(i64, i64)> = Vec::new();
    for (post, first) in posts.iter().zip(firsts) {
        let Some((head, first)) = first else { continue };
        let client = post.options.client.as_ref().map(|client| client.as_str());
        for (position, message) in (*first..).zip(&post.messages) {
            let id = row_id(head.number, position);
            let body = params![id, message.body.as_str(), message.checksum.as_deref()];
            insert_body.execute(body).map_err(native)?;
            let delayed = message.delay > Ttl::ZERO;
            let avail = if delayed { step.now.after(message.delay).as_millis() } else { CLAIMABLE };
            let small = params![
                id,
                head.number,
                avail,
                step.now.after(message.ttl).as_millis(),
                ttl_code(message.ttl),
                step.now.as_millis(),
                client,
            ];
            insert_message.execute(small).map_err(native)?;
        }
        match counters.iter_mut().find(|(number, _)| *number == head.number) {
            Some((_, next)) => *next = head.next,
            None => counters.push((head.number, head.next)),
        }
    }
    let mut update_counter = step.prepare(UPDATE_COUNTER)?;
    for (number, next) in counters {
        update_counter.execute([next, number]).map_err(native)?;
    }
    Ok(())
}

/// Records what else belongs to the post: its outbox entry (G13).
async fn record(
    step: &mut Step<'_>,
    post: &Post,
    head: &Head,
    first: i64,
) -> Result<(), sqlx::Error> {
    if head.subscribed {
        outbox::record_post(step, head.number, first, &post.messages).await?;
    }
    Ok(())
}
