//! Posts: all posts of a batch become one multi-row insert; where nothing else is in the batch and
//! they all go to one known queue, that insert is the whole transaction ([`AtOnce`]).

use std::sync::{Arc, OnceLock};

use tokio::sync::oneshot;
use zaqar_core::{
    Effect, Error, MessageId, NewMessage, PostMessages, Posted, QueueRef, Result, Timestamp, Ttl,
};

use crate::error::{Failure, engine_error};

use super::heads::{Head, HeadCache};
use super::outbox;
use super::post_keys;
use super::script::Script;
use super::step::Step;
use super::tables::{CLAIMABLE, OPEN, POSITION_MAX, message_id, row_id};
use super::task::answer;

/// Rows of one insert; its text is prepared once for each number of rows.
const ROWS_PER_INSERT_MAX: usize = 64;
/// Rows of a post that is one statement, likewise.
const ROWS_AT_ONCE_MAX: usize = 256;

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

/// A message with its place, ready to be inserted.
struct NewRow<'p> {
    id: i64,
    number: i64,
    message: &'p NewMessage,
    client: Option<&'p str>,
}

/// Executes all posts of a batch: places first, then the rows of all of them together.
pub(crate) async fn execute(step: &mut Step<'_>, posts: &mut [Post]) -> Result<(), sqlx::Error> {
    if posts.is_empty() {
        return Ok(());
    }
    // Lives count from a moment at which the step holds the lock (G8).
    step.begin().await?;
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
    insert(step, posts, &firsts).await?;
    for (post, first) in posts.iter_mut().zip(&firsts) {
        if let Some((head, first)) = first {
            record(step, post, head, *first).await?;
            post.outcome = Some(ids(&post.queue, head, *first, post.messages.len()));
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
    let mut head = step.head_any(&post.queue).await?;
    head.check_open(&post.queue, true)?;
    if let Some(key) = &post.options.key
        && let Some(posted) = post_keys::find(step, &post.queue, &head, key).await?
    {
        return Ok(Placed::Before(posted));
    }
    let first = head.next;
    // At most a thousand messages, so the sum cannot overflow.
    head.next += i64::try_from(post.messages.len()).unwrap_or(POSITION_MAX);
    if head.next > POSITION_MAX {
        let reason = "has used up its positions; use another queue".to_owned();
        return Err(Error::Invalid { field: "queue", reason }.into());
    }
    step.heads.put(&post.queue, head);
    if let Some(key) = &post.options.key {
        post_keys::record(step, &head, key, first, post.messages.len()).await?;
    }
    Ok(Placed::At(head, first))
}

async fn insert(
    step: &mut Step<'_>,
    posts: &[Post],
    firsts: &[Option<(Head, i64)>],
) -> Result<(), sqlx::Error> {
    let mut rows = Vec::new();
    // The last post of a queue in this batch knows where its counter ends.
    let mut counters: Vec<(i64, i64)> = Vec::new();
    for (post, first) in posts.iter().zip(firsts) {
        let Some((head, first)) = first else { continue };
        let client = post.options.client.as_ref().map(|client| client.as_str());
        for (position, message) in (*first..).zip(&post.messages) {
            let id = row_id(head.number, position);
            rows.push(NewRow { id, number: head.number, message, client });
        }
        match counters.iter_mut().find(|(number, _)| *number == head.number) {
            Some((_, next)) => *next = head.next,
            None => counters.push((head.number, head.next)),
        }
    }
    let mut chunks = rows.chunks(ROWS_PER_INSERT_MAX).peekable();
    while let Some(chunk) = chunks.next() {
        let script = insert_script(step, chunk);
        if chunks.peek().is_some() {
            step.execute(script.into_statement()).await?;
        } else {
            step.defer(script);
        }
    }
    for (number, next) in counters {
        let update = Script::of("UPDATE heads SET next = ? WHERE number = ?");
        step.defer(update.integer(next).integer(number));
    }
    Ok(())
}

fn insert_script(step: &Step<'_>, rows: &[NewRow<'_>]) -> Script {
    let mut script = Script::of(&insert_text(rows.len()));
    for row in rows {
        script = script
            .integer(row.id)
            .text(row.message.body.shared())
            .text_or_null(row.message.checksum.clone());
    }
    for row in rows {
        let delayed = row.message.delay > Ttl::ZERO;
        let avail = if delayed { step.now.after(row.message.delay).as_millis() } else { CLAIMABLE };
        script = script
            .integer(row.id)
            .integer(row.number)
            .integer(avail)
            .integer(step.now.after(row.message.ttl).as_millis())
            .integer(ttl_code(row.message.ttl))
            .integer(step.now.as_millis())
            .text_or_null(row.client);
    }
    script
}

/// The stored form of a time-to-live.
pub(crate) fn ttl_code(ttl: Ttl) -> i64 {
    // At most TTL_S_MAX, by construction.
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)
}

/// The insert of so many rows into both tables.
fn insert_text(rows: usize) -> Arc<str> {
    static TEXTS: [OnceLock<Arc<str>>; ROWS_PER_INSERT_MAX + 1] =
        [const { OnceLock::new() }; ROWS_PER_INSERT_MAX + 1];
    let make = || {
        let bodies = vec!["(?,?,?)"; rows].join(",");
        let messages = vec!["(?,?,?,?,?,?,0,?)"; rows].join(",");
        Arc::from(format!(
            "INSERT INTO bodies (id, body, checksum) VALUES {bodies};\
             INSERT INTO messages (id, queue, avail, expires, ttl, posted, claims, client) \
             VALUES {messages}"
        ))
    };
    TEXTS.get(rows).map_or_else(make, |text| Arc::clone(text.get_or_init(make)))
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

/// The ids of `count` messages from position `first` on.
pub(crate) fn ids(queue: &QueueRef, head: &Head, first: i64, count: usize) -> Result<Posted> {
    let ids: Result<Vec<MessageId>, _> = (first..)
        .take(count)
        .map(|position| message_id(queue.incarnation, row_id(head.number, position)))
        .collect();
    Ok(Posted { ids: ids?, repeated: false })
}

/// Posts to one queue whose head is known, without keys and subscribers: one statement does it all.
///
/// sqlx wakes the waiting writer for each statement that is done, so one is cheaper than the same in
/// six. The view it goes through (`migrations/sqlite/0005_steps.sql`) guards it: if the head is not
/// as it was cached, the statement aborts, and the batch goes the ordinary way.
pub(crate) struct AtOnce {
    head: Head,
    now: Timestamp,
    rows: usize,
}

impl AtOnce {
    /// How late the commit may be before the messages' lives are prolonged, in milliseconds.
    pub(crate) const LATE_MS_MAX: i64 = 250;

    /// `None` if the posts are not of that kind.
    pub(crate) fn plan(heads: &HeadCache, posts: &[Post], now: Timestamp) -> Option<Self> {
        let queue = &posts.first()?.queue;
        let head = heads.get(queue).filter(|head| head.state == OPEN && !head.subscribed)?;
        let rows = posts.iter().map(|post| post.messages.len()).sum();
        let alike = |post: &Post| post.queue == *queue && post.options.key.is_none();
        let fits = rows <= ROWS_AT_ONCE_MAX
            && head.next.checked_add(i64::try_from(rows).ok()?)? <= POSITION_MAX;
        (fits && posts.iter().all(alike)).then_some(Self { head, now, rows })
    }

    /// The statement that does it all.
    pub(crate) fn script(&self, posts: &[Post]) -> Script {
        let Head { number, next, .. } = self.head;
        let mut script = Script::of(&at_once_text(self.rows));
        let messages = posts.iter().flat_map(|post| post.messages.iter().map(move |m| (post, m)));
        let mut count = i64::try_from(self.rows).ok();
        for (position, (post, message)) in (next..).zip(messages) {
            let delayed = message.delay > Ttl::ZERO;
            let avail = if delayed { self.now.after(message.delay).as_millis() } else { CLAIMABLE };
            script = script
                .integer(number)
                .integer(position)
                .integer_or_null(count.take())
                .integer(avail)
                .integer(self.now.after(message.ttl).as_millis())
                .integer(ttl_code(message.ttl))
                .integer(self.now.as_millis())
                .text_or_null(post.options.client.as_ref().map(|client| client.as_str()))
                .text(message.body.shared())
                .text_or_null(message.checksum.clone());
        }
        script
    }

    /// Notes what was stored.
    pub(crate) fn settle(&self, heads: &mut HeadCache, posts: &mut [Post]) {
        let mut first = self.head.next;
        for post in posts.iter_mut() {
            let count = post.messages.len();
            post.outcome = Some(ids(&post.queue, &self.head, first, count));
            first += i64::try_from(count).unwrap_or(0);
        }
        if let Some(post) = posts.first() {
            heads.put(&post.queue, Head { next: self.next(), ..self.head });
        }
    }

    /// Lets the messages live from when they were committed, so many milliseconds later.
    pub(crate) fn prolong(&self, late_ms: i64) -> Script {
        let number = self.head.number;
        Script::of("UPDATE messages SET expires = expires + ? WHERE id >= ? AND id < ?")
            .integer(late_ms)
            .integer(row_id(number, self.head.next))
            .integer(row_id(number, self.next()))
    }

    fn next(&self) -> i64 {
        self.head.next + i64::try_from(self.rows).unwrap_or(0)
    }
}

/// The text of a whole batch of so many rows.
fn at_once_text(rows: usize) -> Arc<str> {
    static TEXTS: [OnceLock<Arc<str>>; ROWS_AT_ONCE_MAX + 1] =
        [const { OnceLock::new() }; ROWS_AT_ONCE_MAX + 1];
    let make = || {
        let values = vec!["(?,?,?,?,?,?,?,?,?,?)"; rows].join(",");
        Arc::from(format!(
            "INSERT INTO posting \
             (queue, position, count, avail, expires, ttl, posted, client, body, checksum) \
             VALUES {values}"
        ))
    };
    TEXTS.get(rows).map_or_else(make, |text| Arc::clone(text.get_or_init(make)))
}
