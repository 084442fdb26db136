//! What others may see before it is on the disk, and what is done about it.
//!
//! InnoDB ends a commit in memory first, which lets go of its locks and shows its rows to everybody,
//! and flushes the log after that. Only then is the committing session answered, so what *it* was
//! told is durable. What another session has read in between need not be: the server may be killed,
//! and the rows were never there. (With a binary log that is flushed, the flush comes first.) Two
//! things would break:
//!
//! - A reader that met such a message carries its marker past a position that the next server would
//!   give to another message, which the reader then never meets (G9). So each start of the server has
//!   a number, [`MARK`], and the first post to a queue under a new one leaves [`LEAP`] positions free:
//!   more than commits that were not flushed can have taken.
//! - An operation that finds nothing left to do, because another one did it a moment ago, would
//!   answer for something that is not durable: a deletion of what is deleted already, a post under a
//!   key that was used before (G1, G4). So a transaction that changed nothing passes a fence,
//!   [`FENCE`]: a change of its own, whose flush takes everything before it along. What a process
//!   remembers of a queue is read behind a fence as well.
//! - A read would show messages of a post that was not flushed, some of a batch on this page, and the
//!   others never, for the crash undid the post (G2). So a read that shows a message beyond those
//!   that are known to be on the disk, the [`Horizon`], passes a fence before it answers. The
//!   positions of a queue become visible in order and the log is flushed in order, so what lies before
//!   a position that is on the disk is there too.
//!
//! What is gone is another matter: lists and claims that find nothing promise nothing about it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::mysql::MySqlConnection;
use zaqar_core::{Incarnation, Message, MessageId, QueueRef};

use super::sql::{Script, Sql, sql};
use super::step::run;

/// Positions that are left free when a queue is first posted to under a new run of the server. A
/// web head posts to a queue in one transaction at a time, of at most some thousand messages.
pub(crate) const LEAP: i64 = 1 << 20;

/// Gives this run of the server its number, if it has none, and the session a variable that holds it.
/// A session never outlives the run.
const MARK: &[&str] = &[
    "INSERT IGNORE INTO runs (only_one, run) VALUES (1, UUID_SHORT() & 0x7fffffffffffffff)",
    "SET @zrun = (SELECT run FROM runs WHERE only_one = 1)",
];

/// Changes something, so that the commit flushes. Sixteen rows, so that few wait for each other.
const FENCE: &str = "INSERT INTO fences (number, passed) VALUES (CONNECTION_ID() & 15, 1) \
     ON DUPLICATE KEY UPDATE passed = passed + 1";

/// Tells a fresh session which run of the server it is in.
pub(crate) async fn mark(connection: &mut MySqlConnection) -> Result<(), sqlx::Error> {
    run(connection, Script::of(MARK.iter().map(|text| sql(text)))?).await.map(drop)
}

/// Everything that was visible when this commits is on the disk then.
pub(crate) fn fence() -> Sql {
    sql(FENCE)
}

/// Queues whose horizons are known at most; beyond it, all are forgotten.
const QUEUES_MAX: usize = 100_000;

/// For each queue, a position up to which everything that was visible is on the disk: what this
/// process posted itself and was told so, or read and passed a fence for.
#[derive(Debug, Default)]
pub(crate) struct Horizon(Mutex<HashMap<Incarnation, u64>>);

impl Horizon {
    fn lock(&self) -> MutexGuard<'_, HashMap<Incarnation, u64>> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last position among the messages, if it is beyond the horizon.
    pub(crate) fn beyond(&self, queue: &QueueRef, messages: &[Message]) -> Option<u64> {
        let place = |message: &Message| MessageId::from(message.marker).sequence();
        let last = messages.iter().map(place).max()?;
        let known = self.lock().get(&queue.incarnation).copied();
        (known.is_none_or(|known| known < last)).then_some(last)
    }

    /// Everything up to that position is on the disk.
    pub(crate) fn advance(&self, queue: &QueueRef, position: u64) {
        let mut known = self.lock();
        if known.len() >= QUEUES_MAX {
            known.clear();
        }
        let horizon = known.entry(queue.incarnation).or_default();
        *horizon = position.max(*horizon);
    }
}
