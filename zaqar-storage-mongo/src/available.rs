//! What is there for those who wait: two reads for each hundred of their queues.
//!
//! The heads are read first, all at once, and then one aggregation looks behind each place, by index
//! and for one message only. A queue that is closed or purged in between may be told to have
//! something, and who looks finds out.
//!
//! All of it is read of one moment, that of the control plane ([`Place::Rest`]), so as not to ask for
//! one for each queue. On a sharded cluster a shard whose primary is being replaced may so tell a
//! message late, in a later poll.

use std::collections::HashMap;

use mongodb::bson::{Document, doc};
use serde::Deserialize;
use zaqar_core::{MessageId, MessageWatch, Result, Timestamp};

use crate::barrier::Place;
use crate::heads::checked;
use crate::query::Query;
use crate::reader::View;
use crate::schema::DATA;
use crate::store::Store;
use crate::tables::{CLAIMABLE, POSITION_MAX, arrival_key, position, queue_code};

const OPERATION: &str = "message_available";

/// Places that one aggregation looks behind, which takes two of its stages for each.
const BATCH: usize = 100;

/// A place of the batch behind which something is.
#[derive(Debug, Deserialize)]
struct Told {
    place: i64,
}

/// Where messages that came from other queues stand, by the id of the record that says so.
type Arrivals = HashMap<String, i64>;

/// Says of each place whether something is behind it.
pub(crate) async fn of_watches(store: &Store, watches: &[MessageWatch]) -> Result<Vec<bool>> {
    let mut available = Vec::with_capacity(watches.len());
    if watches.is_empty() {
        return Ok(available);
    }
    let view = store.view(OPERATION, Place::Rest).await?;
    for batch in watches.chunks(BATCH) {
        available.extend(of_batch(&view, batch, store.clock.now()).await?);
    }
    Ok(available)
}

async fn of_batch(view: &View<'_>, batch: &[MessageWatch], now: Timestamp) -> Result<Vec<bool>> {
    let heads = view.heads(batch.iter().map(|watch| &watch.queue)).await?;
    let arrivals = arrivals(view, batch).await?;
    // What is gone is told to have something.
    let mut available = vec![true; batch.len()];
    let mut looks = Vec::new();
    for ((place, watch), told) in (0_i64..).zip(batch).zip(&mut available) {
        let q = queue_code(watch.queue.incarnation);
        if let Ok(head) = checked(&watch.queue, heads.get(&q).cloned()) {
            *told = false;
            let after = after(watch, &arrivals).max(head.purged);
            looks.push(look(place, claimable(q, after, now), doc! { "s": 1 }));
            looks.push(look(place, matured(q, after, now), doc! { "avail": 1 }));
        }
    }
    let Some(pipeline) = joined(looks) else { return Ok(available) };
    for told in view.aggregate::<Told>(pipeline).await? {
        let place = usize::try_from(told.place).ok().and_then(|place| available.get_mut(place));
        if let Some(place) = place {
            *place = true;
        }
    }
    Ok(available)
}

/// The record of the message that a place is named by, if it came from another queue.
fn arrival(watch: &MessageWatch) -> Option<String> {
    let id = MessageId::from(watch.after?);
    let foreign = id.incarnation() != watch.queue.incarnation;
    foreign.then(|| arrival_key(queue_code(watch.queue.incarnation), id))
}

async fn arrivals(view: &View<'_>, batch: &[MessageWatch]) -> Result<Arrivals> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(rename = "_id")]
        key: String,
        at: i64,
    }
    let keys: Vec<String> = batch.iter().filter_map(arrival).collect();
    if keys.is_empty() {
        return Ok(Arrivals::new());
    }
    let found: Vec<Row> = view.find(DATA, Query::of(doc! { "_id": { "$in": keys } })).await?;
    Ok(found.into_iter().map(|row| (row.key, row.at)).collect())
}

/// The position of a place, as a listing takes it.
fn after(watch: &MessageWatch, arrivals: &Arrivals) -> i64 {
    match (watch.after, arrival(watch)) {
        (None, _) => 0,
        (Some(_), Some(key)) => arrivals.get(&key).copied().unwrap_or(0),
        (Some(own), None) => position(own.sequence()).unwrap_or(POSITION_MAX),
    }
}

fn claimable(q: i64, after: i64, now: Timestamp) -> Document {
    doc! { "q": q, "avail": CLAIMABLE, "s": { "$gt": after }, "expires": { "$gt": now.as_millis() } }
}

/// Free by time, but not released yet.
fn matured(q: i64, after: i64, now: Timestamp) -> Document {
    let now = now.as_millis();
    doc! {
        "q": q,
        "avail": { "$gt": 0_i64, "$lte": now },
        "s": { "$gt": after },
        "expires": { "$gt": now },
    }
}

/// Looks for one message. The order is that of the index that is to be used: any other would have
/// to sort.
fn look(place: i64, filter: Document, order: Document) -> [Document; 4] {
    [
        doc! { "$match": filter },
        doc! { "$sort": order },
        doc! { "$limit": 1_i64 },
        doc! { "$project": { "_id": 0, "place": { "$literal": place } } },
    ]
}

/// One aggregation of all looks; `None` if there is nothing to look for.
fn joined(looks: Vec<[Document; 4]>) -> Option<Vec<Document>> {
    let mut looks = looks.into_iter();
    let mut pipeline = looks.next()?.to_vec();
    pipeline.extend(looks.map(|look| {
        doc! { "$unionWith": { "coll": DATA, "pipeline": look.to_vec() } }
    }));
    Some(pipeline)
}
