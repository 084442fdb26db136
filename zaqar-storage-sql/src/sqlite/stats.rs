//! Counting: exact, from the queue head and the indexes, on a reader.

use zaqar_core::{
    MessageEdge, MessageMarker, QueueRef, QueueStats, Result, StoreVolume, Timestamp,
};

use crate::error::damaged;
use crate::layout::{message_id, row_id_end};

use super::driver::Store;
use super::reader::{check_head, failed, purged_row};
use super::statement::{Row, query};

const OPERATION: &str = "message_stats";

const COUNT: &str = concat!(
    // Everything alive: every position that something lives at, less what has expired and was not
    // retired yet. No message is looked at but these.
    "SELECT 0, (SELECT next - 1 - purged - gone FROM heads WHERE number = ?) \
       - (SELECT count(*) FROM messages INDEXED BY expiring \
         WHERE queue = ? AND expires > 0 AND expires <= ? AND id > ",
    purged_row!(),
    "); ",
    // Under a live claim; delayed ones share the index but have no claim.
    "SELECT 1, count(*) FROM messages INDEXED BY maturing \
       WHERE queue = ? AND avail > 0 AND avail > ? AND claim IS NOT NULL AND id > ",
    purged_row!(),
    // On their way to the dead-letter queue.
    "; SELECT 2, count(*) FROM transfers WHERE queue = ? AND id > ",
    purged_row!(),
    "; SELECT 3, id, posted, origin FROM (SELECT id, posted, origin FROM messages \
       WHERE id < ? AND expires > ? AND id > ",
    purged_row!(),
    " ORDER BY id LIMIT 1)",
    "; SELECT 4, id, posted, origin FROM (SELECT id, posted, origin FROM messages \
       WHERE id < ? AND expires > ? AND id > ",
    purged_row!(),
    " ORDER BY id DESC LIMIT 1)",
    check_head!()
);

/// Counts a queue's live messages.
pub(crate) async fn queue(store: &Store, queue: &QueueRef) -> Result<QueueStats> {
    let number = store.reader.number(OPERATION, queue).await?;
    let now = store.clock.now();
    let now_ms = now.as_millis();
    let mut select = query(COUNT).bind(number);
    for _ in 0..2 {
        select = select.bind(number).bind(now_ms).bind(number);
    }
    select = select.bind(number).bind(number);
    for _ in 0..2 {
        select = select.bind(row_id_end(number)).bind(now_ms).bind(number);
    }
    let rows = store.reader.rows_of_queue(OPERATION, queue, select.bind(number)).await?;
    let counted = read(&rows, queue, now);
    counted.map_err(|error| failed(OPERATION, error))
}

fn read(rows: &[Row], queue: &QueueRef, now: Timestamp) -> Result<QueueStats, sqlx::Error> {
    let mut stats = QueueStats::default();
    let (mut living, mut claimed) = (0_u64, 0_u64);
    for row in rows {
        let count = || Ok::<u64, sqlx::Error>(row.try_get::<i64>(1)?.unsigned_abs());
        match row.try_get::<i64>(0)? {
            0 => living = count()?,
            1 | 2 => claimed = claimed.saturating_add(count()?),
            3 => stats.oldest = Some(edge(row, queue, now)?),
            _ => stats.newest = Some(edge(row, queue, now)?),
        }
    }
    // The counts are of one moment each: a claim in between must not make free negative.
    stats.claimed = claimed.min(living);
    stats.free = living.saturating_sub(claimed);
    Ok(stats)
}

fn edge(row: &Row, queue: &QueueRef, now: Timestamp) -> Result<MessageEdge, sqlx::Error> {
    let place = message_id(queue.incarnation, row.try_get(1)?);
    let place = MessageMarker::from(place.map_err(|_| damaged("message id"))?);
    let posted_at = Timestamp::from_millis(row.try_get(2)?);
    let id = match row.try_get::<Option<&str>>(3)? {
        Some(origin) => origin.parse().map_err(|_| damaged("message origin"))?,
        None => place.into(),
    };
    Ok(MessageEdge { id, age_s: now.seconds_since(posted_at), posted_at })
}

/// Counts the live messages of the whole store.
pub(crate) async fn volume(store: &Store) -> Result<StoreVolume> {
    const OPERATION: &str = "volume";
    let now = store.clock.now().as_millis();
    let select = query(
        "SELECT count(*), count(*) FILTER (WHERE m.avail = -2 OR (m.claim IS NOT NULL AND m.avail > ?)) \
         FROM heads AS h CROSS JOIN messages AS m \
           ON m.id > (h.number << 35) | h.purged AND m.id < (h.number + 1) << 35 \
         WHERE h.state < 2 AND m.expires > ?",
    )
    .bind(now)
    .bind(now);
    let rows = store.reader.rows(OPERATION, select).await?;
    let Some(row) = rows.first() else { return Ok(StoreVolume::default()) };
    let count = |column: usize| {
        let count = row.try_get::<i64>(column).map(i64::unsigned_abs);
        count.map_err(|error| failed(OPERATION, error))
    };
    let claimed = count(1)?;
    Ok(StoreVolume { free: count(0)?.saturating_sub(claimed), claimed })
}
