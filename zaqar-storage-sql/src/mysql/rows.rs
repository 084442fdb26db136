//! Message rows, as every read selects them.

use zaqar_core::{
    Body, ClaimId, Incarnation, Message, MessageMarker, ProjectId, QueueKey, QueueName, QueueRef,
    Timestamp,
};

use crate::codes::kind_of;
use crate::error::damaged;
use crate::layout::{count_of, message_id, ttl_of};

use super::row::SqlRow;

/// The columns of a message `m`. [`message`] reads them.
macro_rules! message_columns {
    () => {
        "m.id, m.ttl, m.posted, m.claims, m.claim, m.avail, m.origin, m.body, m.checksum"
    };
}
pub(crate) use message_columns;

/// The claim of a message that nobody holds. Not `NULL`: a row keeps its size when it is claimed, and
/// the index `claimable` has its entries of free messages in one stretch.
macro_rules! unclaimed {
    () => {
        "x'00000000000000000000000000000000'"
    };
}
pub(crate) use unclaimed;

/// As [`unclaimed!`], in a row.
pub(crate) const UNCLAIMED: [u8; 16] = [0; 16];

/// Reads a message whose columns start at `offset`; `None` if there is none in the row.
pub(crate) fn message(
    row: &SqlRow,
    offset: usize,
    incarnation: Incarnation,
    now: Timestamp,
) -> Result<Option<Message>, sqlx::Error> {
    let Some(id) = row.try_get::<Option<i64>>(offset)? else { return Ok(None) };
    let place = message_id(incarnation, id).map_err(|_| damaged("message id"))?;
    let posted_at = Timestamp::from_millis(row.try_get(offset + 2)?);
    let held_until: i64 = row.try_get(offset + 5)?;
    let claim: &[u8] = row.try_get(offset + 4)?;
    // A claim that has ended holds nothing, whether or not a sweep has met it.
    let held = held_until > now.as_millis() && claim != UNCLAIMED;
    let claim = if held { Some(claim_id(claim)?) } else { None };
    let origin: Option<&str> = row.try_get(offset + 6)?;
    let id = match origin {
        Some(text) => text.parse().map_err(|_| damaged("message origin"))?,
        None => place,
    };
    Ok(Some(Message {
        id,
        marker: MessageMarker::from(place),
        body: Body::from_checked(row.try_get::<&str>(offset + 7)?),
        ttl: ttl_of(row.try_get(offset + 1)?),
        age_s: now.seconds_since(posted_at),
        posted_at,
        claim,
        claim_count: count_of(row.try_get(offset + 3)?),
        checksum: row.try_get(offset + 8)?,
    }))
}

/// Reads the messages of all rows, in their order.
pub(crate) fn messages(
    rows: &[SqlRow],
    offset: usize,
    incarnation: Incarnation,
    now: Timestamp,
) -> Result<Vec<Message>, sqlx::Error> {
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        messages.extend(message(row, offset, incarnation, now)?);
    }
    Ok(messages)
}

/// Reads a claim id.
pub(crate) fn claim_id(bytes: &[u8]) -> Result<ClaimId, sqlx::Error> {
    ClaimId::from_slice(bytes).map_err(|_| damaged("claim id"))
}

/// The queue that a row describes in five columns: incarnation, project, kind, name, epoch. Whoever
/// is given it knows of its move.
pub(crate) fn queue_ref(row: &SqlRow, offset: usize) -> Result<QueueRef, sqlx::Error> {
    let bad = |_| damaged("queue head");
    let number: i64 = row.try_get(offset)?;
    let incarnation = Incarnation::new(number.unsigned_abs()).map_err(bad)?;
    let project = ProjectId::new(row.try_get::<&str>(offset + 1)?).map_err(bad)?;
    let kind = kind_of(row.try_get(offset + 2)?);
    let name = QueueName::new(row.try_get::<&str>(offset + 3)?).map_err(bad)?;
    let epoch = row.try_get::<i64>(offset + 4)?.unsigned_abs();
    Ok(QueueKey { project, kind, name }.incarnate(incarnation).at_epoch(epoch))
}
