//! Where operations wait for the writer: one bounded queue per project, served round robin.
//!
//! A project that floods the store fills its own queue and is pushed back; the others' operations
//! still enter every batch. Housekeeping waits in a lane of its own, like one more project.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use zaqar_core::{Error, ProjectId};

use crate::error::closed;

use super::posts::Post;
use super::removals::Removal;
use super::takes::Take;
use super::task::WaitingTask;

/// Operations of one project that may wait.
const WAITING_PER_LANE_MAX: usize = 4_096;
/// Rows that one batch may touch; a single operation is always taken.
const BATCH_ROWS_MAX: usize = 1_000;
/// Bytes of bodies that one batch may write; a single operation is always taken.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// Whose operation it is; `None` is housekeeping.
pub(crate) type Lane = Option<ProjectId>;

/// What waits for the writer. The first three are hot: a batch executes all of a kind together.
pub(crate) enum Operation {
    /// A post.
    Post(Box<Post>),
    /// A claim or a pop.
    Take(Box<Take>),
    /// A delete, of one or many.
    Removal(Box<Removal>),
    /// Anything else.
    Task(Box<dyn WaitingTask>),
}

impl Operation {
    /// Whether nobody waits for it any more: then it is not begun (G16).
    pub(crate) fn is_abandoned(&self) -> bool {
        match self {
            Self::Post(post) => post.reply.is_closed(),
            Self::Take(take) => take.is_abandoned(),
            Self::Removal(removal) => removal.reply.is_closed(),
            Self::Task(task) => task.is_abandoned(),
        }
    }

    /// Answers with an error of ours: it was not begun.
    pub(crate) fn refuse(self, make: &dyn Fn(&'static str) -> Error) {
        match self {
            Self::Post(post) => post.refuse(make),
            Self::Take(take) => take.refuse(make),
            Self::Removal(removal) => removal.refuse(make),
            Self::Task(task) => task.refuse(make),
        }
    }

    fn rows(&self) -> usize {
        match self {
            Self::Post(post) => post.messages.len(),
            Self::Take(take) => take.limit.as_usize(),
            Self::Removal(removal) => removal.ids.len(),
            Self::Task(_) => 1,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Post(post) => post.messages.iter().map(|message| message.body.len()).sum(),
            _ => 0,
        }
    }
}

#[derive(Default)]
struct State {
    lanes: HashMap<Lane, VecDeque<Operation>>,
    /// Lanes with something in them, in the order of their turns.
    turns: VecDeque<Lane>,
    /// Operations of projects so far, housekeeping not counted.
    asked: u64,
    closed: bool,
}

/// The waiting room.
#[derive(Default)]
pub(crate) struct Intake {
    state: Mutex<State>,
    arrived: Notify,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    /// Adds an operation, or answers it at once when its lane is full or the store is closed.
    pub(crate) fn push(&self, lane: Lane, operation: Operation) {
        let refused = {
            let mut state = self.lock();
            if state.closed {
                Some((operation, true))
            } else {
                state.asked += u64::from(lane.is_some());
                enqueue(&mut state, lane, operation, WAITING_PER_LANE_MAX)
                    .map(|operation| (operation, false))
            }
        };
        match refused {
            None => self.arrived.notify_one(),
            Some((operation, true)) => operation.refuse(&closed),
            Some((operation, false)) => operation.refuse(&|_| Error::Overloaded),
        }
    }

    /// Puts back what the writer could not finish in one step; it was accepted already.
    pub(crate) fn push_back(&self, lane: Lane, operation: Operation) {
        let overflow = enqueue(&mut self.lock(), lane, operation, usize::MAX);
        debug_assert!(overflow.is_none(), "an unbounded lane takes everything");
        self.arrived.notify_one();
    }

    /// How many operations projects have asked for so far.
    pub(crate) fn asked(&self) -> u64 {
        self.lock().asked
    }

    /// Lets nothing more in; what waits is still served.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Waits for operations and takes up to a batch of them, one of each lane in turn. `None` once
    /// closed and empty.
    pub(crate) async fn next_batch(&self) -> Option<Vec<Operation>> {
        loop {
            {
                let mut state = self.lock();
                let batch = take_batch(&mut state);
                if !batch.is_empty() {
                    return Some(batch);
                }
                if state.closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; if something did, the queues are whole all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn enqueue(
    state: &mut State,
    lane: Lane,
    operation: Operation,
    waiting_max: usize,
) -> Option<Operation> {
    let State { lanes, turns, .. } = state;
    if let Some(waiting) = lanes.get_mut(&lane) {
        if waiting.len() >= waiting_max {
            return Some(operation);
        }
        waiting.push_back(operation);
    } else {
        turns.push_back(lane.clone());
        lanes.insert(lane, VecDeque::from([operation]));
    }
    None
}

fn take_batch(state: &mut State) -> Vec<Operation> {
    let mut batch = Vec::new();
    let (mut rows, mut bytes) = (0_usize, 0_usize);
    while let Some(lane) = state.turns.pop_front() {
        let Some(waiting) = state.lanes.get_mut(&lane) else { continue };
        let Some(operation) = waiting.pop_front() else {
            state.lanes.remove(&lane);
            continue;
        };
        rows = rows.saturating_add(operation.rows());
        bytes = bytes.saturating_add(operation.bytes());
        let full = rows > BATCH_ROWS_MAX || bytes > BATCH_BYTES_MAX;
        if full && !batch.is_empty() {
            waiting.push_front(operation);
            state.turns.push_front(lane);
            break;
        }
        batch.push(operation);
        if waiting.is_empty() {
            state.lanes.remove(&lane);
        } else {
            state.turns.push_back(lane);
        }
        if full {
            break;
        }
    }
    batch
}
