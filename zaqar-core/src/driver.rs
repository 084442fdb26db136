//! What an application holds: one handle for each plane.

use async_trait::async_trait;

use crate::capability::Capabilities;
use crate::catalogue::CatalogueController;
use crate::claim::ClaimController;
use crate::clock::{Timestamp, Ttl};
use crate::error::Result;
use crate::flavor::FlavorController;
use crate::head::QueueHeadController;
use crate::limits::ROWS_PER_STEP_MAX;
use crate::message_controller::MessageController;
use crate::moves::{MoveController, NoMoves};
use crate::outbox::OutboxController;
use crate::pool::PoolController;
use crate::queue::QueueController;
use crate::subscription::SubscriptionController;

/// What a driver is and what it talks to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriverInfo {
    /// The driver's name, for messages and reports: `"sqlite"`.
    pub name: &'static str,
    /// The driver's version.
    pub version: &'static str,
    /// The backend and its version: `"SQLite 3.51.3"`.
    pub backend: String,
    /// Where the store is, without credentials.
    pub location: String,
}

/// The state of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The store's time as the driver's clock has it.
    pub now: Timestamp,
    /// The time by the backend's own clock, read for this answer; `None` where the store lives in
    /// this process, or its backend does not tell.
    pub backend_now: Option<Timestamp>,
    /// Whether the store still is set up to keep what it accepts (G15).
    pub safe: bool,
    /// What an operator should know, a sentence each; empty when all is well.
    pub warnings: Vec<String>,
}

impl Health {
    /// A reachable store with nothing to report.
    #[must_use]
    pub fn good(now: Timestamp) -> Self {
        Self { now, backend_now: None, safe: true, warnings: Vec::new() }
    }
}

/// Messages of the whole store, all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreVolume {
    /// Live messages under no live claim.
    pub free: u64,
    /// Live messages under a live claim.
    pub claimed: u64,
}

/// How much one call of [`DataDriver::gc`] may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct GcOptions {
    /// How long something must have been over before it is removed: a wrong clock then hides for a
    /// while what the right one still shows, and destroys nothing.
    pub margin: Ttl,
    /// Rows to remove at most, over steps of at most [`ROWS_PER_STEP_MAX`].
    pub rows_max: u64,
}

impl GcOptions {
    /// A margin of five minutes and ten steps.
    #[must_use]
    pub fn new() -> Self {
        Self { margin: Ttl::from_secs_clamped(300), rows_max: 10 * u64::from(ROWS_PER_STEP_MAX) }
    }

    /// Sets how long something must have been over.
    #[must_use]
    pub fn margin(mut self, margin: Ttl) -> Self {
        self.margin = margin;
        self
    }

    /// Sets how many rows to remove at most.
    #[must_use]
    pub fn rows_max(mut self, rows: u64) -> Self {
        self.rows_max = rows;
        self
    }
}

impl Default for GcOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What a sweep or a collection did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GcReport {
    /// Rows changed or removed.
    pub rows: u64,
    /// Whether more is due already.
    pub more: bool,
}

/// The data plane of one store: everything about messages.
///
/// Handles are cheap to share; two handles on one store see each other's work at once.
#[async_trait]
pub trait DataDriver: std::fmt::Debug + Send + Sync + 'static {
    /// Queue heads.
    fn heads(&self) -> &dyn QueueHeadController;
    /// Messages.
    fn messages(&self) -> &dyn MessageController;
    /// Claims.
    fn claims(&self) -> &dyn ClaimController;
    /// Subscriptions.
    fn subscriptions(&self) -> &dyn SubscriptionController;
    /// Outbox and dead letters.
    fn outbox(&self) -> &dyn OutboxController;
    /// Moves of queues from store to store; what is given here refuses them.
    fn moves(&self) -> &dyn MoveController {
        &NoMoves
    }
    /// What the driver is and what it talks to.
    fn info(&self) -> DriverInfo;
    /// What the driver can do.
    fn capabilities(&self) -> Capabilities;

    /// Asks the store whether it is there and still safe; changes nothing.
    async fn health(&self) -> Result<Health>;

    /// Counts the store's live messages.
    async fn volume(&self) -> Result<StoreVolume>;

    /// Makes claimable what has matured and retires what has expired, in bounded steps, where no
    /// claim did so yet. Called every second, it keeps redelivery within two (G7).
    async fn sweep(&self) -> Result<GcReport>;

    /// Removes what has been over for the margin: expired messages and claims, forgotten keys,
    /// closed incarnations, purged messages, delivered entries. Removes nothing that any reader
    /// could still be shown, and stalls nobody: bounded steps, other work in between.
    async fn gc(&self, options: GcOptions) -> Result<GcReport>;

    /// Finishes what was accepted and lets go of the store. Later calls fail with effect `None`.
    async fn close(&self);
}

/// The control plane of one store: what exists, and where.
#[async_trait]
pub trait ControlDriver: std::fmt::Debug + Send + Sync + 'static {
    /// Queues and topics.
    fn queues(&self) -> &dyn QueueController;
    /// Pools.
    fn pools(&self) -> &dyn PoolController;
    /// Flavors.
    fn flavors(&self) -> &dyn FlavorController;
    /// The catalogue.
    fn catalogue(&self) -> &dyn CatalogueController;
    /// What the driver is and what it talks to.
    fn info(&self) -> DriverInfo;
    /// What the driver can do.
    fn capabilities(&self) -> Capabilities;

    /// Asks the store whether it is there and still safe; changes nothing.
    async fn health(&self) -> Result<Health>;

    /// Finishes what was accepted and lets go of the store. Later calls fail with effect `None`.
    async fn close(&self);
}
