//! The data layout of MongoDB, and the ids of its documents.
//!
//! Everything that belongs to a queue lives in one collection, `data`, under ids that begin with the
//! queue's incarnation (ten hexadecimal digits) and a letter for the kind. So one shard key, `q`,
//! keeps a queue in one place, one `insert` stores messages, outbox entry and key of a post, and
//! what a closed queue leaves behind is one range of ids.
//!
//! ```text
//! …h                 head          state: 0 open, 1 moved, 2 closed, 3 reclaimed; next, purged: positions;
//!                                  gc: set while something is to be reclaimed; epoch: of the latest move;
//!                                  from, to: the frozen positions; away: set on a closed head that was left
//! …m position        message       avail    0 claimable · >0 claimed or delayed until then · -1 retired · -2 parked
//!                                           · -3 frozen, on its way to another store
//!                                  was      of a frozen message: what `avail` was, and will be again
//!                                  expires  end of life · negated once retired
//!                                  claim    the claim that holds it until `avail` · absent: nobody, or delayed
//!                                  last     the claim that held it last, once that is over
//!                                  target, moved_ttl, lease, lease_ends: of a parked message (its transfer)
//! …c claim           claim         list: the positions that it took; the messages say what it still holds
//! …i key             idempotency   digest, first, count
//! …a message id      arrival       at: the position of a message that came from another queue; origin: what is
//!                                  told of where it came from
//! …s number          subscription  since, cursor: positions
//! …o last position   outbox entry  messages: position, ttl, delay, posted, body each
//! …r number position retry         of a subscription and a position
//! …x number          exhausted     a delivery that was given up
//! ```
//!
//! Names and texts are compared bytewise: no collection has a collation. The indexes are in
//! [`crate::schema`].

use mongodb::bson::{Document, doc};
use zaqar_core::limits::SEQUENCE_MAX;
use zaqar_core::{ClaimId, IdempotencyKey, Incarnation, InvalidId, MessageId};

/// `avail` of a message that can be had now.
pub(crate) const CLAIMABLE: i64 = 0;
/// `avail` of an expired message that is out of every other index.
pub(crate) const RETIRED: i64 = -1;
/// `avail` of a message on its way to the dead-letter queue.
pub(crate) const PARKED: i64 = -2;

/// `avail` of a message that is on its way to another store, or from one.
pub(crate) const FROZEN: i64 = -3;

/// `state` of a head that takes operations.
pub(crate) const OPEN: i64 = 0;
/// `state` of a head whose posts go elsewhere.
pub(crate) const MOVED: i64 = 1;
/// `state` of a head that is closed for good.
pub(crate) const CLOSED: i64 = 2;
/// `state` of a closed head whose queue was removed.
pub(crate) const RECLAIMED: i64 = 3;

/// The largest position of a queue.
pub(crate) const POSITION_MAX: i64 = SEQUENCE_MAX as i64;

/// Values of `k`, by which documents other than messages are counted.
pub(crate) mod kind {
    pub(crate) const OUTBOX: &str = "o";
    pub(crate) const RETRY: &str = "r";
    pub(crate) const EXHAUSTED: &str = "x";
}

/// The stored form of an incarnation.
pub(crate) fn queue_code(incarnation: Incarnation) -> i64 {
    // At most 40 bits, by construction.
    i64::try_from(incarnation.get()).unwrap_or(i64::MAX)
}

/// Reads an incarnation.
pub(crate) fn incarnation(stored: i64) -> Result<Incarnation, InvalidId> {
    Incarnation::new(stored.unsigned_abs())
}

/// A position given out by this queue; `None` if no position can be that.
pub(crate) fn position(sequence: u64) -> Option<i64> {
    i64::try_from(sequence).ok().filter(|position| *position <= POSITION_MAX)
}

/// The public id of the message that was posted at a position.
pub(crate) fn message_id(incarnation: Incarnation, position: i64) -> Result<MessageId, InvalidId> {
    MessageId::new(incarnation, position.unsigned_abs())
}

pub(crate) fn head_key(q: i64) -> String {
    format!("{q:010x}h")
}

pub(crate) fn message_key(q: i64, position: i64) -> String {
    format!("{q:010x}m{position:014x}")
}

pub(crate) fn claim_key(q: i64, claim: ClaimId) -> String {
    format!("{q:010x}c{claim}")
}

pub(crate) fn post_key(q: i64, key: &IdempotencyKey) -> String {
    format!("{q:010x}i{key}")
}

pub(crate) fn arrival_key(q: i64, origin: MessageId) -> String {
    format!("{q:010x}a{origin}")
}

pub(crate) fn subscription_key(q: i64, number: i64) -> String {
    format!("{q:010x}s{number:014x}")
}

pub(crate) fn outbox_key(q: i64, last: i64) -> String {
    format!("{q:010x}o{last:014x}")
}

pub(crate) fn retry_key(q: i64, subscription: i64, position: i64) -> String {
    format!("{q:010x}r{subscription:014x}{position:014x}")
}

pub(crate) fn exhausted_key(q: i64, number: i64) -> String {
    format!("{q:010x}x{number:014x}")
}

/// The ids of messages from a position on and below another.
pub(crate) fn message_range(q: i64, from: i64, to: i64) -> Document {
    doc! { "$gte": message_key(q, from), "$lt": message_key(q, to) }
}

/// The ids of a kind of a queue's documents, behind that of one of them; of all: behind the letter.
pub(crate) fn behind(q: i64, kind: u8, after: String) -> Document {
    let next = char::from(kind.saturating_add(1));
    doc! { "$gt": after, "$lt": format!("{q:010x}{next}") }
}

/// What an id names, behind the queue and the letter.
pub(crate) fn name_in(id: &str) -> &str {
    id.get(11..).unwrap_or_default()
}

/// An id below every one of a queue's, and one above: all begin with its digits, then a letter.
pub(crate) fn queue_range(q: i64) -> (String, String) {
    (format!("{q:010x}"), format!("{q:010x}~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_positions_and_stay_within_their_queue() {
        let (low, high) = queue_range(7);
        let ids = [message_key(7, 1), message_key(7, 255), message_key(7, POSITION_MAX)];
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(ids.iter().all(|id| *id > low && *id < high), "{ids:?}");
        assert!(queue_range(8).0 > high && head_key(7) > low);
        assert_eq!(position(u64::MAX), None);
    }
}
