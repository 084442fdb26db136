//! What every database keeps alike: the arithmetic of row ids, and the codes in columns.
//!
//! A message's row id is its queue's local number in the high bits and its position in the low
//! ones, so one integer is key, order and public id together.

use zaqar_core::{Error, Incarnation, InvalidId, MessageId, Posted, QueueRef, Result, Ttl};

use crate::codes::counter_code;

/// Bits of a position in a row id; the queue's number has the other 28.
pub(crate) const POSITION_BITS: u32 = 35;
/// The largest position of a queue.
pub(crate) const POSITION_MAX: i64 = (1 << POSITION_BITS) - 1;
/// The largest number of a queue.
pub(crate) const NUMBER_MAX: i64 = (1 << 28) - 2;

/// Rows that one step may release, and may retire: K of the design.
pub(crate) const STEP_ROWS_MAX: i64 = zaqar_core::limits::ROWS_PER_STEP_MAX as i64;
/// Rows that one step of a listing examines: ten times K.
pub(crate) const WINDOW: i64 = 10 * STEP_ROWS_MAX;

/// `avail` of a message that can be had now.
pub(crate) const CLAIMABLE: i64 = 0;

/// `state` of a head that takes operations.
pub(crate) const OPEN: i64 = 0;
/// `state` of a head whose posts go elsewhere.
pub(crate) const MOVED: i64 = 1;
/// `state` of a head that takes nothing any more and still holds rows.
pub(crate) const CLOSED: i64 = 2;
/// `state` of a closed head of which no row is left.
pub(crate) const RECLAIMED: i64 = 3;

/// The row id of a position.
pub(crate) fn row_id(number: i64, position: i64) -> i64 {
    (number << POSITION_BITS) | position
}

/// The position in a row id.
pub(crate) fn position_of(row_id: i64) -> i64 {
    row_id & POSITION_MAX
}

/// The row id that is larger than every one of the queue.
pub(crate) fn row_id_end(number: i64) -> i64 {
    row_id(number.saturating_add(1), 0)
}

/// The public id of the message that was posted at a row.
pub(crate) fn message_id(incarnation: Incarnation, row_id: i64) -> Result<MessageId, InvalidId> {
    MessageId::new(incarnation, position_of(row_id).unsigned_abs())
}

/// The row of a message that this incarnation gave its id to; `None` if no row can have it.
pub(crate) fn row_of(number: i64, sequence: u64) -> Option<i64> {
    let position = i64::try_from(sequence).ok()?;
    (position <= POSITION_MAX).then(|| row_id(number, position))
}

/// The ids of `count` messages from row `first` on.
pub(crate) fn posted(queue: &QueueRef, first: i64, count: usize) -> Result<Posted> {
    let ids: Result<Vec<MessageId>, _> =
        (first..).take(count).map(|row| message_id(queue.incarnation, row)).collect();
    Ok(Posted { ids: ids?, repeated: false })
}

/// Refuses a state that does not take operations, and a caller that does not know of the head's move
/// (G17); a moved head takes nothing new.
pub(crate) fn check_state(queue: &QueueRef, state: i64, epoch: i64, news: bool) -> Result<()> {
    match state {
        OPEN | MOVED if epoch > counter_code(queue.epoch) => Err(moved(queue, epoch)),
        OPEN => Ok(()),
        MOVED if !news => Ok(()),
        MOVED => Err(moved(queue, epoch)),
        _ => Err(gone(queue)),
    }
}

/// The stored form of an epoch that a caller names.
pub(crate) fn epoch_code(epoch: u64) -> Result<i64> {
    i64::try_from(epoch)
        .map_err(|_| Error::Invalid { field: "epoch", reason: "is out of range".to_owned() })
}

/// The refusal of a head that moved at that epoch.
pub(crate) fn moved(queue: &QueueRef, epoch: i64) -> Error {
    Error::QueueMoved { name: queue.key.name.clone(), epoch: epoch.unsigned_abs() }
}

/// The same refusal by a head, for another caller.
#[cfg(any(feature = "sqlite", feature = "mysql"))]
pub(crate) fn refused_too(queue: &QueueRef, refusal: &Error) -> Error {
    match refusal {
        Error::QueueMoved { epoch, .. } => moved(queue, counter_code(*epoch)),
        _ => gone(queue),
    }
}

/// The refusal to touch what is on its way to another store, or from one.
pub(crate) fn moving(queue: &QueueRef) -> Error {
    Error::QueueMoving { name: queue.key.name.clone() }
}

/// The refusal of a closed or missing head.
pub(crate) fn gone(queue: &QueueRef) -> Error {
    Error::QueueGone { name: queue.key.name.clone() }
}

/// The refusal of a post that would use up the queue's positions.
pub(crate) fn positions_used_up() -> Error {
    let reason = "has used up its positions; use another queue".to_owned();
    Error::Invalid { field: "queue", reason }
}

/// The stored form of a time-to-live.
pub(crate) fn ttl_code(ttl: Ttl) -> i64 {
    // At most TTL_S_MAX, by construction.
    i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)
}

/// The time-to-live behind its stored form.
pub(crate) fn ttl_of(seconds: i64) -> Ttl {
    Ttl::from_secs_clamped(seconds.unsigned_abs())
}

/// A small count behind its stored form.
pub(crate) fn count_of(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or(u32::MAX)
}

/// The stored form of a length.
pub(crate) fn length_code(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_row_id_still_fits_and_parts_into_its_places() {
        let id = row_id(NUMBER_MAX, POSITION_MAX);
        assert!(id > 0 && row_id_end(NUMBER_MAX) > id);
        assert_eq!(position_of(id), POSITION_MAX);
        assert_eq!(row_of(7, u64::MAX), None);
        assert!(row_id(7, POSITION_MAX) < row_id_end(7));
    }
}
