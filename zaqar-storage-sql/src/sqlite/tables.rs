//! The data layout of SQLite, and the arithmetic of its keys.
//!
//! ```text
//! heads     number   local, dense, never reused; the high bits of every row id of the queue
//!           incarnation → number;  next, purged: positions;  gone: positions behind the purged ones
//!           at which nothing lives any more;  state: 0 open, 1 moved, 2 closed, 3 reclaimed
//! messages  id = number << 35 | position        a small row: what claims and sweeps change
//!           avail    0 claimable · >0 claimed or delayed until then · -1 retired · -2 parked
//!           expires  end of life · negated once retired
//!           claim    the claim that holds it until `avail` · NULL: nobody, or delayed
//! bodies    id as in messages                   the large row: written once, removed once
//! ```
//!
//! The small row is apart from the body because a claim rewrites it: thirty-five of them share a
//! page that three bodies would fill. Four partial indexes, each holding only its own:
//!
//! | index | holds | serves |
//! | --- | --- | --- |
//! | `claimable (queue) WHERE avail = 0` | what can be had now, in order (the row id follows the queue) | claim, pop, default listing |
//! | `maturing (queue, avail) WHERE avail > 0` | claimed, delayed | release of what is due; counting claims |
//! | `expiring (queue, expires) WHERE expires > 0` | everything not retired | retiring; counting what has expired |
//! | `retired (expires) WHERE expires < 0` | expired, out of every other index | gc |
//!
//! A message leaves `claimable` when it is claimed, so what is claimed, delayed or retired ahead
//! costs a claim nothing. `expiring` does not depend on `avail`: a claim need not touch it.
//! A parked message (on its way to the dead-letter queue) has `expires` at the end of time: its
//! life restarts when it arrives.

use zaqar_core::{Incarnation, InvalidId, MessageId};

/// Bits of a position in a row id; the queue's number has the other 28.
pub(crate) const POSITION_BITS: u32 = 35;
/// The largest position of a queue.
pub(crate) const POSITION_MAX: i64 = (1 << POSITION_BITS) - 1;
/// The largest number of a queue.
pub(crate) const NUMBER_MAX: i64 = (1 << 28) - 2;

/// `avail` of a message that can be had now.
pub(crate) const CLAIMABLE: i64 = 0;
/// `avail` of a message on its way to the dead-letter queue.
pub(crate) const PARKED: i64 = -2;

/// `state` of a head that takes operations.
pub(crate) const OPEN: i64 = 0;
/// `state` of a head whose posts go elsewhere.
pub(crate) const MOVED: i64 = 1;

/// The row id of a position.
pub(crate) fn row_id(number: i64, position: i64) -> i64 {
    (number << POSITION_BITS) | position
}

/// The number of the queue that a row id belongs to.
pub(crate) fn number_of(row_id: i64) -> i64 {
    row_id >> POSITION_BITS
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
