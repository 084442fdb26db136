//! Counting: exact, from the indexes, in one statement and so at one moment.

use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{
    MessageEdge, MessageMarker, QueueRef, QueueStats, Result, StoreVolume, Timestamp,
};

use crate::error::damaged;
use crate::layout::{message_id, row_id_end};

use super::heads::check_rows;
use super::server::Server;
use super::told::Told;

pub(crate) const OPERATION: &str = "message_stats";

/// The oldest or newest live message of the head `h`.
macro_rules! edge {
    ($order:literal) => {
        concat!(
            "LEFT JOIN LATERAL (SELECT m.id, m.posted, m.origin FROM messages AS m \
               WHERE m.id < $3 AND m.id > ((h.number << 35) | h.purged) AND m.expires > $2 \
               ORDER BY m.id ",
            $order,
            " LIMIT 1)"
        )
    };
}

pub(crate) const COUNT: &str = concat!(
    "SELECT h.state, h.epoch, \
       (SELECT count(*) FROM messages AS m WHERE m.queue = h.number \
         AND m.expires > 0 AND m.expires > $2 AND m.id > ((h.number << 35) | h.purged)), \
       (SELECT count(*) FROM messages AS m WHERE m.queue = h.number AND m.avail > 0 \
         AND m.avail > $2 AND m.claim IS NOT NULL AND m.id > ((h.number << 35) | h.purged)), \
       (SELECT count(*) FROM transfers AS t WHERE t.queue = h.number \
         AND t.id > ((h.number << 35) | h.purged)), \
       o.id, o.posted, o.origin, n.id, n.posted, n.origin FROM heads AS h ",
    edge!("ASC"),
    " AS o ON true ",
    edge!("DESC"),
    " AS n ON true WHERE h.number = $1"
);

/// Counts a queue's live messages.
pub(crate) async fn queue(server: &Server, queue: &QueueRef) -> Result<QueueStats> {
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let select = sqlx::query(COUNT).bind(number).bind(now.as_millis()).bind(row_id_end(number));
    let rows = server.read(OPERATION, select).await?;
    check_rows(&rows, queue).told(OPERATION)?;
    match rows.first() {
        Some(row) => read(row, queue, now).told(OPERATION),
        None => Ok(QueueStats::default()),
    }
}

fn read(row: &PgRow, queue: &QueueRef, now: Timestamp) -> Result<QueueStats, sqlx::Error> {
    let count = |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let (living, held, parked) = (count(2)?, count(3)?, count(4)?);
    let claimed = held.saturating_add(parked);
    Ok(QueueStats {
        claimed,
        free: living.saturating_sub(claimed),
        oldest: edge(row, 5, queue, now)?,
        newest: edge(row, 8, queue, now)?,
    })
}

fn edge(
    row: &PgRow,
    offset: usize,
    queue: &QueueRef,
    now: Timestamp,
) -> Result<Option<MessageEdge>, sqlx::Error> {
    let Some(id) = row.try_get::<Option<i64>, _>(offset)? else { return Ok(None) };
    let place = message_id(queue.incarnation, id).map_err(|_| damaged("message id"))?;
    let place = MessageMarker::from(place);
    let posted_at = Timestamp::from_millis(row.try_get(offset + 1)?);
    let id = match row.try_get::<Option<&str>, _>(offset + 2)? {
        Some(origin) => origin.parse().map_err(|_| damaged("message origin"))?,
        None => place.into(),
    };
    Ok(Some(MessageEdge { id, age_s: now.seconds_since(posted_at), posted_at }))
}

const VOLUME: &str = "SELECT count(*), \
       count(*) FILTER (WHERE m.avail = -2 OR (m.claim IS NOT NULL AND m.avail > $1)) \
     FROM heads AS h JOIN messages AS m \
       ON m.id > ((h.number << 35) | h.purged) AND m.id < ((h.number + 1) << 35) \
     WHERE h.state < 2 AND m.expires > $1";

/// Counts the live messages of the whole store.
pub(crate) async fn volume(server: &Server) -> Result<StoreVolume> {
    const OPERATION: &str = "volume";
    let now = server.clock.now().as_millis();
    let rows = server.read(OPERATION, sqlx::query(VOLUME).bind(now)).await?;
    let Some(row) = rows.first() else { return Ok(StoreVolume::default()) };
    let count =
        |column: usize| row.try_get::<i64, _>(column).map(i64::unsigned_abs).told(OPERATION);
    let claimed = count(1)?;
    Ok(StoreVolume { free: count(0)?.saturating_sub(claimed), claimed })
}
