//! A part that arrives: its messages at their own positions, its claims, its place in the head.

use std::collections::HashMap;

use async_trait::async_trait;
use rusqlite::params;
use zaqar_core::move_rules::{Arrival, arrival};
use zaqar_core::{ClaimId, MovePart, MovingHold, MovingMessage, QueueRef, Timestamp};

use crate::codes::counter_code;
use crate::error::Failure;
use crate::layout::{CLAIMABLE, POSITION_MAX, length_code, message_id, row_id, ttl_code};

use super::engine::native;
use super::posts::INSERT_BODY;
use super::rows::id_list;
use super::statement::query;
use super::step::Step;
use super::task::Task;

const INSERT_MESSAGE: &str = "INSERT INTO messages \
       (id, queue, avail, expires, ttl, posted, claims, claim, client, origin) \
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const INSERT_ARRIVAL: &str =
    "INSERT INTO arrivals (queue, origin, id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";

/// A claim that came before with another part is as it was renewed last. Its list is one of numbers
/// in brackets, and never empty.
const HOLD: &str = "INSERT INTO claims (queue, id, ttl, started, ends, messages) \
     VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (queue, id) DO UPDATE SET \
       messages = substr(messages, 1, length(messages) - 1) || ',' || substr(excluded.messages, 2), \
       ttl = CASE WHEN excluded.ends > ends THEN excluded.ttl ELSE ttl END, \
       started = CASE WHEN excluded.ends > ends THEN excluded.started ELSE started END, \
       ends = max(ends, excluded.ends)";

/// Stores a part, frozen.
#[derive(Debug)]
pub(super) struct InsertPart {
    pub(super) queue: QueueRef,
    pub(super) part: MovePart,
}

#[async_trait]
impl Task for InsertPart {
    type Output = ();
    const OPERATION: &'static str = "move_insert";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let mut head = step.head_of_move(&self.queue).await?;
        if arrival(&self.part, head.frozen, POSITION_MAX)? == Arrival::Before {
            return Ok(());
        }
        // What was purged, or is over, is not stored at all (G4).
        let now = step.now;
        let stays = |message: &&MovingMessage| {
            counter_code(message.position) > head.purged && message.expires_at > now
        };
        let messages: Vec<&MovingMessage> = self.part.messages.iter().filter(stays).collect();
        self.insert(step, head.number, &messages)?;
        hold(step, head.number, &messages).await?;
        head.frozen = (counter_code(self.part.from), counter_code(self.part.to));
        // Positions that were counted as gone hold something now: see `gone`.
        let freeze = query(
            "UPDATE heads SET frozen_from = ?, frozen_to = ?, gone = gone - ? WHERE number = ?",
        )
        .bind(head.frozen.0)
        .bind(head.frozen.1)
        .bind(length_code(messages.len()))
        .bind(head.number);
        step.execute(freeze).await?;
        step.heads.put(&self.queue, head);
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

fn row(number: i64, message: &MovingMessage) -> i64 {
    row_id(number, counter_code(message.position))
}

impl InsertPart {
    /// The id of a message that came from another queue.
    fn origin(&self, row: i64, message: &MovingMessage) -> Option<String> {
        let own = message_id(self.queue.incarnation, row);
        (own.ok() != Some(message.id)).then(|| message.id.to_string())
    }

    fn insert(
        &self,
        step: &Step<'_>,
        number: i64,
        messages: &[&MovingMessage],
    ) -> Result<(), sqlx::Error> {
        let mut insert_body = step.prepare(INSERT_BODY)?;
        let mut insert_message = step.prepare(INSERT_MESSAGE)?;
        let mut insert_arrival = step.prepare(INSERT_ARRIVAL)?;
        for message in messages {
            let (row, now) = (row(number, message), step.now);
            let body = params![row, message.body.as_str(), message.checksum.as_deref()];
            insert_body.execute(body).map_err(native)?;
            let claim = hold_of(message, now).map(|hold| hold.claim.as_bytes().to_vec());
            let origin = self.origin(row, message);
            let small = params![
                row,
                number,
                avail(message, now),
                message.expires_at.as_millis(),
                ttl_code(message.ttl),
                message.posted_at.as_millis(),
                message.claim_count,
                claim,
                message.client.as_ref().map(|client| client.as_str()),
                origin.as_deref(),
            ];
            insert_message.execute(small).map_err(native)?;
            if let Some(origin) = origin {
                insert_arrival.execute(params![number, origin, row]).map_err(native)?;
            }
        }
        Ok(())
    }
}

/// Lets the claims hold here what they held there.
async fn hold(
    step: &mut Step<'_>,
    number: i64,
    messages: &[&MovingMessage],
) -> Result<(), sqlx::Error> {
    let mut claims: HashMap<ClaimId, (MovingHold, Vec<i64>)> = HashMap::new();
    for message in messages {
        let Some(hold) = hold_of(message, step.now) else { continue };
        let (latest, rows) = claims.entry(hold.claim).or_insert_with(|| (hold, Vec::new()));
        if hold.ends_at > latest.ends_at {
            *latest = hold;
        }
        rows.push(row(number, message));
    }
    for (claim, (hold, rows)) in claims {
        let insert = query(HOLD)
            .bind(number)
            .bind(claim.as_bytes().to_vec())
            .bind(ttl_code(hold.ttl))
            .bind(hold.since.as_millis())
            .bind(hold.ends_at.as_millis())
            .bind(id_list(rows));
        step.execute(insert).await?;
    }
    Ok(())
}
