//! The second half of a pop: what it holds is deleted, and only what was is handed out (G14).

use std::collections::HashSet;

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use zaqar_core::{Effect, Error, Message, QueueRef, Result, Retry};

use crate::error::{Failure, engine_error, failed};
use crate::heads::{Head, head_query};
use crate::holding::Holding;
use crate::plan::{run, whole};
use crate::query::Query;
use crate::schema::DATA;
use crate::step::Step;
use crate::store::Store;
use crate::sweep::Id;
use crate::tables::{CLAIMABLE, message_key, queue_code};
use crate::task::{Task, transact};

const OPERATION: &str = "message_pop";

/// Deletes what was popped, each on condition that the pop still holds it.
///
/// One command for all, so that its failure says of every pop alike whether anything may be gone. It
/// does not say which of the messages it found. Where some may be on their way to another store, or
/// from one, a transaction does, and those that are stay: they can be had again when the lease of the
/// pop ends.
pub(crate) async fn remove_popped(
    store: &Store,
    queue: &QueueRef,
    holdings: &mut [Holding],
) -> Result<()> {
    let q = queue_code(queue.incarnation);
    let pops = || holdings.iter().filter(|holding| holding.is_pop && !holding.messages.is_empty());
    if pops().next().is_none() {
        return Ok(());
    }
    let conditions: Vec<Document> = pops().map(|holding| held(q, holding)).collect();
    let wanted: usize = pops().map(|holding| holding.messages.len()).sum();
    if queue.epoch > 0 {
        let removed = transact(store, &mut RemoveHeld { conditions }).await?;
        for holding in holdings.iter_mut().filter(|holding| holding.is_pop) {
            holding.messages.retain(|message| removed.contains(&key(q, message)));
        }
        return Ok(());
    }
    let removed = remove(store, conditions).await?;
    if removed < wanted && may_have_moved(store, queue).await? {
        // The queue began to move: what is here still, this pop does not get.
        let stays = staying(store, q, holdings).await?;
        for holding in holdings.iter_mut().filter(|holding| holding.is_pop) {
            holding.messages.retain(|message| !stays.contains(&key(q, message)));
        }
        if removed + stays.len() < wanted {
            // Which of them went with the queue is not known.
            let cause = "the queue began to move while it was popped from";
            return Err(Error::backend(OPERATION, Effect::Unknown, Retry::Later, cause));
        }
    }
    Ok(())
}

/// What pops wanted that is still there.
async fn staying(store: &Store, q: i64, holdings: &[Holding]) -> Result<HashSet<String>> {
    let pops = holdings.iter().filter(|holding| holding.is_pop);
    let keys: Vec<String> =
        pops.flat_map(|holding| &holding.messages).map(|message| key(q, message)).collect();
    let query = Query::of(doc! { "_id": { "$in": keys }, "q": q }).fields(&["_id"]);
    let found = Store::find_in::<Id>(&store.data_ahead(), query).await;
    let unsure = |error| engine_error(OPERATION, Effect::Unknown, &error);
    Ok(found.map_err(unsure)?.into_iter().map(|row| row.id).collect())
}

/// Lets go of what pops hold that failed, so that it need not wait for the end of their leases.
pub(crate) async fn give_back_popped(store: &Store, queue: &QueueRef, holdings: &[Holding]) {
    let q = queue_code(queue.incarnation);
    for holding in holdings.iter().filter(|holding| holding.is_pop) {
        let keys: Vec<String> = holding.planned.iter().map(|at| message_key(q, *at)).collect();
        if keys.is_empty() {
            continue;
        }
        let held = doc! {
            "_id": { "$in": keys },
            "q": q,
            "claim": holding.claim.to_string(),
            "avail": { "$gt": 0_i64 },
        };
        let release = doc! { "$set": { "avail": CLAIMABLE }, "$unset": { "claim": "" } };
        // A failure is harmless: the lease ends by itself.
        if let Err(error) = store.update(OPERATION, held, release).await {
            tracing::debug!(%error, "what a failed pop held is left to its lease");
        }
    }
}

fn key(q: i64, message: &Message) -> String {
    message_key(q, i64::try_from(message.marker.sequence()).unwrap_or(i64::MAX))
}

/// What a pop holds; not what is on its way.
fn held(q: i64, holding: &Holding) -> Document {
    let keys: Vec<String> = holding.messages.iter().map(|message| key(q, message)).collect();
    doc! {
        "_id": { "$in": keys },
        "q": q,
        "claim": holding.claim.to_string(),
        "avail": { "$gt": 0_i64 },
    }
}

/// Deletes what meets one of the conditions; how many.
async fn remove(store: &Store, conditions: Vec<Document>) -> Result<usize> {
    let acknowledged = store.write_concern_document();
    let acknowledged = acknowledged.map_err(|error| failed(OPERATION, &error))?;
    let deletes: Vec<Document> =
        conditions.into_iter().map(|condition| doc! { "q": condition, "limit": 0 }).collect();
    let command = doc! {
        "delete": DATA,
        "deletes": deletes,
        "ordered": false,
        "writeConcern": acknowledged,
    };
    let reply = run(store, OPERATION, command).await?;
    whole(OPERATION, &reply)?;
    let count = mongodb::bson::Bson::as_i32;
    Ok(reply.get("n").and_then(count).and_then(|n| usize::try_from(n).ok()).unwrap_or(0))
}

/// Whether the queue moved, as far as the primary knows: after a command of this store that found
/// fewer than it should have.
async fn may_have_moved(store: &Store, queue: &QueueRef) -> Result<bool> {
    let unsure = |error| engine_error(OPERATION, Effect::Unknown, &error);
    let heads = Store::find_in::<Head>(&store.data_ahead(), head_query(queue).limit(1)).await;
    Ok(heads.map_err(unsure)?.first().is_some_and(|head| head.epoch > 0))
}

/// Deletes what pops hold, and says what that was.
#[derive(Debug)]
struct RemoveHeld {
    conditions: Vec<Document>,
}

#[async_trait]
impl Task for RemoveHeld {
    type Output = HashSet<String>;
    const OPERATION: &'static str = OPERATION;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<HashSet<String>, Failure> {
        let mut removed = HashSet::new();
        for condition in &self.conditions {
            let query = Query::of(condition.clone()).fields(&["_id"]);
            let found: Vec<Id> = step.find(DATA, query).await?;
            removed.extend(found.into_iter().map(|row| row.id));
        }
        let keys: Vec<&str> = removed.iter().map(String::as_str).collect();
        if !keys.is_empty() {
            step.delete(DATA, doc! { "_id": { "$in": keys } }).await?;
        }
        Ok(removed)
    }
}
