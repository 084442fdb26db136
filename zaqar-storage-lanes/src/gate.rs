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
    closed: bool,
}

impl State {
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

impl Gate {
    /// A gate with so many places; so many of one project may wait.
    #[must_use]
    pub fn new(places: usize, waiting_max: usize) -> Arc<Self> {
        let state =
            State { free: places, waiting: HashMap::new(), turns: VecDeque::new(), closed: false };
        Arc::new(Self { state: Mutex::new(state), idle: Notify::new(), places, waiting_max })
    }

    /// Waits for a place.
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
                Ok(permit) => return Ok(permit),
                Err(turn) => turn,
            }
        };
        turn.await.map_err(|_| closed(operation))
    }

    /// Waits for a place on behalf of what was accepted before: it is refused no more. `None` only
    /// if the gate itself is gone.
    pub(crate) async fn admit(self: &Arc<Self>, party: &Party) -> Option<Permit> {
        let turn = match self.place_or_turn(&mut self.lock(), party) {
            Ok(permit) => return Some(permit),
            Err(turn) => turn,
        };
        turn.await.ok()
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
        let leave = move |kept: Pin<Box<_>>| async move {
            let (answer, permit): (Result<T>, Permit) = kept.await;
            if let Ok(done) = answer {
                unheard(done).await;
            }
            drop(permit);
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
mod tests {
    use super::*;

    fn party(name: &str) -> Party {
        Some(ProjectId::new(name).unwrap())
    }

    #[tokio::test]
    async fn a_project_that_floods_waits_behind_itself() {
        let gate = Gate::new(1, 100);
        let inside = gate.enter(&party("flood"), "test").await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = tokio::task::JoinSet::new();
        let ask = |name: &'static str| {
            let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            async move {
                let permit = gate.enter(&party(name), "test").await.unwrap();
                order.lock().unwrap().push(name);
                drop(permit);
            }
        };
        for _ in 0..5 {
            tasks.spawn(ask("flood"));
        }
        tasks.spawn(ask("calm"));
        // Single-threaded: each task runs up to its wait before this goes on.
        tokio::task::yield_now().await;
        drop(inside);
        while tasks.join_next().await.is_some() {}
        let order = order.lock().unwrap().clone();
        assert_eq!(order.iter().position(|name| *name == "calm"), Some(1), "{order:?}");
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_no_hole_and_a_full_queue_pushes_back() {
        let gate = Gate::new(1, 1);
        let inside = gate.enter(&None, "test").await.unwrap();
        let mut waiting = Box::pin(gate.enter(&None, "test"));
        assert!(futures_poll(&mut waiting).await.is_none());
        assert!(matches!(gate.enter(&None, "test").await, Err(Error::Overloaded)));
        drop(waiting);
        drop(inside);
        drop(gate.enter(&None, "test").await.unwrap());
        gate.close().await;
        let refused = gate.enter(&None, "test").await.unwrap_err();
        assert_eq!(refused.effect(), zaqar_core::Effect::None);
    }

    #[tokio::test]
    async fn work_whose_caller_left_is_finished_and_its_answer_is_not_lost() {
        let gate = Gate::new(1, 1);
        let (begun, has_begun) = oneshot::channel();
        let (go, gone) = oneshot::channel::<()>();
        let (told, unheard) = oneshot::channel();
        let work = async move {
            begun.send(()).unwrap();
            gone.await.unwrap();
            Ok(7)
        };
        let gate_of_task = Arc::clone(&gate);
        let caller = tokio::spawn(async move {
            let tell = |answer| async move { told.send(answer).unwrap() };
            gate_of_task.run_heard(&None, "test", work, tell).await
        });
        has_begun.await.unwrap();
        caller.abort();
        assert!(caller.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        assert_eq!(unheard.await.unwrap(), 7);
        gate.close().await;
    }

    #[tokio::test]
    async fn work_that_panics_is_answered_and_frees_its_place() {
        let gate = Gate::new(1, 1);
        let work = async {
            if tokio::runtime::Handle::try_current().is_ok() {
                panic!("planted");
            }
            Ok(())
        };
        let error = gate.run(&None, "test", work).await.unwrap_err();
        assert_eq!(error.effect(), zaqar_core::Effect::Unknown);
        gate.close().await;
    }

    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! {
            biased;
            output = future => Some(output),
            () = std::future::ready(()) => None,
        }
    }
}
