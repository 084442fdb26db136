//! A part that arrives: its messages at their own positions, its claims, its place in the head.
//!
//! What a claim holds is found by the end that the claim has (see [`super::claims`]), so a claim that
//! came before with another part, and was renewed here or there, gives all of its messages the later
//! one of its ends.

use std::collections::BTreeMap;

use async_trait::async_trait;
use zaqar_core::move_rules::{Arrival, arrival};
use zaqar_core::{ClaimId, MovePart, MovingHold, MovingMessage, QueueRef, Timestamp};

use crate::codes::counter_code;
use crate::error::Failure;
use crate::layout::{CLAIMABLE, POSITION_MAX, message_id, row_id, ttl_code};
use crate::origins::OriginColumns;

use super::inserts::{Bound, insert};
use super::rows::{UNCLAIMED, claim_id};
use super::sql::sql;
use super::step::Step;
use super::task::Task;

/// Stores a part, frozen.
#[derive(Debug)]
pub(super) struct InsertPart {
    pub(super) queue: QueueRef,
    pub(super) part: MovePart,
    /// Bytes that one statement may carry.
    pub(super) bytes_max: usize,
}

const TABLE: &str = "messages (id, queue, avail, expires, ttl, posted, claims, claim, client, \
       origin, checksum, body)";

/// When claims end, by id.
type Ends = BTreeMap<ClaimId, i64>;

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
        let ends = hold(step, head.number, &messages).await?;
        self.insert(step, head.number, &messages, &ends).await?;
        let freeze = sql("UPDATE heads SET frozen_from = $2, frozen_to = $3 WHERE number = $1")
            .bind(head.number)
            .bind(counter_code(self.part.from))
            .bind(counter_code(self.part.to));
        step.later(freeze)?;
        Ok(())
    }
}

/// The hold of a claim that is not over.
fn hold_of(message: &MovingMessage, now: Timestamp) -> Option<MovingHold> {
    message.hold.filter(|hold| hold.ends_at > now)
}

/// The claims that hold any of the messages, each as it was renewed last.
fn holds_of(messages: &[&MovingMessage], now: Timestamp) -> BTreeMap<ClaimId, MovingHold> {
    let mut holds = BTreeMap::<ClaimId, MovingHold>::new();
    for hold in messages.iter().filter_map(|message| hold_of(message, now)) {
        let latest = holds.entry(hold.claim).or_insert(hold);
        if hold.ends_at > latest.ends_at {
            *latest = hold;
        }
    }
    holds
}

/// Makes the claims that hold the messages, or finds them; returns when they end here.
async fn hold(
    step: &mut Step<'_>,
    number: i64,
    messages: &[&MovingMessage],
) -> Result<Ends, sqlx::Error> {
    let (now, mut ends) = (step.now, Ends::new());
    let holds = holds_of(messages, now);
    if holds.is_empty() {
        return Ok(ends);
    }
    let ids: Vec<Vec<u8>> = holds.keys().map(|id| id.as_bytes().to_vec()).collect();
    let select =
        sql("SELECT id, ends FROM claims WHERE queue = $1 AND id IN ($2) ORDER BY id FOR UPDATE");
    for row in step.rows(select.bind(number).bind(ids)).await? {
        ends.insert(claim_id(row.try_get(0)?)?, row.try_get(1)?);
    }
    // One that is over holds nothing here any more.
    ends.retain(|_, end| *end > now.as_millis());
    for (id, hold) in holds {
        let end = hold.ends_at.as_millis();
        let bytes = id.as_bytes().to_vec();
        match ends.insert(id, end) {
            Some(known) if known >= end => {
                ends.insert(id, known);
                continue;
            }
            Some(known) => {
                let renew = sql("UPDATE messages FORCE INDEX (claimable) SET avail = $4 \
                     WHERE queue = $1 AND avail = $2 AND claim = $3");
                let renew = renew.bind(number).bind(known).bind(bytes.as_slice()).bind(end);
                step.later(renew)?;
            }
            None => {}
        }
        let put = sql("REPLACE INTO claims (queue, id, ttl, started, ends) \
             VALUES ($1, $2, $3, $4, $5)");
        let put = put.bind(number).bind(bytes).bind(ttl_code(hold.ttl));
        step.later(put.bind(hold.since.as_millis()).bind(end))?;
    }
    Ok(ends)
}

/// When a message can be had.
fn avail(message: &MovingMessage, ends: &Ends, now: Timestamp) -> i64 {
    let hold = hold_of(message, now).and_then(|hold| ends.get(&hold.claim).copied());
    let delay = || message.delayed_until.filter(|until| *until > now).map(Timestamp::as_millis);
    hold.or_else(delay).unwrap_or(CLAIMABLE)
}

fn row(number: i64, message: &MovingMessage) -> i64 {
    row_id(number, counter_code(message.position))
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
        ends: &Ends,
    ) -> Result<(), sqlx::Error> {
        let now = step.now;
        let origins: Vec<Option<String>> =
            messages.iter().map(|message| self.origin(number, message)).collect();
        let claims: Vec<[u8; 16]> = messages
            .iter()
            .map(|message| hold_of(message, now).map_or(UNCLAIMED, |hold| *hold.claim.as_bytes()))
            .collect();
        let mut rows = Vec::with_capacity(messages.len());
        for ((message, origin), claim) in messages.iter().zip(&origins).zip(&claims) {
            rows.push([
                Bound::Int(row(number, message)),
                Bound::Int(number),
                Bound::Int(avail(message, ends, now)),
                Bound::Int(message.expires_at.as_millis()),
                Bound::Int(ttl_code(message.ttl)),
                Bound::Int(message.posted_at.as_millis()),
                Bound::Int(i64::from(message.claim_count)),
                Bound::Bytes(Some(claim.as_slice())),
                Bound::opt(message.client.as_ref().map(|client| client.as_str())),
                Bound::opt(origin.as_deref()),
                Bound::opt(message.checksum.as_deref()),
                Bound::text(message.body.as_str()),
            ]);
        }
        insert(step, TABLE, &rows, self.bytes_max).await?;
        for (message, origin) in messages.iter().zip(origins) {
            if let Some(origin) = origin {
                arrive(step, number, &origin, row(number, message), &OriginColumns::default())?;
            }
        }
        Ok(())
    }
}

/// Remembers where a message of another queue stands here, and where it came from, as far as that is not
/// known.
pub(super) fn arrive(
    step: &mut Step<'_>,
    number: i64,
    origin: &str,
    row: i64,
    from: &OriginColumns,
) -> Result<(), sqlx::Error> {
    // Assigned from left to right: whether there is a source comes last.
    let arrive = sql("INSERT INTO arrivals \
           (queue, id, origin, source, claims, last_claim, arrived) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON DUPLICATE KEY UPDATE \
           claims = IF(source IS NULL, VALUES(claims), claims), \
           last_claim = IF(source IS NULL, VALUES(last_claim), last_claim), \
           arrived = IF(source IS NULL, VALUES(arrived), arrived), \
           source = IF(source IS NULL, VALUES(source), source)");
    let arrive = arrive.bind(number).bind(row).bind(origin).bind(from.source.as_deref());
    let arrive = arrive.bind(from.claims).bind(from.last_claim.as_deref()).bind(from.arrived);
    step.later(arrive)
}
