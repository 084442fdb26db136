//! A seeded workload: producers, claimers, poppers, readers and walkers on several queues at once.
//!
//! Everything that is left to chance comes from the seed, except the order in which the machine
//! runs the tasks.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zaqar_core::{ClaimId, ManualClock, MessageId};

use super::claimer;
use super::history::PageRead;
use super::producer;
use super::worker::{Target, WorkQueue, Worker};
use crate::case::Failure;
use crate::fault::plan::Swarm;
use crate::loss::worker::Books;

/// How much a workload does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) producers: u32,
    pub(crate) posts_each: u32,
    pub(crate) claimers: u32,
}

/// How far the producers are; who waits for messages waits for it to change.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Progress {
    pub(crate) posts: u32,
    pub(crate) done: bool,
}

/// The queues of a workload, each for one kind of use.
#[derive(Debug, Clone)]
pub(crate) struct WorkQueues {
    /// Claimed from.
    pub(crate) claimed: Vec<WorkQueue>,
    /// Popped from, which loses what an answer loses (G14), so nothing else reads there.
    pub(crate) popped: WorkQueue,
    /// Holds messages that expire during the run.
    pub(crate) mortal: WorkQueue,
}

impl WorkQueues {
    pub(crate) fn all(&self) -> Vec<WorkQueue> {
        let others = [self.popped.clone(), self.mortal.clone()];
        self.claimed.iter().cloned().chain(others).collect()
    }
}

/// A workload, ready to run.
pub(crate) struct Workload {
    pub(crate) seed: u64,
    /// The number of the first worker: no two workers of a run share one.
    pub(crate) workers_from: u32,
    pub(crate) size: Size,
    pub(crate) swarm: Swarm,
    pub(crate) queues: WorkQueues,
    /// The handles; workers are dealt to them in turn.
    pub(crate) targets: Vec<Arc<dyn Target>>,
    pub(crate) books: Arc<Books>,
    /// The storage clock, if it can be turned.
    pub(crate) clock: Option<Arc<ManualClock>>,
}

/// A task of the workload: its worker, its dice, its view of the producers.
pub(crate) struct Task {
    pub(crate) worker: Worker,
    /// The same caller at another handle, if there is one.
    pub(crate) elsewhere: Worker,
    pub(crate) rng: StdRng,
    pub(crate) queues: WorkQueues,
    pub(crate) swarm: Swarm,
    pub(crate) progress: watch::Receiver<Progress>,
    /// How often a consumer asks for messages at most.
    pub(crate) rounds_max: u32,
    /// Whether leases may be left to their end: only where time can be turned.
    pub(crate) lapses: bool,
}

impl Task {
    /// Waits until more was posted; `false` once the producers are done.
    pub(crate) async fn more(&mut self) -> bool {
        if self.progress.borrow().done {
            return false;
        }
        self.progress.changed().await.is_ok()
    }

    pub(crate) fn pick_queue(&mut self) -> WorkQueue {
        let all = self.queues.all();
        let nth = self.rng.random_range(0..all.len());
        all.into_iter().nth(nth).unwrap_or_else(|| self.queues.popped.clone())
    }
}

impl Workload {
    /// Runs all tasks to their ends, then empties every queue.
    pub(crate) async fn run(self) -> Result<usize, Failure> {
        self.work().await?;
        self.empty(&self.worker(0, 0)?).await
    }

    /// Empties every queue with a worker whose calls do not fail.
    pub(crate) async fn empty(&self, worker: &Worker) -> Result<usize, Failure> {
        let mut drained = 0;
        for queue in self.queues.all() {
            drained += worker.drain(&queue, self.clock.as_deref()).await?;
        }
        self.books.check()?;
        Ok(drained)
    }

    /// Runs all tasks to their ends.
    pub(crate) async fn work(&self) -> Result<(), Failure> {
        let (sender, progress) = watch::channel(Progress::default());
        let sender = Arc::new(sender);
        let mut consumers = JoinSet::new();
        let mut number = self.workers_from + self.size.producers;
        for nth in 0..self.size.claimers {
            consumers.spawn(claimer::run(self.task(number + nth, &progress)?));
        }
        number += self.size.claimers;
        let roles = [(self.swarm.pops, Role::Pop), (self.swarm.walks, Role::Walk)];
        let roles = roles.into_iter().chain([(self.swarm.follows, Role::Follow)]);
        for (nth, (_, role)) in (0..).zip(roles.filter(|(wanted, _)| *wanted)) {
            consumers.spawn(role.run(self.task(number + nth, &progress)?));
        }
        let mut producers = JoinSet::new();
        for nth in 0..self.size.producers {
            let task = self.task(self.workers_from + nth, &progress)?;
            producers.spawn(producer::run(task, self.size.posts_each, Arc::clone(&sender)));
        }
        let mut timekeeper = JoinSet::new();
        if let Some(clock) = &self.clock {
            timekeeper.spawn(keep_time(self.task(number + 9, &progress)?, Arc::clone(clock)));
        }
        join(&mut producers).await?;
        sender.send_modify(|progress| progress.done = true);
        join(&mut consumers).await?;
        join(&mut timekeeper).await
    }

    /// Worker `id` at the handle that is dealt to it, or so many further.
    fn worker(&self, id: u32, further: u32) -> Result<Worker, Failure> {
        let nth = dealt(id.wrapping_add(further), self.targets.len());
        let target = self.targets.get(nth).map(Arc::clone);
        let target = target.ok_or_else(|| Failure::broken("a workload without a handle"))?;
        Ok(Worker { id, target, books: Arc::clone(&self.books) })
    }

    fn task(&self, id: u32, progress: &watch::Receiver<Progress>) -> Result<Task, Failure> {
        Ok(Task {
            worker: self.worker(id, 0)?,
            elsewhere: self.worker(id, 1)?,
            rng: StdRng::seed_from_u64(self.seed ^ (u64::from(id) << 40)),
            queues: self.queues.clone(),
            swarm: self.swarm,
            progress: progress.clone(),
            rounds_max: 2 * self.size.producers * self.size.posts_each,
            lapses: self.clock.is_some(),
        })
    }
}

/// The handle, among so many, that is dealt to worker `id`.
pub(crate) fn dealt(id: u32, handles: usize) -> usize {
    usize::try_from(id).unwrap_or(0).checked_rem(handles).unwrap_or(0)
}

/// Awaits every task; a panic in one is the driver's, and breaks the trial.
pub(crate) async fn join<T: 'static>(tasks: &mut JoinSet<T>) -> Result<(), Failure> {
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|error| Failure::broken(format!("a task of the workload died: {error}")))?;
    }
    Ok(())
}

/// What a consumer that is no claimer does.
#[derive(Debug, Clone, Copy)]
enum Role {
    Pop,
    Walk,
    Follow,
}

impl Role {
    async fn run(self, task: Task) {
        match self {
            Self::Pop => pop(task).await,
            Self::Walk => walk(task).await,
            Self::Follow => follow(task).await,
        }
    }
}

async fn pop(mut task: Task) {
    let queue = task.queues.popped.clone();
    for _ in 0..task.rounds_max {
        let limit = task.rng.random_range(1..=5);
        let request = super::request::Request::Pop { limit };
        let popped = task.worker.call(&queue, request).await;
        let empty = popped.map_or(true, |reply| reply.into_seen().is_empty());
        if empty && !task.more().await {
            return;
        }
    }
}

/// Walks queues from their start, and asks for some of what it met by id.
async fn walk(mut task: Task) {
    loop {
        let queue = task.pick_queue();
        let limit = task.rng.random_range(1..=50);
        let met = match task.worker.walk(&queue, limit, false).await {
            Ok(met) => met,
            Err(failure) => return task.worker.books.surprise(failure.evidence),
        };
        if !met.is_empty() {
            let nth = task.rng.random_range(0..met.len());
            if let Some(seen) = met.get(nth) {
                let request = super::request::Request::Get { id: seen.id };
                task.worker.note(&queue, request).await;
                try_elsewhere(&mut task, &queue, seen.id).await;
            }
        }
        task.worker.note(&queue, super::request::Request::Count).await;
        if !task.more().await {
            return;
        }
    }
}

/// Reads and deletes a message of `queue` through another queue, to which its id means nothing.
async fn try_elsewhere(task: &mut Task, queue: &WorkQueue, id: MessageId) {
    let other = task.pick_queue();
    if other.tag != queue.tag {
        task.worker.note(&other, super::request::Request::Get { id }).await;
        task.worker.note(&other, super::request::Request::Delete { id, claim: None }).await;
    }
}

/// Follows one queue by its markers until the producers are done and nothing more comes.
async fn follow(mut task: Task) {
    let Some(queue) = task.queues.claimed.first().cloned() else { return };
    let walk = task.worker.books.ledger.next_walk();
    let (mut marker, mut first) = (None, true);
    loop {
        let read = PageRead { walk, first, everything: true, last_look: false };
        let limit = task.rng.random_range(1..=20);
        let done = task.progress.borrow().done;
        // A failed read is repeated from the same place.
        let page = task.worker.page(&queue, read, true, marker, limit).await;
        let empty = page.as_ref().is_none_or(|(seen, _)| seen.is_empty());
        if let Some((_, next)) = page {
            first = false;
            marker = next.or(marker);
        }
        if empty && done {
            return;
        }
        if empty {
            task.more().await;
        }
    }
}

/// Lets time pass between posts, and has the background work done.
async fn keep_time(mut task: Task, clock: Arc<ManualClock>) {
    while task.more().await {
        if task.rng.random_bool(0.3) {
            clock.advance(Duration::from_millis(task.rng.random_range(100..4_000)));
        }
        if task.rng.random_bool(0.1) {
            task.worker.tend().await;
        }
    }
}

/// A claim that nobody made before, from the task's dice.
pub(crate) fn claim_id(rng: &mut StdRng) -> ClaimId {
    ClaimId::from_u128(rng.random())
}
