//! A workload on a backend that is about to be broken, and what is asked of the driver afterwards.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use zaqar_core::{DataDriver, Error, Health, ManualClock};

use super::gauge::Gauge;
use crate::case::Failure;
use crate::counts::Counts;
use crate::fault::plan::Swarm;
use crate::loss::Stage;
use crate::loss::history::{Answer, Outcome, PageRead};
use crate::loss::request::Request;
use crate::loss::worker::{Direct, Target, WorkQueue, Worker};
use crate::loss::workload::{Size, WorkQueues, Workload};
use crate::suite::{Budget, TrialResult, TrialRun};

/// The workload of one cycle.
fn size(budget: Budget) -> Size {
    let posts_each = if budget == Budget::Smoke { 24 } else { 40 };
    Size { producers: 4, posts_each, claimers: 3 }
}

/// How often a driver is asked how it is before it must have found its way back, and how long is
/// waited between: half a minute.
const TRIES: u32 = 150;
const PAUSE: Duration = Duration::from_millis(200);

/// A namespace on a backend of its own, with two handles.
pub(super) struct Ring {
    pub(super) stage: Stage,
    pub(super) gauge: Arc<Gauge>,
    pub(super) rng: StdRng,
    size: Size,
    queues: WorkQueues,
    workers: u32,
    complaint: Option<Failure>,
}

impl Ring {
    pub(super) async fn open(run: &TrialRun) -> Result<Self, Failure> {
        let stage = Stage::open(run, 2, true).await?;
        let queues = stage.queues().await?;
        let rng = StdRng::seed_from_u64(run.seed);
        let size = size(run.budget);
        Ok(Self { stage, gauge: Gauge::new(), rng, size, queues, workers: 0, complaint: None })
    }

    pub(super) fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.stage.context.clock)
    }

    /// How many posts there are to be before a fault strikes the coming cycle.
    pub(super) fn moment(&mut self) -> u64 {
        self.gauge.tally().posts + self.rng.random_range(1..=self.posts() / 2)
    }

    /// How many posts there are in a cycle.
    pub(super) fn posts(&self) -> u64 {
        u64::from(self.size.producers * self.size.posts_each)
    }

    /// The workload of the next cycle.
    pub(super) fn workload(&mut self) -> Workload {
        let around = |target| self.gauge.around(target);
        let targets = self.stage.targets().into_iter().map(around).collect();
        let workers_from = self.workers;
        self.workers += 100;
        Workload {
            seed: self.rng.random(),
            workers_from,
            size: self.size,
            swarm: Swarm::ALL,
            queues: self.queues.clone(),
            targets,
            books: Arc::clone(&self.stage.books),
            clock: self.stage.clock(),
        }
    }

    /// Keeps what is wrong with the driver for the end: if messages are lost, that says more.
    pub(super) fn complain(&mut self, complaint: Failure) {
        self.complaint.get_or_insert(complaint);
    }

    /// Asks the handles that lived through it all how they are, empties the queues through a new
    /// one, and judges the books.
    pub(super) async fn conclude(mut self, counts: Counts) -> TrialResult {
        let handles: Vec<_> = self.stage.data().map(Arc::clone).collect();
        for data in handles {
            if let Err(failure) = is_well(&data).await {
                self.complain(failure);
            }
        }
        let fresh = self.stage.context.second_handle().await?;
        let target: Arc<dyn Target> = Arc::new(Direct(Arc::clone(&fresh.data)));
        let worker = Worker { id: u32::MAX, target, books: Arc::clone(&self.stage.books) };
        for queue in self.queues.all() {
            if is_there(&worker, &queue).await {
                worker.drain(&queue, self.stage.clock().as_deref()).await?;
            }
        }
        fresh.close().await;
        let tally = self.gauge.tally();
        let counts = counts.saw("calls", tally.calls).saw("calls_failed", tally.failures);
        let ended = self.stage.judge(counts).await?;
        self.complaint.map_or(Ok(ended), Err)
    }
}

/// Whether the queue is there; of one that is gone, and that nobody deleted, the books are told that
/// nothing is left.
async fn is_there(worker: &Worker, queue: &WorkQueue) -> bool {
    let walk = worker.books.ledger.next_walk();
    let read = PageRead { walk, first: true, everything: true, last_look: true };
    let look = Request::List { read, include: true, marker: None, limit: 1 };
    let gone = worker.target.call(&queue.queue, look.clone()).await.err().is_some_and(|error| {
        matches!(error, Error::QueueGone { .. } | Error::QueueNotFound { .. })
    });
    if gone {
        let pending = worker.books.ledger.begin(worker.id, queue.tag, look.action());
        pending.settle(Outcome::Ok(Answer::Messages(Vec::new())));
        worker.books.ledger.mark_drained(queue.tag);
    }
    !gone
}

/// Whether the driver found its way back, and knows of nothing that is wrong.
async fn is_well(data: &Arc<dyn DataDriver>) -> Result<(), Failure> {
    let health = back(data).await?;
    if health.safe {
        return Ok(());
    }
    let text = format!("the driver calls the store unsafe: {}", health.warnings.join("; "));
    Err(Failure::broken(text))
}

/// Asks until the driver answers.
async fn back(data: &Arc<dyn DataDriver>) -> Result<Health, Failure> {
    let mut last = String::new();
    for _ in 0..TRIES {
        match data.health().await {
            Ok(health) => return Ok(health),
            Err(error) => last = format!("{error:?}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(Failure::broken(format!("the driver did not find its way back: {last}")))
}
