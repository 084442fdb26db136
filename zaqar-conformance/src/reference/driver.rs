//! Handles on the store, and what they answer about themselves.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Capability, CatalogueController, ClaimController, Clock, ControlDriver,
    DataDriver, DriverInfo, Effect, Error, FlavorController, GcOptions, GcReport, Health,
    MessageController, MoveController, OutboxController, PoolController, QueueController,
    QueueHeadController, Result, Retry, StoreVolume, SubscriptionController, Timestamp,
};

use super::head::Head;
use super::quirks::{Quirk, Quirks};
use super::state::{NAME, State};
use super::stored::Stored;

/// Everything that the reference driver declares: all but durability, and no claim to speed.
fn declarable() -> impl Iterator<Item = Capability> {
    [
        Capability::Fifo,
        Capability::Claims,
        Capability::AtLeastOnce,
        Capability::Subscriptions,
        Capability::Delay,
        Capability::DeadLetter,
        Capability::LiveMove,
        Capability::VirtualTime,
    ]
    .into_iter()
}

/// A store in memory; clones are the same store.
#[derive(Debug, Clone)]
pub struct ReferenceStore {
    state: Arc<Mutex<State>>,
}

impl ReferenceStore {
    /// An empty store that declares everything but durability.
    #[must_use]
    pub fn new() -> Self {
        Self::without(&[])
    }

    /// An empty store that does not declare `withheld`.
    #[must_use]
    pub fn without(withheld: &[Capability]) -> Self {
        Self::with(Quirks::default(), withheld)
    }

    /// As [`Self::without`], with a planted bug perhaps.
    pub(super) fn with(quirks: Quirks, withheld: &[Capability]) -> Self {
        let claims =
            !quirks.has(Quirk::ClaimsUnsupportedSuccess) && !withheld.contains(&Capability::Claims);
        let kept = |capability: &Capability| match capability {
            Capability::Claims => claims,
            // Without claims nothing is ever claimed too often.
            Capability::DeadLetter if !claims => false,
            other => !withheld.contains(other),
        };
        let declared = declarable().filter(kept).collect();
        Self { state: Arc::new(Mutex::new(State::new(declared, quirks))) }
    }

    /// A handle on the data plane.
    #[must_use]
    pub fn data(&self, clock: Arc<dyn Clock>) -> ReferenceData {
        ReferenceData(self.handle(clock))
    }

    /// A handle on the control plane.
    #[must_use]
    pub fn control(&self, clock: Arc<dyn Clock>) -> ReferenceControl {
        ReferenceControl(self.handle(clock))
    }

    fn handle(&self, clock: Arc<dyn Clock>) -> Handle {
        Handle { store: self.clone(), clock, closed: Arc::new(AtomicBool::new(false)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for ReferenceStore {
    fn default() -> Self {
        Self::new()
    }
}

/// One node's way to the store.
#[derive(Debug, Clone)]
struct Handle {
    store: ReferenceStore,
    clock: Arc<dyn Clock>,
    closed: Arc<AtomicBool>,
}

impl Handle {
    /// Runs one atomic step. Others may run before it and before its answer is taken: a future that
    /// is dropped there did nothing, or all of it (G16).
    async fn step<T: Send>(
        &self,
        operation: &'static str,
        run: impl FnOnce(&mut State, Timestamp) -> Result<T> + Send,
    ) -> Result<T> {
        tokio::task::yield_now().await;
        let result = self.step_at_once(operation, run);
        tokio::task::yield_now().await;
        result
    }

    /// The time is read within the step, after its lock.
    fn step_at_once<T>(
        &self,
        operation: &'static str,
        run: impl FnOnce(&mut State, Timestamp) -> Result<T>,
    ) -> Result<T> {
        let mut state = self.store.lock();
        if self.closed.load(Ordering::SeqCst) {
            let text = "the handle is closed";
            return Err(Error::backend(operation, Effect::None, Retry::AfterReopen, text));
        }
        let now = self.clock.now();
        run(&mut state, now)
    }

    fn info(&self) -> DriverInfo {
        DriverInfo {
            name: NAME,
            version: env!("CARGO_PKG_VERSION"),
            backend: "memory".into(),
            location: "this process".into(),
        }
    }

    fn capabilities(&self) -> Capabilities {
        self.store.lock().declared.clone()
    }
}

/// The data plane of a [`ReferenceStore`].
#[derive(Debug, Clone)]
pub struct ReferenceData(Handle);

impl ReferenceData {
    pub(super) async fn step<T: Send>(
        &self,
        operation: &'static str,
        run: impl FnOnce(&mut State, Timestamp) -> Result<T> + Send,
    ) -> Result<T> {
        self.0.step(operation, run).await
    }

    pub(super) fn quirks(&self) -> Quirks {
        self.0.store.lock().quirks
    }
}

#[async_trait]
impl DataDriver for ReferenceData {
    fn heads(&self) -> &dyn QueueHeadController {
        self
    }
    fn messages(&self) -> &dyn MessageController {
        self
    }
    fn claims(&self) -> &dyn ClaimController {
        self
    }
    fn subscriptions(&self) -> &dyn SubscriptionController {
        self
    }
    fn outbox(&self) -> &dyn OutboxController {
        self
    }
    fn moves(&self) -> &dyn MoveController {
        self
    }
    fn info(&self) -> DriverInfo {
        self.0.info()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.step("health", |_, now| Ok(Health::good(now))).await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        self.step("volume", |state, now| {
            let mut volume = StoreVolume::default();
            for message in state.heads.values().flat_map(|head| head.live(now)) {
                if message.counts_as_claimed(now) {
                    volume.claimed += 1;
                } else {
                    volume.free += 1;
                }
            }
            Ok(volume)
        })
        .await
    }

    /// Nothing to do: every read asks each message whether its claim, delay or life is over.
    async fn sweep(&self) -> Result<GcReport> {
        self.step("sweep", |state, _| {
            state.heads.values_mut().for_each(Head::resurrect);
            Ok(GcReport::default())
        })
        .await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.step("gc", |state, now| {
            let mut room = options.rows_max;
            let swept = state.rubbish.min(room);
            state.rubbish -= swept;
            room -= swept;
            let mut more = state.rubbish > 0;
            for head in state.heads.values_mut() {
                more |= collect(head, now, options, &mut room);
                head.trim(now);
            }
            Ok(GcReport { rows: options.rows_max.saturating_sub(room), more })
        })
        .await
    }

    async fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }
}

/// Removes up to `room` things of one queue that have been over for the margin; returns whether
/// there are more.
fn collect(head: &mut Head, now: Timestamp, options: GcOptions, room: &mut u64) -> bool {
    let mut more = false;
    let mut keep = |over_at: Timestamp| {
        if now < over_at.after(options.margin) {
            return true;
        }
        let full = *room == 0;
        more |= full;
        *room = room.saturating_sub(1);
        full
    };
    let first_end = head.quirks.has(Quirk::CollectByFirstEnd);
    let life = |message: &Stored| {
        let end = if first_end { message.first_end } else { message.expires_at };
        message.parked.is_none().then_some(end)
    };
    head.messages.retain(|_, message| life(message).is_none_or(&mut keep));
    head.keys.retain(|_, key| keep(key.until));
    head.claims.retain(|_, ends_at| keep(*ends_at));
    head.subscriptions.retain(|_, subscription| keep(subscription.expires_at));
    more
}

/// The control plane of a [`ReferenceStore`].
#[derive(Debug, Clone)]
pub struct ReferenceControl(Handle);

impl ReferenceControl {
    pub(super) async fn step<T: Send>(
        &self,
        operation: &'static str,
        run: impl FnOnce(&mut State) -> Result<T> + Send,
    ) -> Result<T> {
        self.0.step(operation, |state, _| run(state)).await
    }
}

#[async_trait]
impl ControlDriver for ReferenceControl {
    fn queues(&self) -> &dyn QueueController {
        self
    }
    fn pools(&self) -> &dyn PoolController {
        self
    }
    fn flavors(&self) -> &dyn FlavorController {
        self
    }
    fn catalogue(&self) -> &dyn CatalogueController {
        self
    }
    fn info(&self) -> DriverInfo {
        self.0.info()
    }
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.0.step("health", |_, now| Ok(Health::good(now))).await
    }

    async fn close(&self) {
        self.0.closed.store(true, Ordering::SeqCst);
    }
}
