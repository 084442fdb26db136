//! The caller ring: a stage around a driver that fails calls before or after they are carried out,
//! and drops their futures while they run.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Claim, ClaimController, ClaimId, Claimed, CreateClaim, Created, DataDriver,
    DeadLetterOrigin, DriverInfo, Effect, Error, GcOptions, GcReport, Health, ListMessages,
    Message, MessageController, MessageId, MessageMarker, MoveController, MovedMessage, NewMessage,
    OutboxController, Page, PageLimit, PostMessages, Posted, QueueEnd, QueueHead,
    QueueHeadController, QueueRef, QueueStats, Result, Retry, StoreVolume, SubscriptionController,
    Ttl,
};

use super::cancel::dropped_after;
use super::plan::{Fault, FaultPlan};

/// The cause of an injected failure.
#[derive(Debug, thiserror::Error)]
#[error("a fault was injected: {0:?}")]
struct Injected(Fault);

/// A driver whose callers meet faults: on messages, claims and queue heads. The rest passes through.
pub struct FaultStage {
    inner: Arc<dyn DataDriver>,
    plan: Arc<FaultPlan>,
}

impl FaultStage {
    /// A stage around `inner` on which the faults of `plan` strike.
    #[must_use]
    pub fn new(inner: Arc<dyn DataDriver>, plan: Arc<FaultPlan>) -> Self {
        Self { inner, plan }
    }

    async fn around<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let Some(fault) = self.plan.draw() else { return call.await };
        let failed = |effect| Err(Error::backend(operation, effect, Retry::Later, Injected(fault)));
        match fault {
            Fault::FailBefore => {
                self.plan.count(fault);
                failed(Effect::None)
            }
            Fault::FailAfter => match call.await {
                Ok(_) => {
                    self.plan.count(fault);
                    failed(Effect::Unknown)
                }
                // A refusal is no effect; hiding it would only make the ledger know less.
                Err(error) => Err(error),
            },
            Fault::Delay { yields } => {
                self.plan.count(fault);
                for _ in 0..yields {
                    tokio::task::yield_now().await;
                }
                call.await
            }
            Fault::Cancel { polls } => match dropped_after(polls, call).await {
                Some(result) => result,
                None => {
                    self.plan.count(fault);
                    failed(Effect::Unknown)
                }
            },
        }
    }
}

impl fmt::Debug for FaultStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultStage").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Writes each method as a call of the inner controller within [`FaultStage::around`].
macro_rules! stage {
    ($controller:ident, $accessor:ident {
        $(fn $method:ident($($name:ident: $kind:ty),* $(,)?) -> $answer:ty;)*
    }) => {
        #[async_trait]
        impl $controller for FaultStage {
            $(async fn $method(&self, $($name: $kind),*) -> Result<$answer> {
                let call = self.inner.$accessor().$method($($name),*);
                self.around(stringify!($method), call).await
            })*
        }
    };
}

stage!(QueueHeadController, heads {
    fn head_open(queue: &QueueRef) -> ();
    fn head_close(queue: &QueueRef) -> ();
    fn head_get(queue: &QueueRef) -> QueueHead;
    fn head_move(queue: &QueueRef, epoch: u64) -> QueueHead;
});

stage!(MessageController, messages {
    fn message_post(
        queue: &QueueRef, messages: Vec<NewMessage>, options: PostMessages,
    ) -> Posted;
    fn message_list(
        queue: &QueueRef, options: ListMessages,
    ) -> Page<Message, MessageMarker>;
    fn message_first(queue: &QueueRef, end: QueueEnd) -> Option<Message>;
    fn message_get(queue: &QueueRef, id: MessageId) -> Message;
    fn message_bulk_get(queue: &QueueRef, ids: &[MessageId]) -> Vec<Message>;
    fn message_delete(queue: &QueueRef, id: MessageId, claim: Option<ClaimId>) -> ();
    fn message_bulk_delete(
        queue: &QueueRef, ids: &[MessageId], claims: Option<&[ClaimId]>,
    ) -> ();
    fn message_pop(queue: &QueueRef, limit: PageLimit) -> Vec<Message>;
    fn message_purge(queue: &QueueRef) -> ();
    fn message_stats(queue: &QueueRef) -> QueueStats;
    fn message_insert_moved(
        queue: &QueueRef, message: MovedMessage,
    ) -> Created<MessageMarker>;
    fn message_origins(queue: &QueueRef, ids: &[MessageId]) -> Vec<Option<DeadLetterOrigin>>;
});

stage!(ClaimController, claims {
    fn claim_create(queue: &QueueRef, options: CreateClaim) -> Claimed;
    fn claim_get(queue: &QueueRef, id: ClaimId) -> (Claim, Vec<Message>);
    fn claim_update(queue: &QueueRef, id: ClaimId, ttl: Ttl, grace: Ttl) -> ();
    fn claim_delete(queue: &QueueRef, id: ClaimId) -> ();
});

#[async_trait]
impl DataDriver for FaultStage {
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
        self.inner.subscriptions()
    }

    fn outbox(&self) -> &dyn OutboxController {
        self.inner.outbox()
    }

    fn moves(&self) -> &dyn MoveController {
        self.inner.moves()
    }

    fn info(&self) -> DriverInfo {
        self.inner.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn health(&self) -> Result<Health> {
        self.inner.health().await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        self.inner.volume().await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.around("sweep", self.inner.sweep()).await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.around("gc", self.inner.gc(options)).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
