//! Lanes: what waits for one key goes into one step.

use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, oneshot};
use zaqar_core::{Error, Result};

use crate::answer::{closed, lost, not_begun};
use crate::gate::{Gate, Party};
use crate::limits::{LaneLimits, Weight};
use crate::room::{Entered, Room, Waiter};

/// What is done with the operations of one lane.
#[async_trait]
pub trait LaneStep: fmt::Debug + Send + Sync + 'static {
    /// What tells lanes apart: the queue.
    type Key: Clone + Eq + Hash + fmt::Debug + Send + Sync + 'static;
    /// An operation that waits.
    type Operation: Send + 'static;
    /// What its caller is told.
    type Answer: Send + 'static;
    /// The operation's name in errors.
    const OPERATION: &'static str;

    /// Does all of `operations`, which came in this order, in one step of the store, and returns an
    /// answer for each, in the same order.
    ///
    /// It runs in a task of the lane: no caller's leaving cuts it short. Whoever gets no answer,
    /// because there are too few or the task ended, is told that the effect is unknown.
    async fn run(
        &self,
        key: &Self::Key,
        operations: Vec<Self::Operation>,
    ) -> Vec<Result<Self::Answer>>;
}

/// Operations on their way into a store, a lane for each key.
///
/// A lane is served by one task, alive only while something waits in it. A batch is what gathered
/// while the last one was being done: there is no timer, and a lone caller waits for nobody.
pub struct Lanes<S: LaneStep> {
    shared: Arc<Shared<S>>,
}

struct Shared<S: LaneStep> {
    step: S,
    gate: Option<Arc<Gate>>,
    room: Mutex<Room<S::Key, Item<S>>>,
    /// Told whenever a lane has ended.
    ended: Notify,
}

struct Item<S: LaneStep> {
    operation: S::Operation,
    reply: oneshot::Sender<Result<S::Answer>>,
}

impl<S: LaneStep> Waiter for Item<S> {
    fn has_left(&self) -> bool {
        self.reply.is_closed()
    }
}

impl<S: LaneStep> fmt::Debug for Lanes<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").field("step", &self.shared.step).finish_non_exhaustive()
    }
}

impl<S: LaneStep> Lanes<S> {
    /// Lanes that do `step`, each batch at a place of `gate` if there is one.
    #[must_use]
    pub fn new(step: S, gate: Option<Arc<Gate>>, limits: LaneLimits) -> Self {
        let room = Mutex::new(Room::new(limits));
        Self { shared: Arc::new(Shared { step, gate, room, ended: Notify::new() }) }
    }

    /// What the lanes do with a batch.
    #[must_use]
    pub fn step(&self) -> &S {
        &self.shared.step
    }

    /// Hands an operation in and waits for its answer. `key` belongs to one party for ever.
    ///
    /// # Errors
    /// `Overloaded` if too much of that party waits; `Backend`, effect `None`, once closed; what the
    /// step answers; `Backend`, effect `Unknown`, if the step ended without an answer.
    ///
    /// # Cancellation
    /// An operation whose caller left before its batch began is not begun; any other is finished.
    pub async fn submit(
        &self,
        party: &Party,
        key: &S::Key,
        weight: Weight,
        operation: S::Operation,
    ) -> Result<S::Answer> {
        let (reply, answer) = oneshot::channel();
        let entered = self.shared.lock().enter(key, party, weight, Item { operation, reply });
        match entered {
            Entered::Queued => {}
            Entered::First => {
                let shared = Arc::clone(&self.shared);
                let served = Served { shared, key: key.clone(), finished: false };
                drop(tokio::spawn(serve(served, party.clone())));
            }
            Entered::Full(_) => return Err(Error::Overloaded),
            Entered::Closed(_) => return Err(closed(S::OPERATION)),
        }
        answer.await.unwrap_or_else(|_| Err(lost(S::OPERATION)))
    }

    /// Takes nothing more, and waits until all that was accepted is answered.
    pub async fn close(&self) {
        self.shared.lock().closed = true;
        loop {
            let ended = self.shared.ended.notified();
            if self.shared.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl<S: LaneStep> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, Room<S::Key, Item<S>>> {
        // Nothing panics while it is held; if something did, the queues are whole all the same.
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves a lane until nobody waits in it.
async fn serve<S: LaneStep>(mut served: Served<S>, party: Party) {
    loop {
        let permit = match &served.shared.gate {
            Some(gate) => match gate.admit(&party).await {
                Some(permit) => Some(permit),
                None => return,
            },
            None => None,
        };
        // Only now: whatever came while this waited for its place is part of the batch.
        let taken = served.shared.lock().take(&served.key);
        let Some(batch) = taken else {
            served.finished = true;
            return;
        };
        if batch.is_empty() {
            continue;
        }
        let (operations, replies): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|item| (item.operation, item.reply)).unzip();
        let mut answers = served.shared.step.run(&served.key, operations).await.into_iter();
        drop(permit);
        for reply in replies {
            let answer = answers.next().unwrap_or_else(|| Err(lost(S::OPERATION)));
            // A caller that left does not need it.
            drop(reply.send(answer));
        }
    }
}

/// A lane that a task serves. If the task ends before its time, with its runtime or by a panic,
/// whoever still waits is answered.
struct Served<S: LaneStep> {
    shared: Arc<Shared<S>>,
    key: S::Key,
    finished: bool,
}

impl<S: LaneStep> Drop for Served<S> {
    fn drop(&mut self) {
        if !self.finished {
            let left = self.shared.lock().abandon(&self.key);
            for item in left {
                drop(item.reply.send(Err(not_begun(S::OPERATION))));
            }
        }
        self.shared.ended.notify_waiters();
    }
}
