//! Claims: reading, renewing and releasing them. Making one is in [`crate::takes`].

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use serde::Deserialize;
use tokio::sync::oneshot;
use zaqar_core::{
    Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef, Result,
    Timestamp, Ttl,
};

use crate::barrier::Place;
use crate::driver::MongoData;
use crate::error::{Failure, NativeResult, failed, vanished};
use crate::heads::{Head, moving};
use crate::query::Query;
use crate::rows::{MessageRow, ttl, ttl_code};
use crate::schema::DATA;
use crate::step::Step;
use crate::tables::{CLAIMABLE, FROZEN, claim_key, message_key, queue_code};
use crate::takes::Taker;
use crate::task::Task;

/// A claim as it is recorded.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ClaimRow {
    #[serde(rename = "_id")]
    pub(crate) key: String,
    pub(crate) ttl: i64,
    pub(crate) grace: i64,
    started: i64,
    ends: i64,
    /// The positions that it took; the messages say which it still holds.
    pub(crate) list: Vec<i64>,
}

impl ClaimRow {
    pub(crate) fn started(&self) -> Timestamp {
        Timestamp::from_millis(self.started)
    }

    pub(crate) fn ends(&self) -> Timestamp {
        Timestamp::from_millis(self.ends)
    }

    fn claim(&self, id: ClaimId, now: Timestamp) -> Claim {
        Claim {
            id,
            ttl: ttl(self.ttl),
            age_s: now.seconds_since(self.started()),
            ends_at: self.ends(),
        }
    }

    /// What the claim holds at a moment: another claim may have the others by now (G6). What is on
    /// its way it holds as well, and nobody may change.
    fn holds(&self, q: i64, id: ClaimId, now: Timestamp) -> Document {
        let keys: Vec<String> = self.list.iter().map(|at| message_key(q, *at)).collect();
        doc! {
            "_id": { "$in": keys },
            "q": q,
            "claim": id.to_string(),
            "$or": [
                { "avail": { "$gt": now.as_millis() } },
                { "avail": FROZEN, "was": { "$gt": now.as_millis() } },
            ],
        }
    }
}

fn not_found(queue: &QueueRef, id: ClaimId) -> Error {
    Error::ClaimNotFound { queue: queue.key.name.clone(), id }
}

async fn find(step: &mut Step<'_>, head: &Head, id: ClaimId) -> NativeResult<Option<ClaimRow>> {
    step.find_one(Query::id(claim_key(head.q, id))).await
}

#[derive(Debug)]
struct Renew {
    queue: QueueRef,
    id: ClaimId,
    ttl: Ttl,
    grace: Ttl,
}

/// A held message, as far as its renewal is concerned.
#[derive(Debug, Deserialize)]
struct Held {
    s: i64,
    expires: i64,
    avail: i64,
}

/// Refuses to change a claim that holds what is on its way.
fn check_still(queue: &QueueRef, held: &[Held]) -> Result<()> {
    if held.iter().any(|held| held.avail == FROZEN) { Err(moving(queue)) } else { Ok(()) }
}

/// What a claim holds, as far as it was not purged.
async fn held(
    step: &mut Step<'_>,
    head: &Head,
    claim: &ClaimRow,
    id: ClaimId,
) -> NativeResult<Vec<Held>> {
    let query = Query::of(claim.holds(head.q, id, step.now)).fields(&["s", "expires", "avail"]);
    let mut held: Vec<Held> = step.find(DATA, query).await?;
    held.retain(|held| held.s > head.purged);
    Ok(held)
}

#[async_trait]
impl Task for Renew {
    type Output = ();
    const OPERATION: &'static str = "claim_update";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let missing = || not_found(&self.queue, self.id);
        let head = step.head(&self.queue).await?;
        let claim = find(step, &head, self.id).await?.ok_or_else(missing)?;
        step.tick();
        let held = held(step, &head, &claim, self.id).await?;
        if held.is_empty() {
            return Err(missing().into());
        }
        check_still(&self.queue, &held)?;
        let ends_at = step.now.after(self.ttl);
        let ends = ends_at.as_millis();
        let (short, long): (Vec<_>, Vec<_>) = held.iter().partition(|held| held.expires < ends);
        let extension = doc! {
            "ttl": ttl_code(self.ttl.plus(self.grace)),
            "expires": ends_at.after(self.grace).as_millis(),
        };
        for (held, extension) in [(long, None), (short, Some(extension))] {
            let keys: Vec<String> = held.iter().map(|held| message_key(head.q, held.s)).collect();
            if keys.is_empty() {
                continue;
            }
            let mut set = doc! { "avail": ends };
            set.extend(extension.unwrap_or_default());
            let filter = doc! { "_id": { "$in": keys }, "q": head.q };
            step.update(DATA, filter, doc! { "$set": set }).await?;
        }
        let renewed = doc! {
            "ttl": ttl_code(self.ttl),
            "grace": ttl_code(self.grace),
            "started": step.now.as_millis(),
            "ends": ends,
        };
        step.update(DATA, doc! { "_id": claim.key }, doc! { "$set": renewed }).await?;
        Ok(())
    }
}

/// Releases a claim.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) queue: QueueRef,
    pub(crate) id: ClaimId,
}

#[async_trait]
impl Task for Release {
    type Output = ();
    const OPERATION: &'static str = "claim_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head(&self.queue).await?;
        let Some(claim) = find(step, &head, self.id).await? else { return Ok(()) };
        step.tick();
        if head.is_frozen() {
            check_still(&self.queue, &held(step, &head, &claim, self.id).await?)?;
        }
        let release = doc! { "$set": { "avail": CLAIMABLE }, "$rename": { "claim": "last" } };
        step.update(DATA, claim.holds(head.q, self.id, step.now), release).await?;
        step.delete(DATA, doc! { "_id": claim.key }).await?;
        Ok(())
    }
}

#[async_trait]
impl ClaimController for MongoData {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        let (reply, answer) = oneshot::channel();
        let limit = options.limit;
        self.take(queue, limit, Taker::Claim(options, reply)).await?;
        answer.await.unwrap_or_else(|_| Err(vanished("claim_create")))
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        const OPERATION: &str = "claim_get";
        let store = &self.handle.store;
        let q = queue_code(queue.incarnation);
        let view = store.view(OPERATION, Place::Queue(q)).await?;
        let found: Option<ClaimRow> = view.find_one(Query::id(claim_key(q, id))).await?;
        let now = store.clock.now();
        let live = found.filter(|claim| claim.ends > now.as_millis());
        let rows: Vec<MessageRow> = match &live {
            Some(claim) => {
                let query = Query::of(claim.holds(q, id, now)).sort(doc! { "_id": 1 });
                view.find(DATA, query).await?
            }
            None => Vec::new(),
        };
        let head = view.head(queue).await?;
        let shown = rows.into_iter().filter(|row| row.s > head.purged);
        let messages: NativeResult<Vec<Message>> =
            shown.map(|row| row.message(queue.incarnation, now)).collect();
        let messages = messages.map_err(|error| failed(OPERATION, &error))?;
        match live {
            Some(claim) if !messages.is_empty() => Ok((claim.claim(id, now), messages)),
            _ => Err(not_found(queue, id)),
        }
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        self.run(queue, Renew { queue: queue.clone(), id, ttl, grace }).await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        self.run(queue, Release { queue: queue.clone(), id }).await
    }
}
