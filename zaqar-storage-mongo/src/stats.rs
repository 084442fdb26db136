//! Counting: exact, from the indexes.

use mongodb::bson::{Document, doc};
use zaqar_core::{MessageEdge, QueueEnd, QueueRef, QueueStats, Result, StoreVolume, Timestamp};

use crate::barrier::Place;
use crate::error::failed;
use crate::heads::Head;
use crate::query::Query;
use crate::reader::View;
use crate::rows::MessageRow;
use crate::schema::DATA;
use crate::store::Store;
use crate::tables::{FROZEN, PARKED, POSITION_MAX, message_key, message_range, queue_code};

const STATS: &str = "message_stats";
const VOLUME: &str = "volume";

/// The first or last living message of a queue.
pub(crate) fn edge(q: i64, purged: i64, end: QueueEnd, now: Timestamp) -> Query {
    let order = match end {
        QueueEnd::Oldest => 1,
        QueueEnd::Newest => -1,
    };
    let range = doc! { "$gt": message_key(q, purged), "$lte": message_key(q, POSITION_MAX) };
    let filter = doc! { "_id": range, "q": q, "expires": { "$gt": now.as_millis() } };
    Query::of(filter).by("_id_").sort(doc! { "_id": order }).limit(1)
}

/// Counts what meets a condition among the messages of a queue that were not purged.
///
/// The index alone answers, but while purged messages are still to be removed: those are told apart
/// by their documents.
async fn count(
    view: &View<'_>,
    head: &Head,
    condition: Document,
    index: &'static str,
) -> Result<u64> {
    let mut filter = doc! { "q": head.q };
    filter.extend(condition);
    if head.purged > head.reclaimed {
        filter.insert("s", doc! { "$gt": head.purged });
    }
    view.count(DATA, filter, index).await
}

fn living(now: Timestamp) -> Document {
    doc! { "expires": { "$gt": now.as_millis() } }
}

/// Under a live claim; delayed ones share the index but have no claim.
fn claimed(now: Timestamp) -> Document {
    doc! { "avail": { "$gt": now.as_millis() }, "claim": { "$gte": "" } }
}

/// On their way to the dead-letter queue.
fn parked() -> Document {
    doc! { "avail": PARKED }
}

/// Counts what is on its way under a live claim: it is in no index of claimed messages.
async fn frozen_claimed(view: &View<'_>, head: &Head, now: Timestamp) -> Result<u64> {
    if !head.is_frozen() {
        return Ok(0);
    }
    let filter = doc! {
        "_id": message_range(head.q, head.from.max(head.purged + 1), head.to),
        "q": head.q,
        "avail": FROZEN,
        "was": { "$gt": now.as_millis() },
        "claim": { "$exists": true },
        "expires": { "$gt": now.as_millis() },
    };
    view.count(DATA, filter, "_id_").await
}

/// Counts a queue's live messages.
pub(crate) async fn queue(store: &Store, queue: &QueueRef) -> Result<QueueStats> {
    let view = store.view(STATS, Place::Queue(queue_code(queue.incarnation))).await?;
    loop {
        let head = view.head(queue).await?;
        let (q, now) = (head.q, store.clock.now());
        let edge = async |end| -> Result<Option<MessageEdge>> {
            let query = edge(q, head.purged, end, now);
            let row: Option<MessageRow> = view.find_one(query).await?;
            let message = row.map(|row| row.message(queue.incarnation, now)).transpose();
            let message = message.map_err(|error| failed(STATS, &error))?;
            Ok(message.map(|message| MessageEdge {
                id: message.id,
                age_s: message.age_s,
                posted_at: message.posted_at,
            }))
        };
        let (living, claimed, frozen, parked, oldest, newest) = tokio::try_join!(
            count(&view, &head, living(now), "expiring"),
            count(&view, &head, claimed(now), "maturing"),
            frozen_claimed(&view, &head, now),
            count(&view, &head, parked(), "parked"),
            edge(QueueEnd::Oldest),
            edge(QueueEnd::Newest),
        )?;
        let after = view.head(queue).await?;
        if (after.purged, after.from, after.to) != (head.purged, head.from, head.to) {
            continue;
        }
        // The counts are of one moment each: a claim in between must not make free negative.
        let claimed = claimed.saturating_add(frozen).saturating_add(parked).min(living);
        let free = living.saturating_sub(claimed);
        return Ok(QueueStats { claimed, free, oldest, newest });
    }
}

/// Counts the live messages of the whole store.
///
/// Everything in the indexes, less what belongs to the few queues that were closed or purged and are
/// still to be reclaimed.
pub(crate) async fn volume(store: &Store) -> Result<StoreVolume> {
    let now = store.clock.now();
    let view = store.view(VOLUME, Place::Rest).await?;
    let (mut all, held, parked_all) = tokio::try_join!(
        view.count(DATA, living(now), "expiring"),
        view.count(DATA, claimed(now), "maturing"),
        view.count(DATA, parked(), "parked"),
    )?;
    let mut claimed_all = held.saturating_add(parked_all);
    let query = Query::of(doc! { "gc": true }).by("reclaim");
    let heads: Vec<Head> = view.find(DATA, query).await?;
    for head in heads {
        let last = if head.is_live() { head.purged } else { POSITION_MAX };
        let hidden = async |condition: Document, index| {
            let mut filter = doc! { "q": head.q, "s": { "$lte": last } };
            filter.extend(condition);
            view.count(DATA, filter, index).await
        };
        let (living, held, parked) = tokio::try_join!(
            hidden(living(now), "expiring"),
            hidden(claimed(now), "maturing"),
            hidden(parked(), "parked"),
        )?;
        all = all.saturating_sub(living);
        claimed_all = claimed_all.saturating_sub(held.saturating_add(parked));
    }
    Ok(StoreVolume { free: all.saturating_sub(claimed_all), claimed: claimed_all })
}

/// Counts the dead letters on their way, of queues that still have them.
pub(crate) async fn transfers(view: &View<'_>) -> Result<u64> {
    let mut all = view.count(DATA, parked(), "parked").await?;
    if all == 0 {
        return Ok(0);
    }
    let query = Query::of(doc! { "gc": true }).by("reclaim");
    let heads: Vec<Head> = view.find(DATA, query).await?;
    for head in heads {
        // What was purged, or closed with its queue, is on its way nowhere.
        let last = if head.is_live() { head.purged } else { POSITION_MAX };
        let hidden = doc! { "q": head.q, "s": { "$lte": last }, "avail": PARKED };
        all = all.saturating_sub(view.count(DATA, hidden, "parked").await?);
    }
    Ok(all)
}
