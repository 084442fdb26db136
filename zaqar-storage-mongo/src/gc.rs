//! Garbage collection: physical removal of what has been over for the margin, in bounded steps.
//!
//! Nothing here decides what is visible; it removes what no read shows any more. Each step looks for
//! ids and deletes them on the same condition, so it never acts on a stale look.

use async_trait::async_trait;
use mongodb::bson::{Document, doc};
use zaqar_core::{GcOptions, GcReport, Result, Timestamp};

use crate::deliveries::queues_with_entries;
use crate::driver::MongoData;
use crate::error::{Failure, failed};
use crate::heads::Head;
use crate::outbox::Trim;
use crate::query::Query;
use crate::rows::length_code;
use crate::schema::DATA;
use crate::step::Step;
use crate::store::Store;
use crate::subscription_changes::CollectEnded;
use crate::sweep::{Id, STEP_ROWS_MAX, sweep_due};
use crate::tables::{POSITION_MAX, RECLAIMED, head_key, message_key, queue_range};
use crate::task::{Task, transact};

const OPERATION: &str = "gc";

impl MongoData {
    /// Collects in steps until nothing is due or the budget is used up.
    pub(crate) async fn collect(&self, options: GcOptions) -> Result<GcReport> {
        let work =
            move |store: std::sync::Arc<Store>| async move { collect(&store, options).await };
        self.handle.finish(None, OPERATION, work).await
    }
}

async fn collect(store: &Store, options: GcOptions) -> Result<GcReport> {
    // What expired in a queue that nobody visits must be retired before it can be removed.
    let swept = sweep_due(store).await?;
    let mut report = GcReport { rows: 0, more: swept.more };
    while report.rows < options.rows_max {
        let left = i64::try_from(options.rows_max - report.rows).unwrap_or(i64::MAX);
        let rows_max = left.min(i64::from(STEP_ROWS_MAX));
        let rows = collect_step(store, &options, rows_max).await?;
        if rows == 0 {
            return Ok(report);
        }
        report.rows = report.rows.saturating_add(rows);
    }
    report.more = true;
    Ok(report)
}

/// One step: some rows of the first kind of which there are any.
async fn collect_step(store: &Store, options: &GcOptions, rows_max: i64) -> Result<u64> {
    let latest = store.clock.now().as_millis() - options.margin.as_millis();
    let latest = Timestamp::from_millis(latest).as_millis();
    // Retired messages keep the negated end of their life.
    let retired = doc! { "expires": { "$lt": 0_i64, "$gte": -latest } };
    let removed = remove(store, retired, "retired", rows_max).await?;
    if removed > 0 {
        return Ok(removed);
    }
    let ended = doc! {
        "ends": { "$gt": 0_i64, "$lte": latest },
        "subscriber": { "$exists": false },
    };
    let removed = remove(store, ended, "ending", rows_max).await?;
    if removed > 0 {
        return Ok(removed);
    }
    let removed = transact(store, &mut CollectEnded { margin: options.margin, rows_max }).await?;
    if removed > 0 {
        return Ok(removed);
    }
    let queues = queues_with_entries(store).await.map_err(|error| failed(OPERATION, &error))?;
    for q in queues {
        let trimmed = transact(store, &mut Trim { q, rows_max }).await?;
        if trimmed > 0 {
            return Ok(trimmed);
        }
    }
    reclaim(store, rows_max).await
}

/// Removes documents that meet a condition; how many.
async fn remove(store: &Store, condition: Document, index: &str, rows_max: i64) -> Result<u64> {
    let query = Query::of(condition.clone()).by(index).fields(&["_id"]).limit(rows_max);
    let found: Vec<Id> = store.glance(OPERATION).find(DATA, query).await?;
    if found.is_empty() {
        return Ok(0);
    }
    let count = length_code(found.len()).unsigned_abs();
    let keys: Vec<String> = found.into_iter().map(|row| row.id).collect();
    let mut filter = doc! { "_id": { "$in": keys } };
    // On the same condition: what is there under the id may be another by now.
    filter.extend(condition);
    store.delete(OPERATION, DATA, filter).await?;
    Ok(count)
}

/// Removes documents of one queue that was purged or closed; how many.
async fn reclaim(store: &Store, rows_max: i64) -> Result<u64> {
    let query = Query::of(doc! { "gc": true }).by("reclaim").limit(1);
    let heads: Vec<Head> = store.glance(OPERATION).find(DATA, query).await?;
    match heads.into_iter().next() {
        Some(head) if head.is_live() => reclaim_purged(store, &head, rows_max).await,
        Some(head) => transact(store, &mut ReclaimClosed { q: head.q, rows_max }).await,
        None => Ok(0),
    }
}

/// What was purged never is at its position again, wherever the queue goes and comes back from.
async fn reclaim_purged(store: &Store, head: &Head, rows_max: i64) -> Result<u64> {
    let q = head.q;
    let range = doc! { "$gt": message_key(q, 0), "$lte": message_key(q, head.purged) };
    let query = Query::of(doc! { "_id": range, "q": q }).by("_id_").fields(&["_id"]);
    let found: Vec<Id> = store.glance(OPERATION).find(DATA, query.limit(rows_max)).await?;
    if !found.is_empty() {
        let count = length_code(found.len()).unsigned_abs();
        let keys: Vec<String> = found.into_iter().map(|row| row.id).collect();
        store.delete(OPERATION, DATA, doc! { "_id": { "$in": keys }, "q": q }).await?;
        return Ok(count);
    }
    // Unless it was purged again, closed or moved meanwhile.
    let same = doc! {
        "_id": head_key(q),
        "state": head.state,
        "epoch": head.epoch,
        "purged": head.purged,
    };
    let done = doc! { "$set": { "reclaimed": head.purged }, "$unset": { "gc": "" } };
    store.update(OPERATION, same, done).await?;
    Ok(1)
}

/// Removes documents of a closed queue. One that left comes back to the ids that it had: what was
/// found here and exchanged meanwhile makes the transaction conflict.
#[derive(Debug)]
struct ReclaimClosed {
    q: i64,
    rows_max: i64,
}

#[async_trait]
impl Task for ReclaimClosed {
    type Output = u64;
    const OPERATION: &'static str = OPERATION;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<u64, Failure> {
        let q = self.q;
        let head: Option<Head> = step.find_one(Query::id(head_key(q))).await?;
        if head.is_none_or(|head| head.is_live()) {
            return Ok(0);
        }
        let (low, high) = queue_range(q);
        // The head of a closed incarnation stays as its tombstone: it must never open again, unless
        // the queue left and comes back.
        let range = doc! { "$gt": low, "$lt": high, "$ne": head_key(q) };
        let query = Query::of(doc! { "_id": range, "q": q }).by("_id_").fields(&["_id"]);
        let found: Vec<Id> = step.find(DATA, query.limit(self.rows_max)).await?;
        if !found.is_empty() {
            let keys: Vec<String> = found.into_iter().map(|row| row.id).collect();
            return Ok(step.delete(DATA, doc! { "_id": { "$in": keys }, "q": q }).await?);
        }
        let done = doc! {
            "$set": { "state": RECLAIMED, "reclaimed": POSITION_MAX },
            "$unset": { "gc": "" },
        };
        step.update(DATA, doc! { "_id": head_key(q) }, done).await?;
        Ok(1)
    }
}
