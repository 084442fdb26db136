//! A part that arrives: its messages at their own positions, its claims, its place in the head.

use async_trait::async_trait;
use zaqar_core::move_rules::{Arrival, arrival};
use zaqar_core::{MovePart, MovingHold, MovingMessage, QueueRef, Timestamp};

use crate::codes::counter_code;
use crate::error::Failure;
use crate::layout::{CLAIMABLE, POSITION_MAX, message_id, row_id, ttl_code};

use super::step::Step;
use super::task::Task;

/// Stores a part, frozen.
#[derive(Debug)]
pub(super) struct InsertPart {
    pub(super) queue: QueueRef,
    pub(super) part: MovePart,
}

const INSERT: &str = "WITH u AS MATERIALIZED (SELECT * FROM unnest($2::bigint[], $3::bigint[], \
         $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bytea[], $9::text[], \
         $10::text[], $11::text[], $12::text[]) AS u (id, avail, expires, ttl, posted, claims, \
         claim, client, origin, body, checksum)), \
     m AS (INSERT INTO messages \
         (id, queue, avail, expires, ttl, posted, claims, claim, client, origin) \
       SELECT u.id, $1, u.avail, u.expires, u.ttl, u.posted, u.claims, u.claim, u.client, u.origin \
       FROM u), \
     a AS (INSERT INTO arrivals (queue, id, origin) \
       SELECT $1, u.id, u.origin FROM u WHERE u.origin IS NOT NULL ON CONFLICT DO NOTHING) \
     INSERT INTO bodies (id, body, checksum) SELECT u.id, u.body, u.checksum FROM u";

/// A claim that came before with another part is as it was renewed last.
const HOLD: &str = "INSERT INTO claims AS c (queue, id, ttl, started, ends, messages) \
     SELECT $1, u.claim, max(u.ttl), max(u.started), max(u.ends), array_agg(u.id) \
     FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) \
       AS u (claim, ttl, started, ends, id) GROUP BY u.claim \
     ON CONFLICT (queue, id) DO UPDATE SET messages = c.messages || excluded.messages, \
       ttl = CASE WHEN excluded.ends > c.ends THEN excluded.ttl ELSE c.ttl END, \
       started = CASE WHEN excluded.ends > c.ends THEN excluded.started ELSE c.started END, \
       ends = greatest(c.ends, excluded.ends)";

#[async_trait]
impl Task for InsertPart {
    type Output = ();
    const OPERATION: &'static str = "move_insert";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head_of_move(&self.queue).await?;
        if arrival(&self.part, head.frozen, POSITION_MAX)? == Arrival::Before {
            return Ok(());
        }
        // What was purged, or is over, is not stored at all (G4).
        let now = step.now;
        let stays = |message: &&MovingMessage| {
            counter_code(message.position) > head.purged && message.expires_at > now
        };
        let messages: Vec<&MovingMessage> = self.part.messages.iter().filter(stays).collect();
        for portion in in_portions(&messages) {
            self.insert(step, head.number, portion).await?;
        }
        self.hold(step, head.number, &messages).await?;
        let freeze =
            sqlx::query("UPDATE heads SET frozen_from = $2, frozen_to = $3 WHERE number = $1")
                .bind(head.number)
                .bind(counter_code(self.part.from))
                .bind(counter_code(self.part.to));
        step.execute(freeze).await?;
        Ok(())
    }
}

/// The hold of a claim that is not over.
fn hold_of(message: &MovingMessage, now: Timestamp) -> Option<MovingHold> {
    message.hold.filter(|hold| hold.ends_at > now)
}

/// When a message can be had.
fn avail(message: &MovingMessage, now: Timestamp) -> i64 {
    let until = match hold_of(message, now) {
        Some(hold) => Some(hold.ends_at),
        None => message.delayed_until.filter(|until| *until > now),
    };
    until.map_or(CLAIMABLE, Timestamp::as_millis)
}

fn all<T>(messages: &[&MovingMessage], of: impl Fn(&MovingMessage) -> T) -> Vec<T> {
    messages.iter().map(|message| of(message)).collect()
}

fn row(number: i64, message: &MovingMessage) -> i64 {
    row_id(number, counter_code(message.position))
}

/// Messages that one statement carries at most, and bytes of their bodies, unless a single one has
/// more.
const PORTION_MAX: usize = 500;
const PORTION_BYTES_MAX: usize = 4 << 20;

/// Cuts the messages of a part into portions, each for one statement.
fn in_portions<'s, 'm>(messages: &'s [&'m MovingMessage]) -> Vec<&'s [&'m MovingMessage]> {
    let mut portions = Vec::new();
    let mut left = messages;
    while !left.is_empty() {
        let mut bytes = 0_usize;
        let fits = |message: &&&MovingMessage| {
            bytes = bytes.saturating_add(message.body.as_str().len());
            bytes <= PORTION_BYTES_MAX
        };
        let count = left.iter().take(PORTION_MAX).take_while(fits).count().max(1);
        let (portion, rest) = left.split_at_checked(count).unwrap_or((left, &[]));
        portions.push(portion);
        left = rest;
    }
    portions
}

impl InsertPart {
    /// The id of a message that came from another queue.
    fn origin(&self, number: i64, message: &MovingMessage) -> Option<String> {
        let own = message_id(self.queue.incarnation, row(number, message));
        (own.ok() != Some(message.id)).then(|| message.id.to_string())
    }

    async fn insert(
        &self,
        step: &mut Step<'_>,
        number: i64,
        messages: &[&MovingMessage],
    ) -> Result<(), sqlx::Error> {
        let now = step.now;
        let claim = |one: &MovingMessage| hold_of(one, now).map(|hold| hold.claim);
        let insert = sqlx::query(INSERT)
            .bind(number)
            .bind(all(messages, |one| row(number, one)))
            .bind(all(messages, |one| avail(one, now)))
            .bind(all(messages, |one| one.expires_at.as_millis()))
            .bind(all(messages, |one| ttl_code(one.ttl)))
            .bind(all(messages, |one| one.posted_at.as_millis()))
            .bind(all(messages, |one| i64::from(one.claim_count)))
            .bind(all(messages, |one| claim(one).map(|claim| claim.as_bytes().to_vec())))
            .bind(all(messages, |one| one.client.as_ref().map(ToString::to_string)))
            .bind(all(messages, |one| self.origin(number, one)))
            .bind(all(messages, |one| one.body.as_str().to_owned()))
            .bind(all(messages, |one| one.checksum.clone()));
        step.execute(insert).await?;
        Ok(())
    }

    async fn hold(
        &self,
        step: &mut Step<'_>,
        number: i64,
        messages: &[&MovingMessage],
    ) -> Result<(), sqlx::Error> {
        let now = step.now;
        let held: Vec<(MovingHold, i64)> = messages
            .iter()
            .filter_map(|one| Some((hold_of(one, now)?, row(number, one))))
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        let hold = sqlx::query(HOLD)
            .bind(number)
            .bind(held.iter().map(|(hold, _)| hold.claim.as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(held.iter().map(|(hold, _)| ttl_code(hold.ttl)).collect::<Vec<_>>())
            .bind(held.iter().map(|(hold, _)| hold.since.as_millis()).collect::<Vec<_>>())
            .bind(held.iter().map(|(hold, _)| hold.ends_at.as_millis()).collect::<Vec<_>>())
            .bind(held.iter().map(|(_, row)| *row).collect::<Vec<_>>());
        step.execute(hold).await?;
        Ok(())
    }
}
