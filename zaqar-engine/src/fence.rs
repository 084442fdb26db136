//! How every operation on a queue runs: resolve the name, try, and try anew if the route was stale.

use std::future::Future;
use std::sync::Arc;

use tracing::Instrument;
use zaqar_core::{Effect, Error, QueueKey, Retry};

use crate::engine::Engine;
use crate::error::{EngineError, EngineResult};
use crate::routing::Route;

/// How often a name is resolved for one operation.
///
/// One stale entry explains one refusal. A second one means that the queue was deleted and made
/// again between two steps of this operation, so few attempts are enough, and a bound is needed.
const ATTEMPTS_MAX: u32 = 4;

/// For whom a queue is made that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behalf {
    /// For a client, within its project's quota.
    Client,
    /// For the service itself, which no quota stops.
    Service,
}

/// An operation as its time-out describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call {
    operation: &'static str,
    effect: Effect,
    behalf: Behalf,
}

impl Call {
    /// An operation that changes nothing.
    pub(crate) fn read(operation: &'static str) -> Self {
        Self { operation, effect: Effect::None, behalf: Behalf::Client }
    }

    /// An operation that may have taken effect when its answer is late.
    pub(crate) fn write(operation: &'static str) -> Self {
        Self { operation, effect: Effect::Unknown, behalf: Behalf::Client }
    }

    /// The same on the service's own behalf.
    pub(crate) fn for_service(self) -> Self {
        Self { behalf: Behalf::Service, ..self }
    }

    fn late(self) -> EngineError {
        Error::backend(self.operation, self.effect, Retry::Later, "no answer in time").into()
    }
}

impl Engine {
    /// Runs `work` within the operation time-out.
    pub(crate) async fn in_time<T, E, W>(&self, call: Call, work: W) -> EngineResult<T>
    where
        W: Future<Output = Result<T, E>>,
        EngineError: From<E>,
    {
        match tokio::time::timeout(self.config().operation_timeout, work).await {
            Ok(answer) => answer.map_err(EngineError::from),
            Err(_elapsed) => Err(call.late()),
        }
    }

    /// Runs `work` on the queue, `None` if there is none.
    ///
    /// The fence: `QueueGone` and `QueueMoved` say for certain that nothing was done, so the name is
    /// resolved again and the work repeated. No other failure is repeated (G3).
    pub(crate) async fn on_queue<T, F, W>(
        &self,
        call: Call,
        key: &QueueKey,
        work: F,
    ) -> EngineResult<Option<T>>
    where
        F: Fn(Arc<Route>) -> W,
        W: Future<Output = EngineResult<T>>,
    {
        let mut attempts = 1;
        loop {
            let Some(route) = self.in_time(Call::read("queue_find"), self.route(key)).await? else {
                return Ok(None);
            };
            match self.in_time(call, work(Arc::clone(&route))).await {
                Err(error) if error.is_stale_route() && attempts < ATTEMPTS_MAX => {
                    self.routes().forget(&route).await;
                    attempts += 1;
                }
                answer => return answer.map(Some),
            }
        }
    }

    /// Runs `work` on the queue, which is made if there is none.
    pub(crate) async fn on_queue_made<T, F, W>(
        &self,
        call: Call,
        key: &QueueKey,
        work: F,
    ) -> EngineResult<T>
    where
        F: Fn(Arc<Route>) -> W,
        W: Future<Output = EngineResult<T>>,
    {
        let mut attempts = 1;
        loop {
            if let Some(answer) = self.on_queue(call, key, &work).await? {
                return Ok(answer);
            }
            // A delete may come between making the queue and using it, again and again.
            if attempts == ATTEMPTS_MAX {
                return Err(Error::QueueGone { name: key.name.clone() }.into());
            }
            self.queue_ensure(key, call.behalf).await?;
            attempts += 1;
        }
    }

    /// Runs `work` in a task of its own, which finishes even if the caller goes away.
    pub(crate) async fn detached<T, W>(&self, call: Call, work: W) -> EngineResult<T>
    where
        T: Send + 'static,
        W: Future<Output = EngineResult<T>> + Send + 'static,
    {
        let task = self.tasks().spawn(work.instrument(tracing::Span::current()));
        match tokio::time::timeout(self.config().operation_timeout, task).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(died)) => {
                Err(Error::backend(call.operation, call.effect, Retry::Never, died).into())
            }
            Err(_elapsed) => Err(call.late()),
        }
    }
}
