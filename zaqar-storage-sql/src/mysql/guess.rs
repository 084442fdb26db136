//! Posts at a guessed place: one round trip instead of three.
//!
//! A process that posted to a queue a moment ago knows where the next message goes unless somebody
//! else posted meanwhile. So it sends the whole transaction at once, with a guard as its first
//! statement: the head is locked only if nobody holds it (`NOWAIT`), and a session variable takes the
//! queue's number if the head is as it is believed to be, otherwise `NULL`, which the rows of messages
//! refuse. The server runs no statement after one that failed, so nothing is stored then, and the post
//! takes the long way (see [`super::posts`]), which also learns the place anew.
//!
//! The moment from which a life counts is read before anything is sent: since nothing is waited for,
//! it is the moment of the lock (G8).

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use zaqar_core::{Effect, Posted, QueueRef, Result, Timestamp};

use crate::codes::{counter_code, incarnation_code};
use crate::layout::{POSITION_MAX, length_code, posted, row_id};

use super::error::Broken;
use super::inserts::Bound;
use super::posts::{Post, message_rows};
use super::server::Server;
use super::sql::{Script, Value, sql};

/// Bytes of messages that are sent as text; more go to prepared statements, which take them as they
/// are.
const BYTES_MAX: usize = 64 * 1024;
/// Queues whose places are known at most; beyond it, all are forgotten.
const QUEUES_MAX: usize = 10_000;
/// How often in a row the long way is taken after guesses that failed, at most.
const DETOURS_MAX: u8 = 63;

const GUARD: &str = "SELECT MAX(IF(next = $3 AND state = 0 AND epoch <= $4 AND subscribed = 0 \
       AND run <=> @zrun, number, NULL)) INTO @zq FROM heads WHERE number = $1 AND incarnation = $2 FOR UPDATE NOWAIT";
const INSERT: &str =
    "INSERT INTO messages (id, queue, avail, expires, ttl, posted, client, checksum, body) VALUES ";
/// Which of these columns is the queue.
const QUEUE_COLUMN: usize = 1;
const ADVANCE: &str = "UPDATE heads SET next = $2 WHERE number = $1";

/// Where the next message of a queue is believed to go.
#[derive(Debug, Clone, Copy)]
struct Place {
    number: i64,
    next: i64,
    /// How often the long way is to be taken before the next guess.
    detours: u8,
    /// How many there were when a guess failed last.
    penalty: u8,
}

/// What this process believes of the queues that it posts to.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashMap<QueueRef, Place>>);

impl Places {
    fn lock(&self) -> MutexGuard<'_, HashMap<QueueRef, Place>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place to try, unless the last guesses failed.
    fn guess(&self, queue: &QueueRef) -> Option<(i64, i64)> {
        let mut places = self.lock();
        let place = places.get_mut(queue)?;
        let Some(detours) = place.detours.checked_sub(1) else {
            return Some((place.number, place.next));
        };
        place.detours = detours;
        None
    }

    fn hit(&self, queue: &QueueRef, next: i64) {
        if let Some(place) = self.lock().get_mut(queue) {
            (place.next, place.penalty) = (next, 0);
        }
    }

    /// Somebody else posts to the queue too: each time this is so the long way is taken for longer.
    fn missed(&self, queue: &QueueRef) {
        if let Some(place) = self.lock().get_mut(queue) {
            place.penalty = place.penalty.saturating_mul(2).saturating_add(1).min(DETOURS_MAX);
            place.detours = place.penalty;
        }
    }

    /// The long way has stored messages: where the next one goes, or `None` if guesses are of no use.
    pub(crate) fn learn(&self, queue: &QueueRef, learned: Option<(i64, i64)>) {
        let mut places = self.lock();
        let Some((number, next)) = learned else {
            places.remove(queue);
            return;
        };
        if let Some(place) = places.get_mut(queue) {
            (place.number, place.next) = (number, next);
            return;
        }
        if places.len() >= QUEUES_MAX {
            places.clear();
        }
        places.insert(queue.clone(), Place { number, next, detours: 0, penalty: 0 });
    }
}

/// Stores all of the posts at the guessed place. `None`: nothing was stored, and nobody knows why.
pub(crate) async fn store(
    server: &Server,
    places: &Places,
    queue: &QueueRef,
    posts: &[Post],
) -> Result<Option<Vec<Result<Posted>>>, Broken> {
    if posts.iter().any(|post| post.options.key.is_some()) || bytes(posts) > BYTES_MAX {
        return Ok(None);
    }
    let Some((number, first)) = places.guess(queue) else { return Ok(None) };
    let (mut stored, mut next) = (Vec::with_capacity(posts.len()), first);
    for post in posts {
        stored.push((post, next));
        next = next.saturating_add(length_code(post.messages.len()));
    }
    if next > POSITION_MAX {
        return Ok(None);
    }
    let script = |now| script(now, queue, number, &stored, (first, next));
    match server.send_transaction(script).await {
        Ok(()) => {}
        Err(broken) if broken.effect == Effect::None => {
            places.missed(queue);
            return Ok(None);
        }
        Err(broken) => return Err(broken),
    }
    places.hit(queue, next);
    server.horizon.advance(queue, (next - 1).unsigned_abs());
    let answer =
        |(post, first): (&Post, i64)| posted(queue, row_id(number, first), post.messages.len());
    Ok(Some(stored.into_iter().map(answer).collect()))
}

fn script(
    now: Timestamp,
    queue: &QueueRef,
    number: i64,
    stored: &[(&Post, i64)],
    (first, next): (i64, i64),
) -> Result<Script, sqlx::Error> {
    let guard = sql(GUARD).bind(number).bind(incarnation_code(queue.incarnation)).bind(first);
    let guard = guard.bind(counter_code(queue.epoch));
    let mut script = Script::of([sql("START TRANSACTION"), guard])?;
    let rows = message_rows(now, number, stored);
    script.add_rows(INSERT, rows.iter().map(|row| guarded(row)));
    script.add(&sql(ADVANCE).bind(number).bind(next))?;
    script.add(&sql("COMMIT"))?;
    Ok(script)
}

/// A row whose queue is what the guard says.
fn guarded(row: &[Bound<'_>]) -> Vec<Value> {
    let value = |(column, bound): (usize, &Bound<'_>)| match bound {
        _ if column == QUEUE_COLUMN => Value::Variable("@zq"),
        Bound::Int(value) => Value::Int(*value),
        Bound::Bytes(None) => Value::Null,
        Bound::Bytes(Some(bytes)) => Value::Bytes(bytes.to_vec()),
    };
    row.iter().enumerate().map(value).collect()
}

fn bytes(posts: &[Post]) -> usize {
    let messages = posts.iter().flat_map(|post| &post.messages);
    messages.map(|message| message.body.as_str().len()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use sqlx::Connection;
    use zaqar_core::{
        Body, Incarnation, ManualClock, NewMessage, PostMessages, ProjectId, QueueKey, QueueName,
        Ttl,
    };
    use zaqar_testbed::Service;

    use crate::OpenOptions;
    use crate::mysql::config::MySqlConfig;
    use crate::mysql::session::MyDial;
    use crate::mysql::step::{Answers, run};

    const DATABASE: &str = "zaqar_test_guess";

    fn queue() -> QueueRef {
        let key = QueueKey::queue(ProjectId::new("p").unwrap(), QueueName::new("q").unwrap());
        key.incarnate(Incarnation::new(1).unwrap())
    }

    #[test]
    fn guesses_that_fail_are_made_less_often_until_one_is_right() {
        let queue = queue();
        let places = Places::default();
        assert_eq!(places.guess(&queue), None);
        places.learn(&queue, Some((7, 1)));
        assert_eq!(places.guess(&queue), Some((7, 1)));
        for detours in [1, 3, 7, 15, 31, 63, 63] {
            places.missed(&queue);
            for _ in 0..detours {
                assert_eq!(places.guess(&queue), None);
            }
            assert_eq!(places.guess(&queue), Some((7, 1)));
        }
        places.hit(&queue, 2);
        places.missed(&queue);
        assert_eq!(places.guess(&queue), None);
        assert_eq!(places.guess(&queue), Some((7, 2)));
        places.learn(&queue, None);
        assert_eq!(places.guess(&queue), None);
    }

    /// One message, if queue 1 goes on at `first`.
    fn one_message(first: i64) -> anyhow::Result<Script> {
        let message = NewMessage::new(Body::from_json("{}")?, Ttl::from_secs(60)?);
        let post = Post { messages: vec![message], options: PostMessages::new() };
        Ok(script(Timestamp::from_millis(0), &queue(), 1, &[(&post, first)], (first, first + 1))?)
    }

    /// Where the queue goes on, and how many messages are stored.
    const STATE: &str = "SELECT h.next, (SELECT COUNT(*) FROM messages) FROM heads AS h";

    async fn state(connection: &mut sqlx::MySqlConnection) -> anyhow::Result<(i64, i64)> {
        let answers: Answers = run(connection, Script::of([sql(STATE)])?).await?;
        let row = answers.rows(0).first().ok_or(sqlx::Error::RowNotFound)?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    #[tokio::test]
    async fn a_guess_stores_if_the_head_is_as_believed_and_free_and_nothing_otherwise()
    -> anyhow::Result<()> {
        let Some(uri) = zaqar_testbed::uri_unless_absent(Service::Mysql)? else {
            return Ok(());
        };
        let base = uri.rsplit_once('/').map_or(uri.as_str(), |(base, _)| base);
        let uri = format!("{base}/{DATABASE}");
        let dial = MyDial { options: MySqlConfig::parse(&uri)?.options };
        let (mut connection, _) = dial.first(DATABASE).await?;
        let clock = Arc::new(ManualClock::default());
        run(&mut connection, Script::of([sql("DROP DATABASE zaqar_test_guess")])?).await?;
        crate::mysql::open(&uri, OpenOptions::new(clock)).await?.data.close().await;
        let (mut connection, _) = dial.first(DATABASE).await?;
        crate::mysql::durable::mark(&mut connection).await?;
        let (mut other, _) = dial.first(DATABASE).await?;
        let head = "INSERT INTO heads (incarnation, kind, next, project, name, run) \
             VALUES (1, 0, 7, 'p', 'q', @zrun)";
        run(&mut connection, Script::of([sql(head)])?).await?;

        run(&mut connection, one_message(7)?).await?;
        assert_eq!(state(&mut connection).await?, (8, 1));
        for undone in [
            // Somebody else posted.
            "SELECT 1",
            "UPDATE heads SET next = 9, subscribed = 1",
            "UPDATE heads SET subscribed = 0, state = 1",
            "UPDATE heads SET state = 0, run = run + 1",
            "UPDATE heads SET run = run - 1, incarnation = 2",
            "UPDATE heads SET incarnation = 1, epoch = 1",
        ] {
            run(&mut connection, Script::of([sql(undone)])?).await?;
            let first = if undone == "SELECT 1" { 7 } else { 9 };
            let refused = run(&mut connection, one_message(first)?).await.err();
            let refused = refused.map(Broken::committing);
            assert!(
                refused.as_ref().is_some_and(|refused| refused.effect == Effect::None),
                "{undone}: {refused:?}"
            );
            run(&mut connection, Script::of([sql("ROLLBACK")])?).await?;
            assert_eq!(state(&mut connection).await?.1, 1, "{undone}");
        }
        run(&mut connection, Script::of([sql("UPDATE heads SET epoch = 0")])?).await?;

        let lock = [sql("START TRANSACTION"), sql("SELECT next FROM heads FOR UPDATE")];
        run(&mut other, Script::of(lock)?).await?;
        let refused = run(&mut connection, one_message(9)?).await.err().map(Broken::committing);
        assert!(refused.is_some_and(|refused| refused.effect == Effect::None));
        run(&mut connection, Script::of([sql("ROLLBACK")])?).await?;
        run(&mut other, Script::of([sql("ROLLBACK")])?).await?;
        run(&mut connection, one_message(9)?).await?;
        assert_eq!(state(&mut connection).await?, (10, 2));
        run(&mut connection, Script::of([sql("DROP DATABASE zaqar_test_guess")])?).await?;
        other.close().await?;
        connection.close().await?;
        Ok(())
    }
}
