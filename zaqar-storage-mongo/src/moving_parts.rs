//! The frozen part of a queue: frozen and removed where it comes from, read at either end, revealed
//! where it goes.
//!
//! Claims, pops and releases are conditional writes that do not ask the head, or look at it at another
//! moment than at the messages. So what is frozen says so itself, at both ends: its `avail` is
//! [`FROZEN`], which meets the condition of none of them, and what it was is kept beside it. (What
//! expires meanwhile is retired as ever.) Transactions that renew, release or delete read the messages that they change, and conflict
//! with the freeze if they began before it.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{
    Body, MovePart, MovingHold, MovingMessage, PageLimit, QueueRef, Result, Timestamp,
};

use crate::claims::ClaimRow;
use crate::error::{Failure, NativeResult, damaged};
use crate::heads::Head;
use crate::outbox::number_code;
use crate::query::Query;
use crate::rows::{claim_id, count, ttl};
use crate::schema::DATA;
use crate::step::Step;
use crate::tables::{CLAIMABLE, FROZEN, MOVED, OPEN, claim_key, message_id, message_range};
use crate::task::Task;

/// A message on its way, as it is stored.
#[derive(Debug, Deserialize)]
struct MovingRow {
    s: i64,
    was: i64,
    expires: i64,
    ttl: i64,
    posted: i64,
    claims: i64,
    claim: Option<String>,
    client: Option<String>,
    origin: Option<String>,
    checksum: Option<String>,
    body: String,
}

/// The messages of a range that are `avail`, and not purged.
fn of_range(head: &Head, (from, to): (i64, i64), avail: Document) -> Document {
    doc! {
        "_id": message_range(head.q, from.max(head.purged.saturating_add(1)), to),
        "q": head.q,
        "avail": avail,
    }
}

/// Those of a range that are left to be frozen, and on no way to a dead-letter queue: those whose
/// end has passed but was not settled too, for a claim that is about to commit may be prolonging
/// their lives.
fn left(head: &Head, range: (i64, i64)) -> Document {
    of_range(head, range, doc! { "$gte": CLAIMABLE })
}

/// Reads what is frozen.
async fn part(step: &mut Step<'_>, queue: &QueueRef, head: &Head) -> NativeResult<MovePart> {
    let (from, to) = (head.from.unsigned_abs(), head.to.unsigned_abs());
    if !head.is_frozen() {
        return Ok(MovePart { from, to, messages: Vec::new() });
    }
    let mut live = of_range(head, (head.from, head.to), doc! { "$eq": FROZEN });
    live.insert("expires", doc! { "$gt": step.now.as_millis() });
    let query = Query::of(live).by("_id_").sort(doc! { "_id": 1 });
    let rows: Vec<MovingRow> = step.find(DATA, query).await?;
    let claims = claims(step, head, &rows).await?;
    let now = step.now;
    let messages: NativeResult<Vec<_>> =
        rows.into_iter().map(|row| message(row, queue, head.q, &claims, now)).collect();
    Ok(MovePart { from, to, messages: messages? })
}

/// The claims that hold something of a part.
async fn claims(
    step: &mut Step<'_>,
    head: &Head,
    rows: &[MovingRow],
) -> NativeResult<Vec<ClaimRow>> {
    let mut keys = Vec::new();
    for text in rows.iter().filter_map(|row| row.claim.as_deref()) {
        keys.push(claim_key(head.q, claim_id(text)?));
    }
    keys.sort_unstable();
    keys.dedup();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    step.find(DATA, Query::of(doc! { "_id": { "$in": keys }, "q": head.q })).await
}

fn message(
    row: MovingRow,
    queue: &QueueRef,
    q: i64,
    claims: &[ClaimRow],
    now: Timestamp,
) -> NativeResult<MovingMessage> {
    let until = Timestamp::from_millis(row.was);
    let waits = until > now;
    let hold = match &row.claim {
        Some(text) if waits => hold(text, q, claims, until)?,
        _ => None,
    };
    let id = match &row.origin {
        Some(text) => text.parse().map_err(|_| damaged("message origin"))?,
        None => message_id(queue.incarnation, row.s).map_err(|_| damaged("message position"))?,
    };
    let client = row.client.as_deref().map(str::parse).transpose();
    Ok(MovingMessage {
        id,
        position: row.s.unsigned_abs(),
        body: Body::from_checked(row.body),
        ttl: ttl(row.ttl),
        posted_at: Timestamp::from_millis(row.posted),
        expires_at: Timestamp::from_millis(row.expires),
        delayed_until: (waits && row.claim.is_none()).then_some(until),
        client: client.map_err(|_| damaged("client id"))?,
        checksum: row.checksum,
        claim_count: count(row.claims),
        hold,
    })
}

/// The hold of a claim. One that is not recorded is that of a pop, which does not get what is frozen.
fn hold(
    text: &str,
    q: i64,
    claims: &[ClaimRow],
    ends_at: Timestamp,
) -> NativeResult<Option<MovingHold>> {
    let claim = claim_id(text)?;
    let key = claim_key(q, claim);
    let recorded = claims.iter().find(|row| row.key == key);
    Ok(recorded.map(|row| MovingHold { claim, ttl: ttl(row.ttl), since: row.started(), ends_at }))
}

/// Freezes the highest messages that are left.
#[derive(Debug)]
pub(crate) struct Freeze {
    pub(crate) queue: QueueRef,
    pub(crate) limit: PageLimit,
}

#[async_trait]
impl Task for Freeze {
    type Output = MovePart;
    const OPERATION: &'static str = "move_freeze";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MovePart, Failure> {
        let mut head = step.lock_source(&self.queue).await?;
        if !head.is_frozen() {
            if let Some(lowest) = self.lowest(step, &head).await? {
                head.from = lowest;
                step.set_head(&head, doc! { "from": lowest, "to": head.to }).await?;
            }
            let filter = left(&head, (head.from, head.to));
            let freeze = doc! { "$set": { "was": "$avail", "avail": FROZEN } };
            step.update_from_itself(DATA, filter, vec![freeze]).await?;
        }
        Ok(part(step, &self.queue, &head).await?)
    }
}

impl Freeze {
    /// The lowest position of the next part.
    async fn lowest(&self, step: &mut Step<'_>, head: &Head) -> NativeResult<Option<i64>> {
        #[derive(Deserialize)]
        struct Place {
            s: i64,
        }
        let query =
            Query::of(left(head, (1, head.to))).by("_id_").sort(doc! { "_id": -1 }).fields(&["s"]);
        let highest: Vec<Place> = step.find(DATA, query.limit(i64::from(self.limit.get()))).await?;
        Ok(highest.last().map(|place| place.s))
    }
}

/// Reads what is frozen, at either end.
#[derive(Debug)]
pub(crate) struct ReadPart(pub(crate) QueueRef);

#[async_trait]
impl Task for ReadPart {
    type Output = MovePart;
    const OPERATION: &'static str = "move_part";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MovePart, Failure> {
        let head = step.head_of_move(&self.0).await?;
        Ok(part(step, &self.0, &head).await?)
    }
}

/// Whether a part that begins there is frozen, at that end of a move.
fn is_frozen_from(head: &Head, state: i64, from: u64) -> bool {
    head.state == state && head.is_frozen() && head.from == number_code(from)
}

fn frozen(head: &Head) -> Document {
    doc! { "_id": message_range(head.q, head.from, head.to), "q": head.q, "avail": FROZEN }
}

/// Removes what was frozen, where it came from.
#[derive(Debug)]
pub(crate) struct Remove {
    pub(crate) queue: QueueRef,
    pub(crate) from: u64,
}

#[async_trait]
impl Task for Remove {
    type Output = ();
    const OPERATION: &'static str = "move_remove";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.lock_head_of_move(&self.queue).await?;
        if is_frozen_from(&head, MOVED, self.from) {
            // What lies between, parked or over, is left to the carriers of dead letters and to `gc`.
            step.delete(DATA, frozen(&head)).await?;
            step.set_head(&head, doc! { "to": head.from }).await?;
        }
        Ok(())
    }
}

/// Gives free what was frozen, where it arrived.
#[derive(Debug)]
pub(crate) struct Reveal {
    pub(crate) queue: QueueRef,
    pub(crate) from: u64,
}

#[async_trait]
impl Task for Reveal {
    type Output = ();
    const OPERATION: &'static str = "move_reveal";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.lock_head_of_move(&self.queue).await?;
        if is_frozen_from(&head, OPEN, self.from) {
            let reveal = vec![doc! { "$set": { "avail": "$was" } }, doc! { "$unset": "was" }];
            step.update_from_itself(DATA, frozen(&head), reveal).await?;
            step.set_head(&head, doc! { "to": head.from }).await?;
        }
        Ok(())
    }
}
