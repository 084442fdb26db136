//! Trials of concurrent callers on a store with which nothing is wrong.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use zaqar_core::{Capabilities, Capability, Clock, DataDriver, DisciplinedClock, ManualClock, Ttl};

use super::body::Tag;
use super::explain::{Exhibit, examine};
use super::history::{PageRead, QueueTag};
use super::ledger::Ledger;
use super::request::Request;
use super::shuffle::shuffled;
use super::verdict::Conclusion;
use super::worker::{Books, Direct, LEASE_S_MAX, Target, WorkQueue, Worker};
use super::workload::{Size, WorkQueues, Workload, claim_id, dealt, join};
use crate::case::Failure;
use crate::context::Context;
use crate::counts::Counts;
use crate::fault::plan::Swarm;
use crate::suite::{Budget, TrialEnd, TrialResult, TrialRun};

/// How far a ledger's own clock may be from a driver's that does not take the suite's.
const RESOLUTION_MS: i64 = 2_000;
/// A life that no trial outlasts.
pub(crate) const LONG_S: u64 = 1_000_000;

/// A namespace with one handle or more, and the books of a run on it.
pub(crate) struct Stage {
    pub(crate) context: Context,
    /// The handles beside the first.
    pub(crate) others: Vec<Context>,
    pub(crate) books: Arc<Books>,
    /// How far the handles' clocks may be apart.
    spread_ms: i64,
}

impl Stage {
    /// Opens a fresh namespace with `handles` handles under one clock.
    pub(crate) async fn open(
        run: &TrialRun,
        handles: usize,
        failures_expected: bool,
    ) -> Result<Self, Failure> {
        let context = run.context().await?;
        let mut others = Vec::new();
        for _ in 1..handles {
            others.push(context.second_handle().await?);
        }
        let clock = ledger_clock(&context.data.capabilities(), &context.clock);
        let books = Books::new(Ledger::new(run.seed, clock), failures_expected);
        Ok(Self { context, others, books, spread_ms: 0 })
    }

    /// Adds a handle with a clock of its own; no two clocks differ by more than `spread_ms`.
    pub(crate) async fn join(
        &mut self,
        own: Arc<dyn Clock>,
        spread_ms: i64,
    ) -> Result<Arc<dyn Target>, Failure> {
        let node = self.context.node(own).await?;
        let target = Direct(Arc::clone(&node.data));
        self.spread_ms = self.spread_ms.max(spread_ms);
        self.others.push(node);
        Ok(Arc::new(target))
    }

    /// The clock, if the driver takes it.
    pub(crate) fn clock(&self) -> Option<Arc<ManualClock>> {
        self.context.has(Capability::VirtualTime).then(|| Arc::clone(&self.context.clock))
    }

    /// The data planes of all handles.
    pub(crate) fn data(&self) -> impl Iterator<Item = &Arc<dyn DataDriver>> {
        std::iter::once(&self.context).chain(&self.others).map(|context| &context.data)
    }

    pub(crate) fn targets(&self) -> Vec<Arc<dyn Target>> {
        let direct =
            |data: &Arc<dyn DataDriver>| -> Arc<dyn Target> { Arc::new(Direct(Arc::clone(data))) };
        self.data().map(direct).collect()
    }

    /// The data plane of the handle that is worker `id`'s.
    pub(crate) fn data_of(&self, id: u32) -> Arc<dyn DataDriver> {
        let all: Vec<&Arc<dyn DataDriver>> = self.data().collect();
        Arc::clone(all.get(dealt(id, all.len())).map_or(&self.context.data, |data| *data))
    }

    /// A worker on one of the handles.
    pub(crate) fn worker(&self, id: u32) -> Worker {
        let target = Arc::new(Direct(self.data_of(id)));
        Worker { id, target, books: Arc::clone(&self.books) }
    }

    /// A worker on the first handle.
    pub(crate) fn first(&self) -> Worker {
        let target = Arc::new(Direct(Arc::clone(&self.context.data)));
        Worker { id: u32::MAX, target, books: Arc::clone(&self.books) }
    }

    pub(crate) async fn queue(&self, number: u32) -> Result<WorkQueue, Failure> {
        let queue = self.context.queue(&format!("work-{number}")).await?;
        Ok(WorkQueue { tag: QueueTag { queue: number, generation: 0 }, queue })
    }

    pub(crate) async fn queues(&self) -> Result<WorkQueues, Failure> {
        let claimed = vec![self.queue(0).await?, self.queue(1).await?];
        // Another tenant's, of the same name as the first of the others.
        let tenant = self.context.project("neighbour")?;
        let popped = WorkQueue {
            tag: QueueTag { queue: 2, generation: 0 },
            queue: self.context.queue_in(&tenant, "work-0").await?,
        };
        Ok(WorkQueues { claimed, popped, mortal: self.queue(3).await? })
    }

    /// Posts `count` messages in batches of at most ten, from one producer.
    pub(crate) async fn fill(&self, queue: &WorkQueue, count: u32) {
        let worker = self.worker(0);
        let sequences: Vec<u32> = (0..count).collect();
        for batch in sequences.chunks(10) {
            let run = self.books.ledger.run();
            let tag = |sequence: &u32| Tag { run, producer: 0, sequence: *sequence };
            let tags = batch.iter().map(tag).collect();
            worker.post(queue, tags, Ttl::from_secs_clamped(LONG_S), Ttl::ZERO).await;
        }
    }

    /// Empties the queue, closes the books and judges them.
    pub(crate) async fn finish(self, queues: &[WorkQueue]) -> TrialResult {
        let worker = self.first();
        for queue in queues {
            worker.drain(queue, self.clock().as_deref()).await?;
        }
        self.judge(Counts::none()).await
    }

    /// Closes the books, judges them, and removes the namespace.
    pub(crate) async fn judge(self, counts: Counts) -> TrialResult {
        let declared = self.context.data.capabilities();
        for other in &self.others {
            other.close().await;
        }
        self.context.wipe().await?;
        conclude(&self.books, &declared, self.spread_ms, &counts)
    }
}

/// Judges the books of a driver that declares `declared` and whose handles' clocks are at most
/// `spread_ms` apart; `counts` is what the trial counted beside them.
pub(crate) fn conclude(
    books: &Books,
    declared: &Capabilities,
    spread_ms: i64,
    counts: &Counts,
) -> TrialResult {
    let resolution_ms = if declared.has(Capability::VirtualTime) { 0 } else { RESOLUTION_MS };
    let history = books.ledger.history(resolution_ms + spread_ms, declared.has(Capability::Fifo));
    let (verdict, exhibit) = examine(&history);
    let conclusion = verdict.conclusion();
    if conclusion != Conclusion::Broken {
        // What the books show says more than an answer that nobody can explain.
        books.check()?;
    }
    match conclusion {
        Conclusion::Clean => Ok(TrialEnd::Passed { counts: verdict.counts().and(counts) }),
        Conclusion::Broken => {
            let told = exhibit.as_ref().map(Exhibit::summary).unwrap_or_default();
            Err(Failure::broken(format!("{told}\n{verdict}")).showing(exhibit))
        }
        Conclusion::Inconclusive(reason) => Err(Failure::inconclusive(reason)),
    }
}

/// The clock of a run's ledger: the one that the driver was given, if it takes it.
pub(crate) fn ledger_clock(declared: &Capabilities, manual: &Arc<ManualClock>) -> Arc<dyn Clock> {
    if declared.has(Capability::VirtualTime) {
        Arc::<ManualClock>::clone(manual)
    } else {
        Arc::new(DisciplinedClock::from_system())
    }
}

/// By how much a budget multiplies what a smoke run does.
pub(crate) fn scale(budget: Budget) -> u32 {
    match budget {
        Budget::Smoke => 1,
        Budget::Standard => 5,
        Budget::Soak => 50,
    }
}

pub(super) async fn many_producers_many_claimers(run: TrialRun) -> TrialResult {
    let size = Size { producers: 4, posts_each: 80 * scale(run.budget), claimers: 4 };
    many(run, 2, size).await
}

pub(super) async fn three_handles_on_one_namespace(run: TrialRun) -> TrialResult {
    let size = Size { producers: 6, posts_each: 40 * scale(run.budget), claimers: 6 };
    many(run, 3, size).await
}

async fn many(run: TrialRun, handles: usize, size: Size) -> TrialResult {
    let stage = Stage::open(&run, handles, false).await?;
    let workload = Workload {
        seed: run.seed,
        workers_from: 0,
        size,
        swarm: Swarm::ALL,
        queues: stage.queues().await?,
        targets: stage.targets(),
        books: Arc::clone(&stage.books),
        clock: stage.clock(),
    };
    workload.run().await?;
    stage.judge(Counts::none()).await
}

pub(super) async fn marker_readers_step_over_nothing(run: TrialRun) -> TrialResult {
    let stage = Stage::open(&run, 3, false).await?;
    let queues = [stage.queue(0).await?, stage.queue(1).await?];
    let [at_once, in_turn] = &queues;
    // Once on all threads of the machine, and once in an order that the seed decides.
    let mut tasks = JoinSet::new();
    for task in posting_and_reading(&stage, &run, at_once, 0) {
        tasks.spawn(task);
    }
    join(&mut tasks).await?;
    let tasks = posting_and_reading(&stage, &run, in_turn, 100);
    shuffled(StdRng::seed_from_u64(run.seed), tasks).await;
    for queue in &queues {
        stage.worker(0).walk(queue, 100, true).await?;
    }
    stage.judge(Counts::none()).await
}

/// Six producers, and four readers that follow the markers until the producers are done.
fn posting_and_reading(
    stage: &Stage,
    run: &TrialRun,
    queue: &WorkQueue,
    workers_from: u32,
) -> Vec<BoxFuture<'static, ()>> {
    let (alive, producing) = watch::channel(());
    let alive = Arc::new(alive);
    let posts = 30 * scale(run.budget);
    let mut tasks: Vec<BoxFuture<'static, ()>> = Vec::new();
    for nth in 0..10_u32 {
        let worker = stage.worker(workers_from + nth);
        let rng = StdRng::seed_from_u64(run.seed ^ u64::from(nth));
        let queue = queue.clone();
        if nth < 6 {
            let alive = Arc::clone(&alive);
            tasks.push(Box::pin(produce_steadily(worker, queue, rng, posts, alive)));
        } else {
            // Every other reader reads the default listing: nothing is claimed or delayed here.
            let include = nth.is_multiple_of(2);
            tasks.push(Box::pin(read_along(worker, queue, rng, include, producing.clone())));
        }
    }
    tasks
}

/// Posts batch after batch; `alive` is dropped with the last producer.
pub(super) async fn produce_steadily(
    worker: Worker,
    queue: WorkQueue,
    mut rng: StdRng,
    posts: u32,
    alive: Arc<watch::Sender<()>>,
) {
    let (run, producer) = (worker.books.ledger.run(), worker.id);
    let mut sequence = 0;
    for _ in 0..posts {
        let count = rng.random_range(1..=10);
        let tags = (sequence..sequence + count).map(|sequence| Tag { run, producer, sequence });
        sequence += count;
        worker.post(&queue, tags.collect(), Ttl::from_secs_clamped(LONG_S), Ttl::ZERO).await;
    }
    drop(alive);
}

/// Follows the markers without a pause until the producers are done and nothing more comes.
async fn read_along(
    worker: Worker,
    queue: WorkQueue,
    mut rng: StdRng,
    include: bool,
    producing: watch::Receiver<()>,
) {
    let walk = worker.books.ledger.next_walk();
    let (mut marker, mut first) = (None, true);
    loop {
        let done = producing.has_changed().is_err();
        let read = PageRead { walk, first, everything: true, last_look: false };
        let limit = rng.random_range(1..=20);
        let Some((seen, next)) = worker.page(&queue, read, include, marker, limit).await else {
            return;
        };
        first = false;
        if seen.is_empty() && done {
            return;
        }
        marker = next.or(marker);
        tokio::task::yield_now().await;
    }
}

pub(super) async fn claims_are_exclusive(run: TrialRun) -> TrialResult {
    let stage = Stage::open(&run, 3, false).await?;
    let queue = stage.queue(0).await?;
    let count = 400 * scale(run.budget);
    stage.fill(&queue, count).await;
    let barrier = Arc::new(Barrier::new(8));
    let mut claimers = JoinSet::new();
    for id in 0..8 {
        let (worker, queue, barrier) = (stage.worker(id), queue.clone(), Arc::clone(&barrier));
        let mut rng = StdRng::seed_from_u64(run.seed ^ u64::from(id));
        claimers.spawn(async move {
            barrier.wait().await;
            // One more than there are messages: a driver that gives them out twice never ends.
            for _ in 0..=count {
                let claim = claim_id(&mut rng);
                let limit = rng.random_range(1..=9);
                if worker.claim(&queue, claim, LEASE_S_MAX, limit).await.is_empty() {
                    return;
                }
            }
        });
    }
    join(&mut claimers).await?;
    stage.finish(&[queue]).await
}

pub(super) async fn delete_races_release(run: TrialRun) -> TrialResult {
    let stage = Stage::open(&run, 3, false).await?;
    let queue = stage.queue(0).await?;
    let rounds = 60 * scale(run.budget);
    stage.fill(&queue, rounds).await;
    let mut rng = StdRng::seed_from_u64(run.seed);
    for _ in 0..rounds {
        let claim = claim_id(&mut rng);
        let seen = stage.worker(0).claim(&queue, claim, LEASE_S_MAX, 1).await;
        let Some(id) = seen.first().map(|seen| seen.id) else { break };
        let barrier = Arc::new(Barrier::new(3));
        let mut racers = JoinSet::new();
        let requests = [Request::Delete { id, claim: Some(claim) }, Request::Release { claim }];
        for (worker, request) in (0..).zip(requests) {
            let (worker, queue, barrier) =
                (stage.worker(worker), queue.clone(), Arc::clone(&barrier));
            // Whoever is released from the barrier first would else win nearly every round.
            let head_start = rng.random_range(0..4);
            racers.spawn(async move {
                barrier.wait().await;
                for _ in 0..head_start {
                    tokio::task::yield_now().await;
                }
                worker.note(&queue, request).await;
            });
        }
        let (worker, queue, next) = (stage.worker(2), queue.clone(), claim_id(&mut rng));
        racers.spawn(async move {
            barrier.wait().await;
            let seen = worker.claim(&queue, next, LEASE_S_MAX, 1).await;
            if !seen.is_empty() {
                worker.note(&queue, Request::Release { claim: next }).await;
            }
        });
        join(&mut racers).await?;
    }
    stage.finish(&[queue]).await
}
