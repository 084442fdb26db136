//! A part that arrives: its messages at their own positions, its claims, its place in the head.

use std::collections::BTreeMap;

use async_trait::async_trait;
use mongodb::bson::{RawDocumentBuf, doc};
use zaqar_core::move_rules::{Arrival, arrival};
use zaqar_core::{ClaimId, MovePart, MovingHold, MovingMessage, QueueRef, Timestamp};

use crate::claims::ClaimRow;
use crate::error::{Failure, NativeResult};
use crate::outbox::number_code;
use crate::query::Query;
use crate::rows::{NewRow, document, ttl_code};
use crate::step::Step;
use crate::tables::{
    CLAIMABLE, FROZEN, POSITION_MAX, arrival_key, claim_key, message_id, message_key,
};
use crate::task::Task;

/// Stores a part, frozen.
#[derive(Debug)]
pub(crate) struct InsertPart {
    pub(crate) queue: QueueRef,
    pub(crate) part: MovePart,
}

/// A claim, and the positions of a part that it holds.
type Held = BTreeMap<String, (MovingHold, Vec<i64>)>;

#[async_trait]
impl Task for InsertPart {
    type Output = ();
    const OPERATION: &'static str = "move_insert";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.lock_head_of_move(&self.queue).await?;
        if arrival(&self.part, (head.from, head.to), POSITION_MAX)? == Arrival::Before {
            return Ok(());
        }
        let (now, mut rows, mut held) = (step.now, Vec::new(), Held::new());
        for message in &self.part.messages {
            let position = number_code(message.position);
            // What was purged, or is over, is not stored at all (G4).
            if position <= head.purged || message.expires_at <= now {
                continue;
            }
            let hold = message.hold.filter(|hold| hold.ends_at > now);
            rows.push(self.row(message, head.q, hold, now)?);
            if let Some(hold) = hold {
                let claim = held.entry(claim_key(head.q, hold.claim));
                claim.or_insert_with(|| (hold, Vec::new())).1.push(position);
            }
            self.remember(step, message, head.q).await?;
        }
        if !rows.is_empty() {
            step.insert(&rows).await?;
        }
        hold_on(step, head.q, held).await?;
        let frozen = doc! { "from": number_code(self.part.from), "to": number_code(self.part.to) };
        step.set_head(&head, frozen).await?;
        Ok(())
    }
}

impl InsertPart {
    /// Whether it came from another queue, once.
    fn is_foreign(&self, message: &MovingMessage) -> bool {
        let own = message_id(self.queue.incarnation, number_code(message.position));
        own.ok() != Some(message.id)
    }

    fn row(
        &self,
        message: &MovingMessage,
        q: i64,
        hold: Option<MovingHold>,
        now: Timestamp,
    ) -> NativeResult<RawDocumentBuf> {
        let position = number_code(message.position);
        let delayed = message.delayed_until.filter(|until| hold.is_none() && *until > now);
        let until = hold.map(|hold| hold.ends_at).or(delayed);
        document(&NewRow {
            key: message_key(q, position),
            q,
            s: position,
            avail: FROZEN,
            was: Some(until.map_or(CLAIMABLE, Timestamp::as_millis)),
            expires: message.expires_at.as_millis(),
            ttl: ttl_code(message.ttl),
            posted: message.posted_at.as_millis(),
            claims: i64::from(message.claim_count),
            claim: hold.as_ref().map(|hold| &hold.claim).map(ClaimId::to_string),
            client: message.client.as_ref().map(|client| client.as_str()),
            origin: self.is_foreign(message).then(|| message.id.to_string()),
            checksum: message.checksum.as_deref(),
            body: message.body.as_str(),
        })
    }

    /// A dead letter is found by the id that it kept.
    async fn remember(
        &self,
        step: &mut Step<'_>,
        message: &MovingMessage,
        q: i64,
    ) -> NativeResult<()> {
        if !self.is_foreign(message) {
            return Ok(());
        }
        let arrived = doc! { "at": number_code(message.position) };
        let key = arrival_key(q, message.id);
        step.upsert(q, &key, doc! { "$setOnInsert": arrived }).await
    }
}

/// Records the claims of a part. One that came before with another part is as it was renewed last.
async fn hold_on(step: &mut Step<'_>, q: i64, held: Held) -> NativeResult<()> {
    if held.is_empty() {
        return Ok(());
    }
    let keys: Vec<&String> = held.keys().collect();
    let query = Query::of(doc! { "_id": { "$in": keys }, "q": q });
    let known: Vec<ClaimRow> = step.find(crate::schema::DATA, query).await?;
    for (key, (hold, list)) in held {
        let before = known.iter().find(|row| row.key == key);
        let mut update = doc! { "$push": { "list": { "$each": list } } };
        if before.is_none_or(|row| row.ends() < hold.ends_at) {
            let terms = doc! {
                "ttl": ttl_code(hold.ttl),
                "started": hold.since.as_millis(),
                "ends": hold.ends_at.as_millis(),
            };
            update.insert("$set", terms);
        }
        update.insert("$setOnInsert", doc! { "grace": 0_i64 });
        step.upsert(q, &key, update).await?;
    }
    Ok(())
}
