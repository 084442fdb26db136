//! Counting: exact, from the indexes, in one snapshot and so at one moment.

use zaqar_core::{MessageEdge, QueueRef, QueueStats, Result, StoreVolume, Timestamp};

use crate::error::damaged;
use crate::layout::{message_id, row_id, row_id_end};

use super::heads::{check_rows, look, state};
use super::row::SqlRow;
use super::rows::unclaimed;
use super::server::Server;
use super::sql::sql;
use super::told::Told;

pub(crate) const OPERATION: &str = "message_stats";

/// The oldest or newest live message of queue `$1` at `$2`, behind `$3`, before `$4`.
macro_rules! edge {
    ($order:literal) => {
        concat!(
            "SELECT m.id, m.posted, m.origin FROM messages AS m FORCE INDEX (PRIMARY) \
             WHERE m.id > $3 + @zp AND m.id < $4 AND m.expires > $2 ORDER BY m.id ",
            $order,
            " LIMIT 1"
        )
    };
}

const OLDEST: &str = edge!("ASC");
const NEWEST: &str = edge!("DESC");

pub(super) const COUNT: &str = concat!(
    "SELECT (SELECT COUNT(*) FROM messages AS m FORCE INDEX (expiring) \
         WHERE m.queue = $1 AND m.expires > $2 AND m.id > $3 + @zp), \
       (SELECT COUNT(*) FROM messages AS m FORCE INDEX (claimable) \
         WHERE m.queue = $1 AND m.avail > $2 AND m.claim <> ",
    unclaimed!(),
    " AND m.id > $3 + @zp), \
       (SELECT COUNT(*) FROM transfers AS t FORCE INDEX (transfers_by_queue) \
         WHERE t.queue = $1 AND t.id > $3 + @zp)"
);

/// Counts a queue's live messages.
pub(crate) async fn queue(server: &Server, queue: &QueueRef) -> Result<QueueStats> {
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let bind = |text| {
        let select = sql(text).bind(number).bind(now.as_millis());
        select.bind(row_id(number, 0)).bind(row_id_end(number))
    };
    let script = vec![look(number), bind(COUNT), bind(OLDEST), bind(NEWEST), state(number)];
    let answers = server.read_snapshot(OPERATION, script).await?;
    check_rows(answers.rows(4), queue).told(OPERATION)?;
    let Some(row) = answers.rows(1).first() else { return Ok(QueueStats::default()) };
    let count = |column: usize| row.try_get::<i64>(column).map(i64::unsigned_abs).told(OPERATION);
    let (living, held, parked) = (count(0)?, count(1)?, count(2)?);
    let claimed = held.saturating_add(parked);
    let edge = |place| {
        let row = answers.rows(place).first();
        row.map(|row| edge(row, queue, now)).transpose().told(OPERATION)
    };
    Ok(QueueStats {
        claimed,
        free: living.saturating_sub(claimed),
        oldest: edge(2)?,
        newest: edge(3)?,
    })
}

fn edge(row: &SqlRow, queue: &QueueRef, now: Timestamp) -> Result<MessageEdge, sqlx::Error> {
    let place =
        message_id(queue.incarnation, row.try_get(0)?).map_err(|_| damaged("message id"))?;
    let posted_at = Timestamp::from_millis(row.try_get(1)?);
    let id = match row.try_get::<Option<&str>>(2)? {
        Some(origin) => origin.parse().map_err(|_| damaged("message origin"))?,
        None => place,
    };
    Ok(MessageEdge { id, age_s: now.seconds_since(posted_at), posted_at })
}

const VOLUME: &str = concat!(
    "SELECT (SELECT COUNT(*) FROM heads AS h JOIN messages AS m FORCE INDEX (expiring) \
         ON m.queue = h.number AND m.expires > $1 AND m.id > ((h.number << 35) | h.purged) \
         WHERE h.state < 2), \
       (SELECT COUNT(*) FROM heads AS h JOIN messages AS m FORCE INDEX (claimable) \
         ON m.queue = h.number AND m.avail > $1 AND m.claim <> ",
    unclaimed!(),
    " AND m.id > ((h.number << 35) | h.purged) WHERE h.state < 2), \
       (SELECT COUNT(*) FROM heads AS h JOIN messages AS m FORCE INDEX (claimable) \
         ON m.queue = h.number AND m.avail = -2 AND m.id > ((h.number << 35) | h.purged) \
         WHERE h.state < 2)"
);

/// Counts the live messages of the whole store.
pub(crate) async fn volume(server: &Server) -> Result<StoreVolume> {
    const OPERATION: &str = "volume";
    let now = server.clock.now().as_millis();
    let rows = server.read(OPERATION, sql(VOLUME).bind(now)).await?;
    let Some(row) = rows.first() else { return Ok(StoreVolume::default()) };
    let count = |column: usize| row.try_get::<i64>(column).map(i64::unsigned_abs).told(OPERATION);
    let (living, claimed) = (count(0)?, count(1)?.saturating_add(count(2)?));
    Ok(StoreVolume { free: living.saturating_sub(claimed), claimed })
}
