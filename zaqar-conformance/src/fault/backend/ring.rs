//! A workload on a backend that is about to be broken, and what is asked of the driver afterwards.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use zaqar_core::{DataDriver, Health, ManualClock};

use super::gauge::Gauge;
use crate::case::Failure;
use crate::fault::plan::Swarm;
use crate::loss::Stage;
use crate::loss::worker::{Direct, Target, Worker};
use crate::loss::workload::{Size, WorkQueues, Workload};
use crate::suite::{TrialResult, TrialRun};

/// The workload of one cycle.
pub(super) const SIZE: Size = Size { producers: 4, posts_each: 40, claimers: 3 };
/// How often a driver is asked how it is before it must have found its way back, and how long is
/// waited between: half a minute.
const TRIES: u32 = 150;
const PAUSE: Duration = Duration::from_millis(200);

/// A namespace on a backend of its own, with two handles.
pub(super) struct Ring {
    pub(super) stage: Stage,
    pub(super) gauge: Arc<Gauge>,
    pub(super) rng: StdRng,
    queues: WorkQueues,
    workers: u32,
}

impl Ring {
    pub(super) async fn open(run: &TrialRun) -> Result<Self, Failure> {
        let stage = Stage::open(run, true).await?;
        let queues = stage.queues().await?;
        let rng = StdRng::seed_from_u64(run.seed);
        Ok(Self { stage, gauge: Gauge::new(), rng, queues, workers: 0 })
    }

    pub(super) fn clock(&self) -> Arc<ManualClock> {
        Arc::clone(&self.stage.context.clock)
    }

    /// How many posts there are to be before a fault strikes the coming cycle.
    pub(super) fn moment(&mut self) -> u64 {
        let half = u64::from(SIZE.producers * SIZE.posts_each / 2);
        self.gauge.tally().posts + self.rng.random_range(1..=half)
    }

    /// The workload of the next cycle.
    pub(super) fn workload(&mut self) -> Workload {
        let targets = self.stage.targets().map(|target| self.gauge.around(target));
        let workers_from = self.workers;
        self.workers += 100;
        Workload {
            seed: self.rng.random(),
            workers_from,
            size: SIZE,
            swarm: Swarm::ALL,
            queues: self.queues.clone(),
            targets,
            books: Arc::clone(&self.stage.books),
            clock: self.stage.clock(),
        }
    }

    /// Asks the handles that lived through it all how they are, empties the queues through a new
    /// one, and judges the books.
    pub(super) async fn conclude(mut self, notes: &str) -> TrialResult {
        for context in [&self.stage.context, &self.stage.second] {
            let health = back(&context.data).await?;
            if !health.safe {
                let warnings = health.warnings.join("; ");
                let text = format!("nothing is lost, but the driver says so: {warnings}");
                return Err(Failure::broken(text));
            }
        }
        let fresh = self.stage.context.second_handle().await?;
        let target: Arc<dyn Target> = Arc::new(Direct(Arc::clone(&fresh.data)));
        let books = Arc::clone(&self.stage.books);
        let workload = self.workload();
        workload.empty(&Worker { id: u32::MAX, target, books }).await?;
        fresh.close().await;
        let tally = self.gauge.tally();
        let notes = format!("{notes}, {} calls of {} failed", tally.failures, tally.calls);
        self.stage.judge(&notes).await
    }
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
