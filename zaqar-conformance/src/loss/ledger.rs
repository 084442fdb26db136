//! The ledger: records every call as it begins and as it ends, whatever way it ends.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zaqar_core::{Clock, Effect, Error};

use super::history::{Action, Answer, Call, History, Moment, Outcome, QueueTag};

/// Records a run's calls; shared by its workers.
#[derive(Debug)]
pub struct Ledger {
    run: u64,
    clock: Arc<dyn Clock>,
    order: AtomicU64,
    walks: AtomicU64,
    calls: Mutex<Vec<Call>>,
    drained: Mutex<BTreeSet<QueueTag>>,
}

impl Ledger {
    /// An empty ledger of run `run`, whose instants are read from `clock`.
    #[must_use]
    pub fn new(run: u64, clock: Arc<dyn Clock>) -> Self {
        Self {
            run,
            clock,
            order: AtomicU64::new(0),
            walks: AtomicU64::new(0),
            calls: Mutex::default(),
            drained: Mutex::default(),
        }
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// A number for a walk that begins.
    #[must_use]
    pub fn next_walk(&self) -> u64 {
        self.walks.fetch_add(1, Ordering::Relaxed)
    }

    /// Records that a call begins. Unless it is settled, it ends as indeterminate when the returned
    /// guard is dropped: that is what a dropped future is.
    pub fn begin(&self, worker: u32, queue: QueueTag, action: Action) -> PendingCall<'_> {
        PendingCall { ledger: self, worker, queue, action: Some(action), invoked: self.moment() }
    }

    /// Runs `call` and records it.
    ///
    /// # Errors
    /// Whatever `call` ends with.
    pub async fn record<T>(
        &self,
        worker: u32,
        queue: QueueTag,
        action: Action,
        call: impl Future<Output = Result<T, Error>>,
        answer: impl FnOnce(&T) -> Answer,
    ) -> Result<T, Error> {
        let pending = self.begin(worker, queue, action);
        let result = call.await;
        pending.settle(match &result {
            Ok(value) => Outcome::Ok(answer(value)),
            Err(error) => match error.effect() {
                Effect::None => Outcome::Failed,
                Effect::Unknown => Outcome::Indeterminate,
            },
        });
        result
    }

    /// Records that `queue` was emptied through claims until none found anything.
    pub fn mark_drained(&self, queue: QueueTag) {
        self.drained.lock().unwrap_or_else(PoisonError::into_inner).insert(queue);
    }

    /// How many posts were acknowledged so far.
    #[must_use]
    pub fn acknowledged(&self) -> usize {
        let posted = |call: &&Call| matches!(call.outcome, Outcome::Ok(Answer::Posted(_)));
        self.calls().iter().filter(posted).count()
    }

    /// What was recorded so far.
    #[must_use]
    pub fn history(&self, resolution_ms: i64, fifo: bool) -> History {
        let mut calls = self.calls().clone();
        calls.sort_by_key(|call| call.invoked.order);
        let drained = self.drained.lock().unwrap_or_else(PoisonError::into_inner).clone();
        History { run: self.run, calls, drained, resolution_ms, fifo }
    }

    fn moment(&self) -> Moment {
        // Both are read before a call begins and after it ended, so its effect lies between them
        // on either scale.
        Moment { order: self.order.fetch_add(1, Ordering::SeqCst), at: self.clock.now() }
    }

    fn calls(&self) -> MutexGuard<'_, Vec<Call>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that began.
#[derive(Debug)]
pub struct PendingCall<'l> {
    ledger: &'l Ledger,
    worker: u32,
    queue: QueueTag,
    action: Option<Action>,
    invoked: Moment,
}

impl PendingCall<'_> {
    /// Records what came of the call.
    pub fn settle(mut self, outcome: Outcome) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Outcome) {
        if let Some(action) = self.action.take() {
            let (worker, queue, invoked) = (self.worker, self.queue, self.invoked);
            let ended = self.ledger.moment();
            let call = Call { worker, queue, action, invoked, ended, outcome };
            self.ledger.calls().push(call);
        }
    }
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.end(Outcome::Indeterminate);
    }
}

#[cfg(test)]
mod tests {
    use zaqar_core::{ManualClock, Retry};

    use super::*;

    const QUEUE: QueueTag = QueueTag { queue: 0, generation: 0 };

    fn ledger() -> Ledger {
        Ledger::new(1, Arc::new(ManualClock::default()))
    }

    fn outcomes(ledger: &Ledger) -> Vec<Outcome> {
        ledger.history(0, true).calls.into_iter().map(|call| call.outcome).collect()
    }

    #[tokio::test]
    async fn an_error_is_recorded_by_its_effect() {
        let ledger = ledger();
        for effect in [Effect::None, Effect::Unknown] {
            let failing = async { Err::<(), _>(Error::backend("t", effect, Retry::Later, "x")) };
            let result = ledger.record(0, QUEUE, Action::Purge, failing, |()| Answer::Done).await;
            assert!(result.is_err());
        }
        assert_eq!(outcomes(&ledger), [Outcome::Failed, Outcome::Indeterminate]);
    }

    #[tokio::test]
    async fn a_dropped_future_is_recorded_as_indeterminate() {
        let ledger = ledger();
        {
            let never = std::future::pending::<Result<(), Error>>();
            let call = ledger.record(0, QUEUE, Action::Purge, never, |()| Answer::Done);
            let mut call = std::pin::pin!(call);
            assert!(futures_util::poll!(call.as_mut()).is_pending());
        }
        assert_eq!(outcomes(&ledger), [Outcome::Indeterminate]);
    }

    #[tokio::test]
    async fn calls_that_follow_each_other_are_in_order() {
        let ledger = ledger();
        for _ in 0..2 {
            let done = async { Ok(()) };
            let result = ledger.record(0, QUEUE, Action::Purge, done, |()| Answer::Done).await;
            assert!(result.is_ok());
        }
        let calls = ledger.history(0, true).calls;
        assert!(calls[0].precedes(&calls[1]) && !calls[1].precedes(&calls[0]));
    }
}
