//! From which moment on a read may be answered.
//!
//! A majority read shows nothing that can be rolled back, but not always *all* that was
//! acknowledged (G9):
//!
//! - A new primary holds all of it, but knows only when the first entry of its own term is on the
//!   majority how much of what came before is. Until then it answers from an older state.
//! - A primary that was replaced and has not noticed, because it was frozen or cut off from the
//!   others, answers from the state that it knows, until it steps down: an election timeout, by
//!   default ten seconds.
//!
//! So a read asks first for a *moment*: it has the primary write an entry `N` of no account to its
//! log, and takes the time of the entry once that is acknowledged by the majority. Every write `W`
//! that was acknowledged before the question was asked stands before `N` in the log. Let the primary
//! be of term `T`, and `W` be acknowledged in term `U`:
//!
//! - `U < T`: whoever was elected had `W` in its log, and wrote the entries of its term behind it.
//! - `U = T`: the same primary wrote `W` first.
//! - `U > T`: the majority that had `W` was in term `U` before `N` was written, and acknowledges
//!   nothing of an earlier one. `N` does not reach the majority, and there is no answer.
//!
//! The read then carries the moment as its `afterClusterTime`: whichever member gets it, even another
//! one than was asked, answers when the majority state that it shows reaches as far as `N`, so
//! contains `W`, and until then not at all.
//!
//! Where the set has one member only that can be elected, no primary can be replaced unawares: its
//! `hello` is enough, which writes nothing, and the moment is that of the last entry in its log.
//! Whoever makes another member electable does it through this primary, which says so from then on.
//!
//! Reads that wait together share one question. A read waits for two of them at most, the one under
//! way and its own; and a store handle has the server write one such entry at a time, however many
//! read.
//!
//! Of a sharded cluster, the shard that holds the queue is asked, by a linearizable read: its server
//! writes the entry by itself. Elsewhere that would cost up to a tenth of a second, as the primary does
//! not hurry to flush what it wrote for that.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use mongodb::Database;
use mongodb::bson::{Document, Timestamp, doc};
use tokio::time::{Instant, timeout_at};
use zaqar_core::Result;
use zaqar_storage_lanes::{LaneStep, Weight};

use crate::config::MAJORITY_WAIT;
use crate::error::{
    NativeResult, damaged, failed, is_nobody_there, is_passing, partial, timed_out,
};
use crate::schema::{DATA, META};
use crate::store::Store;
use crate::tables::head_key;
use crate::task::{LIMIT, Pauses};

/// The document that is changed to have something written.
const NOTE: &str = "moments";

/// Which primary is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// The one of the shard that holds a queue's documents.
    Queue(i64),
    /// The one that holds the control plane; of a replica set, the only one.
    Rest,
}

/// Asks for a moment on behalf of all reads that wait.
#[derive(Debug)]
pub(crate) struct Barrier {
    database: Database,
    /// Whether no other member could be elected, when this was asked last.
    alone: AtomicBool,
}

impl Barrier {
    pub(crate) fn new(database: Database, alone: bool) -> Self {
        Self { database, alone: AtomicBool::new(alone) }
    }

    /// Asks until there is a primary that the majority follows, as long as a transaction would try.
    async fn ask(&self, place: Place) -> NativeResult<Timestamp> {
        let deadline = Instant::now() + LIMIT;
        let mut pauses = Pauses::until(deadline);
        loop {
            let asked = timeout_at(deadline, self.ask_once(place)).await;
            match asked.unwrap_or_else(|_| Err(timed_out())) {
                Err(error)
                    if is_passing(&error) && !is_nobody_there(&error) && pauses.pause().await =>
                {
                    tracing::trace!("a moment is asked for again");
                }
                done => return done,
            }
        }
    }

    async fn ask_once(&self, place: Place) -> NativeResult<Timestamp> {
        if self.alone.load(Ordering::Relaxed) {
            let hello = self.database.run_command(doc! { "hello": 1 }).await?;
            if is_alone(&hello) {
                return last_write(&hello);
            }
            // One that is about to be, or is no more, will be alone again.
            self.alone.store(electable(&hello) == 1, Ordering::Relaxed);
        }
        let question = match place {
            Place::Queue(q) => look(q),
            Place::Rest => note(),
        };
        let reply = self.database.run_command(question).await?;
        match partial(&reply) {
            Some(error) => Err(error),
            None => operation_time(&reply),
        }
    }
}

/// Has the primary write an entry to its log, and the majority acknowledge it, whatever the URI asks
/// for.
fn note() -> Document {
    let count =
        doc! { "q": { "_id": NOTE }, "u": { "$inc": { "moments": 1_i64 } }, "upsert": true };
    doc! {
        "update": META,
        "updates": [count],
        "writeConcern": { "w": "majority", "j": true, "wtimeout": majority_wait_ms() },
    }
}

/// The same by looking for a document of a queue, which need not be there.
fn look(q: i64) -> Document {
    doc! {
        "find": DATA,
        "filter": { "_id": head_key(q), "q": q },
        "projection": { "_id": 1 },
        "limit": 1,
        "singleBatch": true,
        "readConcern": { "level": "linearizable" },
        // A primary without a majority would answer never.
        "maxTimeMS": majority_wait_ms(),
    }
}

fn majority_wait_ms() -> i64 {
    i64::try_from(MAJORITY_WAIT.as_millis()).unwrap_or(i64::MAX)
}

/// Whether this is what a primary says that no other member could replace.
pub(crate) fn is_alone(hello: &Document) -> bool {
    electable(hello) == 1 && hello.get_bool("isWritablePrimary").unwrap_or(false)
}

/// How many members could be elected, as far as this one knows; 0 if it does not say.
fn electable(hello: &Document) -> usize {
    // Those of priority 0 are listed apart, or not at all.
    hello.get_array("hosts").map_or(0, Vec::len)
}

/// The time of the last entry in a member's log.
fn last_write(hello: &Document) -> NativeResult<Timestamp> {
    let place = hello.get_document("lastWrite").and_then(|last| last.get_document("opTime"));
    let time = place.and_then(|place| place.get_timestamp("ts"));
    time.map_err(|_| damaged("time of the last write"))
}

#[async_trait]
impl LaneStep for Barrier {
    type Key = Place;
    /// The name of the operation that reads.
    type Operation = &'static str;
    type Answer = Timestamp;
    const OPERATION: &'static str = "read";

    async fn run(&self, place: &Place, reads: Vec<&'static str>) -> Vec<Result<Timestamp>> {
        let moment = self.ask(*place).await;
        let answer = |operation| match &moment {
            Ok(moment) => Ok(*moment),
            Err(error) => Err(failed(operation, error)),
        };
        reads.into_iter().map(answer).collect()
    }
}

/// When, in the time of the log, the server did what it answers.
pub(crate) fn operation_time(reply: &Document) -> NativeResult<Timestamp> {
    reply.get_timestamp("operationTime").map_err(|_| damaged("operation time"))
}

impl Store {
    /// A moment that comes after all that was acknowledged before this was called, by whomever.
    pub(crate) async fn moment(&self, operation: &'static str, place: Place) -> Result<Timestamp> {
        let place = if self.sharded { place } else { Place::Rest };
        self.barrier.submit(&None, &place, Weight::default(), operation).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_is_alone_if_no_other_member_can_be_elected() {
        let hello = |hosts: &[&str], primary: bool| {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            doc! { "hosts": hosts, "passives": ["c"], "isWritablePrimary": primary }
        };
        assert!(is_alone(&hello(&["a"], true)));
        assert!(!is_alone(&hello(&["a"], false)));
        assert!(!is_alone(&hello(&["a", "b"], true)));
        // A router does not say who is behind it.
        assert!(!is_alone(&doc! { "isWritablePrimary": true, "msg": "isdbgrid" }));
    }
}
