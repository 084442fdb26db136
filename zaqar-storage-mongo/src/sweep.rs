//! The sweep: what has matured becomes claimable and what has expired is retired, in steps of at
//! most K rows, for queues that no claim visits (G7).
//!
//! Each row is changed on a condition of its own, so a step that is cut short, or done twice, or met
//! by a claim, leaves nothing half done.

use std::collections::VecDeque;

use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{GcReport, Result, Timestamp};

use crate::driver::MongoData;
use crate::error::failed;
use crate::query::Query;
use crate::schema::DATA;
use crate::store::Store;
use crate::tables::{CLAIMABLE, RETIRED};

const OPERATION: &str = "sweep";
/// Rows that one step may release, and may retire: K of the design.
pub(crate) const STEP_ROWS_MAX: u32 = zaqar_core::limits::ROWS_PER_STEP_MAX;
/// Steps of one sweep; the caller comes again when it left something.
const STEPS_MAX: usize = 200;

/// The id of a document.
#[derive(Debug, Deserialize)]
pub(crate) struct Id {
    #[serde(rename = "_id")]
    pub(crate) id: String,
}

fn matured(now: Timestamp) -> Document {
    doc! { "avail": { "$gt": 0_i64, "$lte": now.as_millis() } }
}

fn expired(now: Timestamp) -> Document {
    doc! { "expires": { "$gt": 0_i64, "$lte": now.as_millis() } }
}

fn of_queue(q: i64, condition: Document) -> Document {
    let mut filter = doc! { "q": q };
    filter.extend(condition);
    filter
}

fn any(filter: Document, index: &str) -> Query {
    Query::of(filter).by(index).fields(&["_id"]).limit(1)
}

/// Finds anything of a queue that has matured and is not released.
pub(crate) fn any_matured(q: i64, now: Timestamp) -> Query {
    any(of_queue(q, matured(now)), "maturing")
}

/// Finds anything of a queue that has expired and is not retired.
pub(crate) fn any_expired(q: i64, now: Timestamp) -> Query {
    any(of_queue(q, expired(now)), "expiring")
}

/// Releases up to K matured messages of one queue; how many.
pub(crate) async fn release(store: &Store, q: i64, now: Timestamp) -> Result<u64> {
    let update = doc! { "$set": { "avail": CLAIMABLE }, "$rename": { "claim": "last" } };
    change(store, q, matured(now), ("maturing", "avail"), update).await
}

/// Retires up to K expired messages of one queue; how many.
pub(crate) async fn retire(store: &Store, q: i64, now: Timestamp) -> Result<u64> {
    let update = doc! {
        "$set": { "avail": RETIRED },
        "$unset": { "claim": "" },
        "$mul": { "expires": -1_i64 },
    };
    change(store, q, expired(now), ("expiring", "expires"), update).await
}

/// Changes up to K messages that meet a condition, the earliest first.
async fn change(
    store: &Store,
    q: i64,
    condition: Document,
    (index, column): (&str, &str),
    update: Document,
) -> Result<u64> {
    let due = Query::of(of_queue(q, condition.clone()))
        .by(index)
        .sort(doc! { column: 1 })
        .fields(&["_id"])
        .limit(i64::from(STEP_ROWS_MAX));
    let found = Store::find_in::<Id>(&store.data_ahead(), due).await;
    let found = found.map_err(|error| failed(OPERATION, &error))?;
    if found.is_empty() {
        return Ok(0);
    }
    let keys: Vec<String> = found.into_iter().map(|row| row.id).collect();
    let mut filter = doc! { "_id": { "$in": keys } };
    // The condition again: a claim may have been renewed since the look.
    filter.extend(of_queue(q, condition));
    store.update(OPERATION, filter, update).await
}

impl MongoData {
    /// Does what is due, a step of each queue in turn, so that none waits for another's backlog.
    pub(crate) async fn sweep_due(&self) -> Result<GcReport> {
        self.handle.finish(None, OPERATION, |store| async move { sweep_due(&store).await }).await
    }
}

/// As [`MongoData::sweep_due`], in the caller's task.
pub(crate) async fn sweep_due(store: &Store) -> Result<GcReport> {
    let mut report = GcReport::default();
    let now = store.clock.now();
    let mut releasing = due_queues(store, matured(now), "maturing").await?;
    let mut retiring = due_queues(store, expired(now), "expiring").await?;
    for _ in 0..STEPS_MAX {
        if releasing.is_empty() && retiring.is_empty() {
            return Ok(report);
        }
        if let Some(q) = releasing.pop_front() {
            let rows = release(store, q, now).await?;
            report.rows = report.rows.saturating_add(rows);
            if is_full_step(rows) {
                releasing.push_back(q);
            }
        }
        if let Some(q) = retiring.pop_front() {
            let rows = retire(store, q, now).await?;
            report.rows = report.rows.saturating_add(rows);
            if is_full_step(rows) {
                retiring.push_back(q);
            }
        }
    }
    report.more = true;
    Ok(report)
}

/// Queues where something is due: a walk of the index that jumps from queue to queue, so queues
/// where nothing is due cost a look-up each, however many messages they hold.
async fn due_queues(
    store: &Store,
    condition: Document,
    index: &'static str,
) -> Result<VecDeque<i64>> {
    #[derive(Deserialize)]
    struct Group {
        #[serde(rename = "_id")]
        q: i64,
    }
    let pipeline = [doc! { "$match": condition }, doc! { "$group": { "_id": "$q" } }];
    let hint = mongodb::options::Hint::Name(index.to_owned());
    let grouped = store.collection(DATA).aggregate(pipeline).hint(hint).await;
    let mut cursor = grouped.map_err(|error| failed(OPERATION, &error))?;
    let mut queues = VecDeque::new();
    while cursor.advance().await.map_err(|error| failed(OPERATION, &error))? {
        let raw = cursor.current().to_owned();
        let group: Group = crate::query::read(&raw).map_err(|error| failed(OPERATION, &error))?;
        queues.push_back(group.q);
    }
    Ok(queues)
}

/// Whether a step did as much as it may, so that there may be more.
fn is_full_step(rows: u64) -> bool {
    rows >= u64::from(STEP_ROWS_MAX)
}
