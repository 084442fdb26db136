//! The whole store: both planes, behind one lock.

use std::collections::{BTreeMap, BTreeSet};

use zaqar_core::{
    Capabilities, Capability, CatalogueEntry, ClaimId, Error, Flavor, FlavorName, Incarnation,
    Pool, PoolName, Posted, ProjectId, QueueKey, QueueRecord, QueueRef, Result,
};

use super::head::Head;
use super::quirks::{Quirk, Quirks};
use super::stored::Stored;

/// The driver's name.
pub(super) const NAME: &str = "reference";

#[derive(Debug)]
pub(super) struct State {
    pub(super) declared: Capabilities,
    pub(super) quirks: Quirks,

    pub(super) incarnation_next: u64,
    pub(super) queues: BTreeMap<QueueKey, QueueRecord>,
    pub(super) pools: BTreeMap<PoolName, Pool>,
    pub(super) flavors: BTreeMap<(ProjectId, FlavorName), Flavor>,
    pub(super) catalogue: BTreeMap<Incarnation, CatalogueEntry>,

    pub(super) heads: BTreeMap<Incarnation, Head>,
    /// Incarnations that were ever closed, for good (G11).
    pub(super) closed: BTreeSet<Incarnation>,
    /// Incarnations that moved away, and the epoch at which they did.
    pub(super) left: BTreeMap<Incarnation, u64>,

    /// How many messages of closed and purged queues wait for collection. They are only counted:
    /// nothing may read them.
    pub(super) rubbish: u64,

    /// Used by a quirk alone: what closed queues held.
    pub(super) abandoned: BTreeMap<QueueKey, Vec<Stored>>,
    /// Used by a quirk alone: how many posts there were.
    pub(super) posts: u64,
    /// Used by a quirk alone: what posts are answered with that are under way.
    pub(super) answers: Vec<Posted>,
}

impl State {
    pub(super) fn new(declared: Capabilities, quirks: Quirks) -> Self {
        Self {
            declared,
            quirks,
            incarnation_next: 1,
            queues: BTreeMap::new(),
            pools: BTreeMap::new(),
            flavors: BTreeMap::new(),
            catalogue: BTreeMap::new(),
            heads: BTreeMap::new(),
            closed: BTreeSet::new(),
            left: BTreeMap::new(),
            rubbish: 0,
            abandoned: BTreeMap::new(),
            posts: 0,
            answers: Vec::new(),
        }
    }

    /// Refuses what the driver does not declare.
    pub(super) fn require(&self, capability: Capability, operation: &'static str) -> Result<()> {
        if self.quirks.has(Quirk::ClaimsUnsupportedSuccess) && capability == Capability::Claims {
            return Ok(());
        }
        self.declared.require(capability, operation, NAME)
    }

    /// The head of exactly this queue in exactly this life; an incarnation under another name or
    /// tenant finds nothing (G11, G12).
    pub(super) fn head(&self, queue: &QueueRef) -> Result<&Head> {
        let anyones = self.quirks.has(Quirk::CrossTenantRead);
        let head = self
            .heads
            .get(&queue.incarnation)
            .filter(|head| anyones || head.key == queue.key)
            .ok_or_else(|| gone(queue))?;
        knows_of_the_move(head, queue)?;
        Ok(head)
    }

    /// As [`Self::head`], to be changed.
    pub(super) fn head_mut(&mut self, queue: &QueueRef) -> Result<&mut Head> {
        let head = self.head_to_move(queue)?;
        knows_of_the_move(head, queue)?;
        Ok(head)
    }

    /// Planted bug: whose claim it is, whatever queue was asked.
    pub(super) fn home_of(&self, queue: &QueueRef, id: ClaimId) -> Option<QueueRef> {
        let anyones = self.quirks.has(Quirk::ClaimsOfAnyQueue);
        let head = self.heads.values().find(|head| anyones && head.claims.contains_key(&id))?;
        let (key, incarnation) = (head.key.clone(), head.incarnation);
        Some(QueueRef { key, incarnation, epoch: queue.epoch.max(head.epoch) })
    }

    /// As [`Self::head_mut`], for something new: a moved queue takes no message and changes no
    /// subscription.
    pub(super) fn head_for_news(&mut self, queue: &QueueRef) -> Result<&mut Head> {
        let head = self.head_mut(queue)?;
        if head.moved { Err(moved(queue, head.epoch)) } else { Ok(head) }
    }

    /// The head, whatever moves the caller knows of.
    pub(super) fn head_to_move(&mut self, queue: &QueueRef) -> Result<&mut Head> {
        self.heads
            .get_mut(&queue.incarnation)
            .filter(|head| head.key == queue.key)
            .ok_or_else(|| gone(queue))
    }
}

/// Refuses a caller that would take what is here for all there is (G17).
fn knows_of_the_move(head: &Head, queue: &QueueRef) -> Result<()> {
    if head.epoch > queue.epoch && !head.quirks.has(Quirk::ServeStaleRoutes) {
        return Err(moved(queue, head.epoch));
    }
    Ok(())
}

/// The refusal of a head that moved.
pub(super) fn moved(queue: &QueueRef, epoch: u64) -> Error {
    Error::QueueMoved { name: queue.key.name.clone(), epoch }
}

/// The refusal of a head that is closed or was never opened.
pub(super) fn gone(queue: &QueueRef) -> Error {
    Error::QueueGone { name: queue.key.name.clone() }
}
