//! A fair gate: so many operations at a time, one of each project in turn.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use zaqar_core::{Error, ProjectId, Result};

use crate::answer::{closed, lost};
use crate::detach::Detach;

/// Whose operation it is; `None` is housekeeping, which waits like one more project.
pub type Party = Option<ProjectId>;

/// Lets a limited number of operations through at a time, round robin among their projects, so that
/// a project that floods the store waits behind itself.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    /// Told whenever the last operation left.
    idle: Notify,
    /// Told whenever what a caller had abandoned is done.
    settled: Notify,
    /// How many may be inside.
    places: usize,
    /// How many of one project may wait.
    waiting_max: usize,
}

#[derive(Debug)]
struct State {
    free: usize,
    waiting: HashMap<Party, VecDeque<oneshot::Sender<Permit>>>,
    /// Parties with somebody waiting, in the order of their turns.
    turns: VecDeque<Party>,
    /// What callers have abandoned and is not done yet.
    abandoned: HashMap<Party, usize>,
    closed: bool,
}

impl State {
    /// Whether something of that party, or of housekeeping, was abandoned and is not done yet.
    fn is_settling(&self, party: &Party) -> bool {
        !self.abandoned.is_empty()
            && (self.abandoned.contains_key(party) || self.abandoned.contains_key(&None))
    }

    /// The next one to be let in, of the party whose turn it is.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        while let Some(party) = self.turns.pop_front() {
            let Some(queue) = self.waiting.get_mut(&party) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&party);
            } else {
                self.turns.push_back(party);
            }
            if next.is_some() {
                return next;
            }
        }
        None
    }
}

/// A place inside; dropping it lets the next one in.
#[derive(Debug)]
pub struct Permit {
    /// `None` once the place was handed on.
    gate: Option<Arc<Gate>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.leave();
        }
    }
}

/// Work that goes on without its caller.
struct Abandoned {
    gate: Arc<Gate>,
    party: Party,
}

impl Abandoned {
    fn by(gate: Arc<Gate>, party: Party) -> Self {
        *gate.lock().abandoned.entry(party.clone()).or_insert(0) += 1;
        Self { gate, party }
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if let Some(count) = state.abandoned.get_mut(&self.party) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                state.abandoned.remove(&self.party);
            }
        }
        drop(state);
        self.gate.settled.notify_waiters();
    }
}

impl Gate {
    /// A gate with so many places; so many of one project may wait.
    #[must_use]
    pub fn new(places: usize, waiting_max: usize) -> Arc<Self> {
        let state = State {
            free: places,
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            abandoned: HashMap::new(),
            closed: false,
        };
        let (idle, settled) = (Notify::new(), Notify::new());
        Arc::new(Self { state: Mutex::new(state), idle, settled, places, waiting_max })
    }

    /// Waits for a place. What a caller of that party abandoned before comes to its end first, so
    /// that nobody's second try overtakes the first.
    ///
    /// # Errors
    /// `Overloaded` if too much of that party waits; `Backend`, effect `None`, once closed.
    ///
    /// # Cancellation
    /// Whoever stops waiting gives up its turn; nothing is left behind.
    pub async fn enter(self: &Arc<Self>, party: &Party, operation: &'static str) -> Result<Permit> {
        let turn = {
            let mut state = self.lock();
            if state.closed {
                return Err(closed(operation));
            }
            let waiting = state.waiting.get(party).map_or(0, VecDeque::len);
            if waiting >= self.waiting_max {
                return Err(Error::Overloaded);
            }
            match self.place_or_turn(&mut state, party) {
                Ok(permit) if !state.is_settling(party) => return Ok(permit),
                Ok(permit) => Ok(permit),
                Err(turn) => Err(turn),
            }
        };
        let turn = match turn {
            Ok(permit) => {
                self.settle(party).await;
                return Ok(permit);
            }
            Err(turn) => turn,
        };
        let permit = turn.await.map_err(|_| closed(operation))?;
        self.settle(party).await;
        Ok(permit)
    }

    /// Waits for a place on behalf of what was accepted before: it is refused no more. `None` only
    /// if the gate itself is gone.
    pub(crate) async fn admit(self: &Arc<Self>, party: &Party) -> Option<Permit> {
        let turn = self.place_or_turn(&mut self.lock(), party);
        let permit = match turn {
            Ok(permit) => permit,
            Err(turn) => turn.await.ok()?,
        };
        self.settle(party).await;
        Some(permit)
    }

    /// Waits until nothing abandoned of that party is under way. What was abandoned has a place of
    /// its own already, so this ends.
    async fn settle(&self, party: &Party) {
        loop {
            let settled = self.settled.notified();
            if !self.lock().is_settling(party) {
                return;
            }
            settled.await;
        }
    }

    /// Waits for a place, then does `work`, which is finished whether or not its caller still waits:
    /// if the caller leaves in the middle, a task of its own goes on with it. A caller that left
    /// before its turn has its work dropped, not begun.
    ///
    /// # Errors
    /// As [`Self::enter`], and whatever `work` answers; `Backend`, effect `Unknown`, if it panicked.
    pub async fn run<T, F>(
        self: &Arc<Self>,
        party: &Party,
        operation: &'static str,
        work: F,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        self.run_heard(party, operation, work, |_| std::future::ready(())).await
    }

    /// As [`Self::run`]; what was done for a caller that left meanwhile is handed to `unheard`,
    /// which still has the place.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub async fn run_heard<T, F, U>(
        self: &Arc<Self>,
        party: &Party,
        operation: &'static str,
        work: F,
        unheard: impl FnOnce(T) -> U + Send + 'static,
    ) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
        U: Future<Output = ()> + Send + 'static,
    {
        let permit = self.enter(party, operation).await?;
        let kept = async move { (work.await, permit) };
        let (gate, party) = (Arc::clone(self), party.clone());
        let leave = move |kept: Pin<Box<_>>| {
            // Counted at once: whatever the caller does next comes after it.
            let abandoned = Abandoned::by(gate, party);
            async move {
                let (answer, permit): (Result<T>, Permit) = kept.await;
                if let Ok(done) = answer {
                    unheard(done).await;
                }
                drop((abandoned, permit));
            }
        };
        match Detach::new(kept, leave).await {
            Some((answer, _)) => answer,
            None => Err(lost(operation)),
        }
    }

    /// Lets nobody else in, and waits until everybody who was accepted has left.
    pub async fn close(&self) {
        self.lock().closed = true;
        loop {
            let left = self.idle.notified();
            if self.lock().free == self.places {
                return;
            }
            left.await;
        }
    }

    fn place_or_turn(
        self: &Arc<Self>,
        state: &mut State,
        party: &Party,
    ) -> Result<Permit, oneshot::Receiver<Permit>> {
        // While somebody waits no place is free: whoever leaves hands it on.
        if state.free > 0 {
            state.free -= 1;
            return Ok(Permit { gate: Some(Arc::clone(self)) });
        }
        let (reply, turn) = oneshot::channel();
        match state.waiting.get_mut(party) {
            Some(queue) => queue.push_back(reply),
            None => {
                state.waiting.insert(party.clone(), VecDeque::from([reply]));
                state.turns.push_back(party.clone());
            }
        }
        Err(turn)
    }

    /// Hands the place on to the next who still waits.
    fn leave(self: Arc<Self>) {
        let mut permit = Permit { gate: Some(Arc::clone(&self)) };
        loop {
            let next = {
                let mut state = self.lock();
                let next = state.next();
                if next.is_none() {
                    state.free += 1;
                    permit.gate = None;
                }
                next
            };
            let Some(next) = next else { break };
            match next.send(permit) {
                Ok(()) => return,
                // That one stopped waiting.
                Err(unused) => permit = unused,
            }
        }
        self.idle.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the queues are whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
