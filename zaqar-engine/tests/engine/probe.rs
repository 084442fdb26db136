//! Drivers that record their calls, and fail or hold those that a script names.

use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use zaqar_core::*;

/// What happens to the next call of an operation.
#[derive(Debug, Clone)]
enum Turn {
    /// It fails and was not done.
    FailBefore,
    /// It is done, and its answer lost.
    FailAfter,
    /// It waits until the gate is opened, then is done.
    Hold(Arc<Semaphore>),
    /// It is done, then waits until the gate is opened.
    HoldAfter(Arc<Semaphore>),
}

/// A call that is held until this is opened.
#[derive(Debug)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn open(&self) {
        self.0.add_permits(1);
    }
}

/// What is to happen, and what has.
#[derive(Debug, Default)]
pub(crate) struct Script {
    turns: Mutex<Vec<(&'static str, Turn)>>,
    calls: Mutex<Vec<&'static str>>,
    health: Mutex<Option<Health>>,
}

impl Script {
    pub(crate) fn fail_before(&self, operation: &'static str) {
        self.turns().push((operation, Turn::FailBefore));
    }

    pub(crate) fn fail_after(&self, operation: &'static str) {
        self.turns().push((operation, Turn::FailAfter));
    }

    pub(crate) fn hold(&self, operation: &'static str) -> Gate {
        let gate = Arc::new(Semaphore::new(0));
        self.turns().push((operation, Turn::Hold(Arc::clone(&gate))));
        Gate(gate)
    }

    pub(crate) fn hold_after(&self, operation: &'static str) -> Gate {
        let gate = Arc::new(Semaphore::new(0));
        self.turns().push((operation, Turn::HoldAfter(Arc::clone(&gate))));
        Gate(gate)
    }

    /// What the data driver says from now on when it is asked how it is; `None`: the truth.
    pub(crate) fn claim_health(&self, health: Option<Health>) {
        *self.health.lock().unwrap() = health;
    }

    /// How often an operation was called.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|call| **call == operation).count()
    }

    /// Forgets the calls so far.
    pub(crate) fn forget(&self) {
        self.calls.lock().unwrap().clear();
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.calls.lock().unwrap().clone()
    }

    /// Lets other tasks run until the operation was called `times` times.
    pub(crate) async fn reached(&self, operation: &str, times: usize) {
        until(|| self.count(operation) >= times).await;
    }

    /// Lets time pass, which the runtime must have paused, until the operation was called so often.
    pub(crate) async fn reached_later(&self, operation: &str, times: usize) {
        while self.count(operation) < times {
            tokio::time::advance(std::time::Duration::from_millis(100)).await;
        }
    }

    fn turns(&self) -> MutexGuard<'_, Vec<(&'static str, Turn)>> {
        self.turns.lock().unwrap()
    }

    async fn around<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.calls.lock().unwrap().push(operation);
        let turn = {
            let mut turns = self.turns();
            let place = turns.iter().position(|(name, _)| *name == operation);
            place.map(|place| turns.remove(place).1)
        };
        let failed = |effect| Error::backend(operation, effect, Retry::Later, "scripted");
        match turn {
            None => call.await,
            Some(Turn::FailBefore) => Err(failed(Effect::None)),
            Some(Turn::FailAfter) => {
                call.await?;
                Err(failed(Effect::Unknown))
            }
            Some(Turn::Hold(gate)) => {
                gate.acquire().await.unwrap().forget();
                call.await
            }
            Some(Turn::HoldAfter(gate)) => {
                let answer = call.await;
                gate.acquire().await.unwrap().forget();
                answer
            }
        }
    }
}

/// Lets other tasks run until `reached`; gives up after far more turns than any test needs.
pub(crate) async fn until(reached: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if reached() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("the state waited for never came");
}

/// A control driver under a script.
#[derive(Debug)]
pub(crate) struct ProbeControl {
    pub(crate) inner: Arc<dyn ControlDriver>,
    pub(crate) script: Arc<Script>,
}

/// A data driver under a script.
#[derive(Debug)]
pub(crate) struct ProbeData {
    pub(crate) inner: Arc<dyn DataDriver>,
    pub(crate) script: Arc<Script>,
}

macro_rules! scripted {
    ($controller:ident for $probe:ident by $accessor:ident {
        $(fn $method:ident($($name:ident: $kind:ty),* $(,)?) -> $answer:ty;)*
    }) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl $controller for $probe {
            $(async fn $method(&self, $($name: $kind),*) -> Result<$answer> {
                let call = self.inner.$accessor().$method($($name),*);
                self.script.around(stringify!($method), call).await
            })*
        }
    };
}

scripted!(QueueController for ProbeControl by queues {
    fn queue_allocate_incarnation() -> Incarnation;
    fn queue_insert(queue: &QueueRef, metadata: &JsonObject) -> Created<QueueRecord>;
    fn queue_find(key: &QueueKey) -> Option<QueueRecord>;
    fn queue_set_metadata(
        queue: &QueueRef, revision: u64, metadata: &JsonObject,
    ) -> QueueRecord;
    fn queue_mark_deleting(queue: &QueueRef) -> ();
    fn queue_remove(queue: &QueueRef) -> ();
    fn queue_list(
        project: &ProjectId, kind: QueueKind, options: ListQueues,
    ) -> Page<QueueRecord, QueueName>;
    fn queue_count(project: &ProjectId, kind: QueueKind) -> u64;
    fn queue_list_deleting(limit: PageLimit) -> Vec<QueueRecord>;
});

scripted!(PoolController for ProbeControl by pools {
    fn pool_put(pool: Pool) -> ();
    fn pool_get(name: &PoolName) -> Pool;
    fn pool_list(marker: Option<&PoolName>, limit: Option<PageLimit>) -> Page<Pool, PoolName>;
    fn pool_list_by_flavor(flavor: Option<&FlavorName>) -> Vec<Pool>;
    fn pool_update(name: &PoolName, changes: UpdatePool) -> ();
    fn pool_delete(name: &PoolName) -> ();
    fn pool_delete_all() -> ();
});

scripted!(QueueHeadController for ProbeData by heads {
    fn head_open(queue: &QueueRef) -> ();
    fn head_close(queue: &QueueRef) -> ();
    fn head_get(queue: &QueueRef) -> QueueHead;
    fn head_move(queue: &QueueRef, epoch: u64) -> QueueHead;
});

scripted!(MessageController for ProbeData by messages {
    fn message_post(queue: &QueueRef, messages: Vec<NewMessage>, options: PostMessages) -> Posted;
    fn message_list(queue: &QueueRef, options: ListMessages) -> Page<Message, MessageMarker>;
    fn message_first(queue: &QueueRef, end: QueueEnd) -> Option<Message>;
    fn message_get(queue: &QueueRef, id: MessageId) -> Message;
    fn message_bulk_get(queue: &QueueRef, ids: &[MessageId]) -> Vec<Message>;
    fn message_delete(queue: &QueueRef, id: MessageId, claim: Option<ClaimId>) -> ();
    fn message_bulk_delete(queue: &QueueRef, ids: &[MessageId], claims: Option<&[ClaimId]>) -> ();
    fn message_pop(queue: &QueueRef, limit: PageLimit) -> Vec<Message>;
    fn message_purge(queue: &QueueRef) -> ();
    fn message_stats(queue: &QueueRef) -> QueueStats;
    fn message_available(watches: &[MessageWatch]) -> Vec<bool>;
    fn message_insert_moved(queue: &QueueRef, message: MovedMessage) -> Created<MessageMarker>;
    fn message_origins(queue: &QueueRef, ids: &[MessageId]) -> Vec<Option<DeadLetterOrigin>>;
});

scripted!(ClaimController for ProbeData by claims {
    fn claim_create(queue: &QueueRef, options: CreateClaim) -> Claimed;
    fn claim_get(queue: &QueueRef, id: ClaimId) -> (Claim, Vec<Message>);
    fn claim_update(queue: &QueueRef, id: ClaimId, ttl: Ttl, grace: Ttl) -> ();
    fn claim_delete(queue: &QueueRef, id: ClaimId) -> ();
});

scripted!(SubscriptionController for ProbeData by subscriptions {
    fn subscription_create(
        queue: &QueueRef, subscription: NewSubscription,
    ) -> Created<Subscription>;
    fn subscription_list(
        queue: &QueueRef, marker: Option<SubscriptionId>, limit: PageLimit,
    ) -> Page<Subscription, SubscriptionId>;
    fn subscription_get(queue: &QueueRef, id: SubscriptionId) -> Subscription;
    fn subscription_find(queue: &QueueRef, subscriber: &str) -> Option<Subscription>;
    fn subscription_update(queue: &QueueRef, id: SubscriptionId, changes: UpdateSubscription) -> ();
    fn subscription_confirm(queue: &QueueRef, id: SubscriptionId, confirmed: bool) -> ();
    fn subscription_delete(queue: &QueueRef, id: SubscriptionId) -> ();
    fn subscription_purge(queue: &QueueRef) -> ();
});

scripted!(OutboxController for ProbeData by outbox {
    fn delivery_lease(options: LeaseDeliveries) -> Vec<Delivery>;
    fn delivery_complete(
        delivery: &Delivery, outcomes: &[(MessageId, DeliveryOutcome)], release: bool,
    ) -> ();
    fn delivery_renew(delivery: &Delivery, ttl: Ttl) -> ();
    fn delivery_list_exhausted(
        queue: &QueueRef, marker: Option<u64>, limit: PageLimit,
    ) -> Page<ExhaustedDelivery, u64>;
    fn transfer_lease(
        queue: Option<&QueueRef>, lease: LeaseId, ttl: Ttl, limit: PageLimit,
    ) -> Vec<Transfer>;
    fn transfer_complete(transfer: &Transfer) -> ();
    fn outbox_backlog() -> OutboxBacklog;
});

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ControlDriver for ProbeControl {
    fn queues(&self) -> &dyn QueueController {
        self
    }
    fn pools(&self) -> &dyn PoolController {
        self
    }
    fn flavors(&self) -> &dyn FlavorController {
        self.inner.flavors()
    }
    fn catalogue(&self) -> &dyn CatalogueController {
        self.inner.catalogue()
    }
    fn info(&self) -> DriverInfo {
        self.inner.info()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn health(&self) -> Result<Health> {
        self.script.around("control_health", self.inner.health()).await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl DataDriver for ProbeData {
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
    fn moves(&self) -> &dyn zaqar_core::MoveController {
        self.inner.moves()
    }
    fn info(&self) -> DriverInfo {
        self.inner.info()
    }
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }
    async fn health(&self) -> Result<Health> {
        let health = self.script.around("data_health", self.inner.health()).await?;
        Ok(self.script.health.lock().unwrap().clone().unwrap_or(health))
    }
    async fn volume(&self) -> Result<StoreVolume> {
        self.script.around("volume", self.inner.volume()).await
    }
    async fn sweep(&self) -> Result<GcReport> {
        self.script.around("sweep", self.inner.sweep()).await
    }
    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.script.around("gc", self.inner.gc(options)).await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}
