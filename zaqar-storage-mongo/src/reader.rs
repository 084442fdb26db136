//! Reads: from the primary, of what the majority has (`readConcern: "majority"`).
//!
//! What was acknowledged is committed by the majority, so it is seen. A read cannot check the queue
//! head inside anybody's transaction, so it checks *after* it has read: an incarnation that is open
//! afterwards was open throughout, because closed is for ever (G11).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use zaqar_core::{MessageId, QueueRef, Result};

use crate::heads::{Head, checked, head_query};
use crate::query::Query;
use crate::store::Store;
use crate::tables::{arrival_key, position, queue_code};

/// Queues that are remembered at most; beyond it, remembering starts afresh.
const QUEUES_MAX: usize = 100_000;

/// Up to where each queue was purged, as far as this process knows: a position that was purged stays
/// so, so an old figure is only too low.
#[derive(Debug, Default)]
pub(crate) struct Bounds(RwLock<HashMap<i64, i64>>);

impl Bounds {
    /// Up to where the queue was purged at least.
    pub(crate) fn purged(&self, q: i64) -> i64 {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&q).copied().unwrap_or(0)
    }

    /// Notes what a head said; returns whether more was purged than was known.
    pub(crate) fn note(&self, head: &Head) -> bool {
        if head.purged <= self.purged(head.q) {
            return false;
        }
        let mut bounds = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if bounds.len() >= QUEUES_MAX {
            bounds.clear();
        }
        bounds.insert(head.q, head.purged);
        true
    }
}

/// Where a message that came from another queue stands.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct Arrival {
    /// Its position here.
    pub(crate) at: i64,
}

impl Store {
    /// The head of a queue, open or moved; `QueueGone` if it is closed or missing.
    pub(crate) async fn head(&self, operation: &'static str, queue: &QueueRef) -> Result<Head> {
        let found = self.find_one(operation, head_query(queue)).await?;
        let head = checked(queue, found)?;
        self.bounds.note(&head);
        Ok(head)
    }

    /// The position that a message has, or had; `None` if this queue never held it.
    pub(crate) async fn position_of(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        id: MessageId,
    ) -> Result<Option<i64>> {
        if id.incarnation() == queue.incarnation {
            return Ok(position(id.sequence()));
        }
        let key = arrival_key(queue_code(queue.incarnation), id);
        let arrival: Option<Arrival> = self.find_one(operation, Query::id(key)).await?;
        Ok(arrival.map(|arrival| arrival.at))
    }
}
