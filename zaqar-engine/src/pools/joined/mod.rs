//! A queue that is being moved: two stores that act as one.
//!
//! The source holds the older messages and the target the newer ones, so reads ask the source first
//! and the target next: what moves between the two questions is met at least once, and shown once.
//! Something new goes to the target, and to the source for as long as there is no head at the
//! target. What would change a message that is on its way waits for a moment.
//!
//! A store without a head of the queue has nothing of it, be it that the move is about to begin or
//! about to end; that both have none means that the queue is gone.

mod claims;
mod messages;
mod outbox;
mod subscriptions;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use zaqar_core::{
    Capabilities, Capability, ClaimController, DataDriver, DriverInfo, Error, GcOptions, GcReport,
    HeadState, Health, MessageController, MoveController, NoMoves, OutboxController, QueueHead,
    QueueHeadController, QueueRef, Result, StoreVolume, SubscriptionController,
};

use super::routing::Store;

/// How long an operation waits for a part that is on its way. A part is under way for some
/// milliseconds; longer, if whoever moves it died and another must take over.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it waits before it tries again.
const PAUSE: Duration = Duration::from_millis(5);

/// Both ends of a move.
#[derive(Debug, Clone)]
pub(in crate::pools) struct Joined {
    pub(in crate::pools) source: Arc<Store>,
    pub(in crate::pools) target: Arc<Store>,
    /// Whether the target is known to take posts.
    is_open: Arc<AtomicBool>,
}

/// What a store answers; `None` if it has nothing of the queue.
fn held<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(Error::QueueGone { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

fn gone(queue: &QueueRef) -> Error {
    Error::QueueGone { name: queue.key.name.clone() }
}

/// Tries until what the attempt would change is not on its way, or patience is over.
async fn patiently<T, F, W>(attempt: F) -> Result<T>
where
    F: Fn() -> W,
    W: Future<Output = Result<T>>,
{
    let until = Instant::now() + PATIENCE;
    loop {
        match attempt().await {
            Err(Error::QueueMoving { .. }) if Instant::now() < until => {
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

impl Joined {
    pub(in crate::pools) fn new(source: Arc<Store>, target: Arc<Store>) -> Self {
        Self { source, target, is_open: Arc::default() }
    }

    /// Whether the target takes posts, so that the source takes none. Whoever goes through the queue
    /// in order must know before he looks at the source: what he does not find there may be posted
    /// there still, before anything at the target.
    async fn is_open(&self, queue: &QueueRef) -> Result<bool> {
        if self.is_open.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let is_open = held(self.target().heads().head_get(queue).await)?.is_some();
        if is_open {
            self.is_open.store(true, Ordering::Relaxed);
        }
        Ok(is_open)
    }

    fn source(&self) -> &dyn DataDriver {
        self.source.data()
    }

    fn target(&self) -> &dyn DataDriver {
        self.target.data()
    }

    /// Does something new where it belongs: at the target, or at the source while that still takes
    /// it. Between the two, when the source takes nothing any more and the target nothing yet, it
    /// waits.
    async fn anew<'j, T, F, W>(&'j self, queue: &QueueRef, work: F) -> Result<T>
    where
        F: Fn(&'j dyn DataDriver) -> W,
        W: Future<Output = Result<T>>,
    {
        patiently(|| async {
            if let Some(done) = held(work(self.target()).await)? {
                return Ok(done);
            }
            match work(self.source()).await {
                Err(Error::QueueMoved { epoch, .. }) if epoch == queue.epoch => {
                    Err(Error::QueueMoving { name: queue.key.name.clone() })
                }
                // It may have been left meanwhile, after all went to the target.
                Err(Error::QueueGone { .. }) => work(self.target()).await,
                answer => answer,
            }
        })
        .await
    }

    /// What both stores answered, the source first, unless neither has anything of the queue. That the
    /// target has nothing is believed if the source is part of this move still: otherwise the queue
    /// may have come back to the source between the two answers.
    async fn both<T>(
        &self,
        queue: &QueueRef,
        source: Option<T>,
        target: Option<T>,
    ) -> Result<(Option<T>, Option<T>)> {
        match (&source, &target) {
            (None, None) => return Err(gone(queue)),
            (Some(_), None) => self.check_source(queue).await?,
            (_, Some(_)) => {}
        }
        Ok((source, target))
    }

    /// Refuses a route that is older than the source's latest move.
    async fn check_source(&self, queue: &QueueRef) -> Result<()> {
        match self.source().heads().head_get(queue).await {
            Err(Error::QueueGone { name }) => Err(Error::QueueMoved { name, epoch: queue.epoch }),
            head => head.map(drop),
        }
    }

    /// Whether a part of the queue stands at the source, not to be had: nothing that is newer may be
    /// taken before it.
    async fn is_held_up(&self, queue: &QueueRef) -> Result<bool> {
        let head = held(self.source().heads().head_get(queue).await)?;
        Ok(head.is_some_and(|head| head.frozen))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl DataDriver for Joined {
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
        &NoMoves
    }

    fn info(&self) -> DriverInfo {
        self.target().info()
    }

    fn capabilities(&self) -> Capabilities {
        self.target().capabilities().without(Capability::LiveMove)
    }

    async fn health(&self) -> Result<Health> {
        self.target().health().await
    }

    /// The target's: rounds over all stores visit each by itself.
    async fn volume(&self) -> Result<StoreVolume> {
        self.target().volume().await
    }

    async fn sweep(&self) -> Result<GcReport> {
        self.target().sweep().await
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        self.target().gc(options).await
    }

    /// Nothing: the stores are not its own.
    async fn close(&self) {}
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl QueueHeadController for Joined {
    /// At the source, where it was placed: the move goes on from there. Opened before, it may have
    /// arrived at the target.
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        match self.source().heads().head_open(queue).await {
            Err(Error::QueueGone { .. }) => self.target().heads().head_get(queue).await.map(drop),
            answer => answer,
        }
    }

    /// At both ends, at the target even if there is no head yet: whoever moves the queue may be about
    /// to open it, and only what was open once stays closed.
    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.source().heads().head_close(queue).await?;
        let target = self.target().heads();
        match target.head_open(queue).await {
            Ok(()) | Err(Error::QueueGone { .. } | Error::QueueMoved { .. }) => {}
            Err(error) => return Err(error),
        }
        target.head_close(queue).await
    }

    /// The head that takes posts.
    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        let taking = async |data: &dyn DataDriver| {
            let head = data.heads().head_get(queue).await?;
            match head.state {
                HeadState::Open => Ok(head),
                HeadState::Moved { epoch } => {
                    Err(Error::QueueMoved { name: queue.key.name.clone(), epoch })
                }
            }
        };
        self.anew(queue, taking).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.target().heads().head_move(queue, epoch).await
    }
}
