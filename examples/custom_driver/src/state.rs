//! The whole store as it stands: both planes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use zaqar_core::{
    Capabilities, Error, FlavorName, Incarnation, PoolName, ProjectId, QueueRef, Result,
};

use crate::head::{Head, Messages};
use crate::pairs;
use crate::record::{Key, Mapping, Pool, Queue, Record};

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// The latest incarnation that was handed out.
    pub(crate) allocated: u64,
    #[serde(with = "pairs")]
    pub(crate) queues: BTreeMap<Key, Queue>,
    pub(crate) pools: BTreeMap<PoolName, Pool>,
    #[serde(with = "pairs")]
    pub(crate) flavors: BTreeMap<(ProjectId, FlavorName), Capabilities>,
    pub(crate) catalogue: BTreeMap<Incarnation, Mapping>,
    pub(crate) heads: BTreeMap<Incarnation, Head>,
    /// Incarnations that were ever closed: a late call must not revive one (G11).
    pub(crate) closed: BTreeSet<Incarnation>,
    /// Messages of closed and purged queues, set aside so that closing takes no time; only
    /// `Swept` touches them again.
    pub(crate) graves: Vec<Messages>,
}

impl State {
    /// The only thing that changes a state.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Snapshot(state) => *self = *state,
            Record::Allocated(incarnation) => self.allocated = incarnation,
            Record::Queue(key, queue) => put(&mut self.queues, key, queue),
            Record::Pool(name, pool) => put(&mut self.pools, name, pool),
            Record::Flavor(project, name, flavor) => {
                put(&mut self.flavors, (project, name), flavor);
            }
            Record::Mapping(incarnation, mapping) => {
                put(&mut self.catalogue, incarnation, mapping);
            }
            Record::Opened(incarnation, key) => {
                self.heads.insert(incarnation, Head::new(key, incarnation));
            }
            Record::Closed(incarnation) => {
                self.closed.insert(incarnation);
                let head = self.heads.remove(&incarnation);
                self.bury(head.map(|head| head.messages));
            }
            Record::Swept(messages) => self.sweep(messages),
            Record::Head(incarnation, change) => {
                let head = self.heads.get_mut(&incarnation);
                let purged = head.and_then(|head| head.apply(change));
                self.bury(purged);
            }
        }
    }

    fn bury(&mut self, messages: Option<Messages>) {
        self.graves.extend(messages.filter(|messages| !messages.is_empty()));
    }

    fn sweep(&mut self, mut messages: usize) {
        while let Some(grave) = self.graves.last_mut() {
            while messages > 0 && grave.pop_first().is_some() {
                messages -= 1;
            }
            if !grave.is_empty() {
                return;
            }
            self.graves.pop();
        }
    }

    /// The head of exactly this queue in exactly this life: the incarnation under another name or
    /// tenant finds nothing (G11, G12), nor does a caller that does not know of the queue's latest
    /// move (G17).
    pub(crate) fn head(&self, queue: &QueueRef) -> Result<&Head> {
        let head = self.head_at_any_epoch(queue)?;
        if head.epoch > queue.epoch { Err(moved(queue, head.epoch)) } else { Ok(head) }
    }

    /// As [`Self::head`], for something new: a head that moved takes no posts.
    pub(crate) fn head_for_posts(&self, queue: &QueueRef) -> Result<&Head> {
        let head = self.head(queue)?;
        if head.epoch > 0 { Err(moved(queue, head.epoch)) } else { Ok(head) }
    }

    /// The head, whatever moves the caller knows of.
    pub(crate) fn head_at_any_epoch(&self, queue: &QueueRef) -> Result<&Head> {
        self.heads
            .get(&queue.incarnation)
            .filter(|head| head.key == Key::from(&queue.key))
            .ok_or_else(|| gone(queue))
    }
}

fn put<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

/// The refusal of a head that is closed or was never opened.
pub(crate) fn gone(queue: &QueueRef) -> Error {
    Error::QueueGone { name: queue.key.name.clone() }
}

/// The refusal of a head that moved.
pub(crate) fn moved(queue: &QueueRef, epoch: u64) -> Error {
    Error::QueueMoved { name: queue.key.name.clone(), epoch }
}
