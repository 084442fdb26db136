//! What can happen to a store: the lines of the log.
//!
//! Records say what became so, not what somebody asked for. Times are in them, so that replaying
//! needs no clock; conditions are not, because whoever wrote the record had checked them.

use serde::{Deserialize, Serialize};
use zaqar_core::{
    Capabilities, ClaimId, FlavorName, IdempotencyKey, Incarnation, JsonObject, PoolName,
    ProjectId, QueueKey, QueueKind, QueueName, QueueRecord, QueueState, Ttl,
};

use crate::message::{Hold, Stored};
use crate::state::State;

/// One change of the whole store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Record {
    /// All that there is: the first record of a log that was rewritten.
    Snapshot(Box<State>),
    /// Incarnations up to this one were handed out.
    Allocated(u64),
    /// A queue's control record is this, or is gone.
    Queue(Key, Option<Queue>),
    /// A pool is this, or is gone.
    Pool(PoolName, Option<Pool>),
    /// A flavor is this, or is gone.
    Flavor(ProjectId, FlavorName, Option<Capabilities>),
    /// A queue lives there, or nowhere any more.
    Mapping(Incarnation, Option<Mapping>),
    /// A queue head was opened.
    Opened(Incarnation, Key),
    /// A queue head was closed, for good.
    Closed(Incarnation),
    /// So many messages of closed and purged queues were dropped.
    Swept(usize),
    /// Something happened to what an open head holds.
    Head(Incarnation, Change),
}

/// One change of what a head holds. Messages are named by their positions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Change {
    /// Messages came to stand at positions from `first` on.
    Posted { first: u64, messages: Vec<Stored>, key: Option<(IdempotencyKey, Kept)> },
    /// A claim holds messages, with what it has to be longer than their lives. `anew`: it just took
    /// them; otherwise it was renewed.
    Held { hold: Hold, grace: Ttl, positions: Vec<u64>, anew: bool },
    /// A claim let go of messages.
    Released { claim: ClaimId, positions: Vec<u64> },
    /// Messages are gone.
    Removed(Vec<u64>),
    /// All messages are gone.
    Purged,
    /// Posts go elsewhere since this epoch.
    Moved { epoch: u64 },
    /// What keys and claims stood for is forgotten.
    Forgotten { keys: Vec<IdempotencyKey>, claims: Vec<ClaimId> },
}

/// A queue's name, as it is written: [`QueueKey`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) project: ProjectId,
    pub(crate) kind: QueueKind,
    pub(crate) name: QueueName,
}

impl From<&QueueKey> for Key {
    fn from(key: &QueueKey) -> Self {
        Self { project: key.project.clone(), kind: key.kind, name: key.name.clone() }
    }
}

impl From<&Key> for QueueKey {
    fn from(key: &Key) -> Self {
        Self { project: key.project.clone(), kind: key.kind, name: key.name.clone() }
    }
}

/// What is stored under a queue's name: [`QueueRecord`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Queue {
    pub(crate) incarnation: Incarnation,
    pub(crate) metadata: JsonObject,
    pub(crate) revision: u64,
    pub(crate) deleting: bool,
}

impl Queue {
    pub(crate) fn show(&self, key: &Key) -> QueueRecord {
        QueueRecord {
            key: key.into(),
            incarnation: self.incarnation,
            metadata: self.metadata.clone(),
            revision: self.revision,
            state: if self.deleting { QueueState::Deleting } else { QueueState::Active },
        }
    }
}

/// What is stored under a pool's name: [`zaqar_core::Pool`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pool {
    pub(crate) weight: u32,
    pub(crate) uri: String,
    pub(crate) flavor: Option<FlavorName>,
    pub(crate) options: JsonObject,
    pub(crate) capabilities: Capabilities,
}

/// Where a queue lives: [`zaqar_core::CatalogueEntry`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mapping {
    pub(crate) key: Key,
    pub(crate) pool: PoolName,
    pub(crate) source: Option<PoolName>,
    pub(crate) epoch: u64,
}

/// What an idempotency key stands for, until it is forgotten.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) digest: [u8; 32],
    /// The positions that the post took: the first, and how many.
    pub(crate) first: u64,
    pub(crate) count: u64,
    pub(crate) until: zaqar_core::Timestamp,
}
