//! The data layout of SQLite; the arithmetic of its keys is in [`crate::layout`].
//!
//! ```text
//! heads     number   local, dense, never reused; the high bits of every row id of the queue
//!           incarnation → number;  next, purged: positions;  gone: positions behind the purged ones
//!           at which nothing lives any more, or never did;  state: 0 open, 1 moved, 2 closed, 3 reclaimed
//!           epoch of the latest move · frozen_from, frozen_to: positions on their way · away: closed by a move
//! messages  id = number << 35 | position        a small row: what claims and sweeps change
//!           avail    0 claimable · >0 claimed or delayed until then · -1 retired · -2 parked
//!           expires  end of life · negated once retired
//!           claim    the claim that holds it until `avail`, or held it last · NULL: none ever did
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

use crate::layout::POSITION_BITS;

/// `avail` of a message on its way to the dead-letter queue.
pub(crate) const PARKED: i64 = -2;

/// The number of the queue that a row id belongs to.
pub(crate) fn number_of(row_id: i64) -> i64 {
    row_id >> POSITION_BITS
}
