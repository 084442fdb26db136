//! Queue heads in memory, as the writer knows them.
//!
//! The cache is true as long as nobody else writes to the file: the writer compares
//! `PRAGMA data_version` inside each transaction and forgets everything when it moved. A step that
//! is rolled back forgets too. So two processes on one file are safe, only slower.

use std::collections::HashMap;

use zaqar_core::{Incarnation, QueueKey, QueueRef};

use super::heads::Head;

/// Heads that the cache keeps at most; beyond it, it starts afresh.
const HEADS_CACHED_MAX: usize = 100_000;

/// Heads that take operations, by incarnation, whatever moves their callers know of.
#[derive(Debug, Default)]
pub(crate) struct HeadCache {
    heads: HashMap<Incarnation, (QueueKey, Head)>,
    data_version: i64,
}

impl HeadCache {
    /// Forgets everything: a step was rolled back.
    pub(crate) fn clear(&mut self) {
        self.heads.clear();
    }

    /// Forgets everything if another process wrote since the last step.
    pub(crate) fn follow(&mut self, data_version: i64) {
        if self.data_version != data_version {
            self.data_version = data_version;
            self.heads.clear();
        }
    }

    /// A head, if it is known; a reference that lies about its project finds nothing (G12).
    pub(crate) fn get(&self, queue: &QueueRef) -> Option<Head> {
        let (key, head) = self.heads.get(&queue.incarnation)?;
        (*key == queue.key).then_some(*head)
    }

    /// Forgets one head: it was changed in the store.
    pub(crate) fn forget(&mut self, queue: &QueueRef) {
        self.heads.remove(&queue.incarnation);
    }

    /// Keeps a head that was read or changed.
    pub(crate) fn put(&mut self, queue: &QueueRef, head: Head) {
        if let Some((_, known)) = self.heads.get_mut(&queue.incarnation) {
            *known = head;
            return;
        }
        if self.heads.len() >= HEADS_CACHED_MAX {
            self.heads.clear();
        }
        self.heads.insert(queue.incarnation, (queue.key.clone(), head));
    }
}
