//! The process ring: a child process owns the store and is killed in the middle of its work, again
//! and again.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use zaqar_core::{Capability, Incarnation, ManualClock, ProjectId, QueueKey, QueueName};

use super::node::{Doom, Life, Node};
use super::plan::Swarm;
use crate::case::Failure;
use crate::counts::Counts;
use crate::harness::{Namespace, ProcessControl};
use crate::loss::history::QueueTag;
use crate::loss::ledger::Ledger;
use crate::loss::worker::{Books, Target, WorkQueue, Worker};
use crate::loss::workload::{Size, WorkQueues, Workload};
use crate::loss::{conclude, ledger_clock};
use crate::suite::{Budget, TrialEnd, TrialResult, TrialRun};

/// The workload of one life.
const SIZE: Size = Size { producers: 4, posts_each: 12, claimers: 3 };

/// A namespace whose store only child processes open.
struct Ring<'r> {
    process: &'r dyn ProcessControl,
    namespace: Namespace,
    project: ProjectId,
    clock: Arc<ManualClock>,
    /// Whether the child takes its time from the parent.
    follows: bool,
    books: Arc<Books>,
    rng: StdRng,
    queues: Option<WorkQueues>,
}

pub(super) async fn sigkill_loses_nothing(run: TrialRun) -> TrialResult {
    let Some(process) = run.harness.process() else {
        let reason = "the harness has no process control, so nothing can be killed".into();
        return Ok(TrialEnd::Skipped { reason });
    };
    let declared = crate::suite::capabilities(&run.harness).await?;
    let (clock, namespace) = (Arc::new(ManualClock::default()), Namespace::random());
    let ledger = Ledger::new(run.seed, ledger_clock(&declared, &clock));
    let mut ring = Ring {
        process,
        project: ProjectId::new(format!("{namespace}-main"))?,
        namespace: namespace.clone(),
        clock,
        follows: declared.has(Capability::VirtualTime),
        books: Books::new(ledger, true),
        rng: StdRng::seed_from_u64(run.seed),
        queues: None,
    };
    let cycles = match run.budget {
        Budget::Smoke => 15,
        Budget::Standard => 50,
        Budget::Soak => 500,
    };
    let ran = ring.run(cycles).await;
    run.harness.wipe(&namespace).await?;
    let lives = ran?;
    let interrupted = lives.iter().filter(|life| life.interrupted).count();
    let killed = lives.iter().filter(|life| life.posts > 0).count();
    if killed == 0 || interrupted == 0 {
        return Err(Failure::inconclusive("no kill struck a child that had work in hand"));
    }
    let counts = Counts::none()
        .struck("processes_killed", cycles)
        .struck("processes_killed_after_posts", killed)
        .struck("processes_killed_in_mid_work", interrupted);
    conclude(&ring.books, &declared, 0, &counts)
}

impl Ring<'_> {
    /// Lives that are killed, then one that drains the queues.
    async fn run(&mut self, cycles: u32) -> Result<Vec<Life>, Failure> {
        let mut lives = Vec::new();
        for cycle in 0..cycles {
            lives.push(self.live(cycle).await?);
        }
        let child = self.process.spawn(&self.namespace).await?;
        let (node, pump) = Node::new(child, self.time(), Arc::clone(&self.books), None);
        let node: Arc<dyn Target> = self.reopen(node).await?;
        let workload = self.workload(cycles, &node)?;
        let worker = Worker { id: u32::MAX, target: node, books: Arc::clone(&self.books) };
        workload.empty(&worker).await?;
        drop((worker, workload));
        ended(pump).await?;
        Ok(lives)
    }

    /// One life: the workload runs until the child is killed under it.
    async fn live(&mut self, cycle: u32) -> Result<Life, Failure> {
        let child = self.process.spawn(&self.namespace).await?;
        let in_hand = self.rng.random_bool(0.7);
        let doom = Doom {
            after_posts: self.rng.random_range(1..=u64::from(SIZE.producers * SIZE.posts_each / 2)),
            yields: in_hand.then(|| self.rng.random_range(1..400)),
        };
        let (node, pump) = Node::new(child, self.time(), Arc::clone(&self.books), Some(doom));
        let node: Arc<dyn Target> = self.reopen(node).await?;
        let workload = self.workload(cycle, &node)?;
        drop(node);
        workload.work().await?;
        // Its workers are done, so dropping the last handle ends a child that outlived them.
        drop(workload);
        ended(pump).await
    }

    /// Finds the queues again: they must be the ones that were made.
    async fn reopen(&mut self, node: Node) -> Result<Arc<dyn Target>, Failure> {
        let mut queues = Vec::new();
        for number in 0..4 {
            let name = QueueName::new(format!("work-{number}"))?;
            let incarnation = node.open(self.project.clone(), name.clone()).await?;
            queues.push(self.work_queue(number, name, incarnation));
        }
        let mut queues = queues.into_iter();
        let (Some(one), Some(two), Some(popped), Some(mortal)) =
            (queues.next(), queues.next(), queues.next(), queues.next())
        else {
            return Err(Failure::broken("a queue of the ring is missing"));
        };
        let found = WorkQueues { claimed: vec![one, two], popped, mortal };
        let made = self.queues.get_or_insert_with(|| found.clone());
        for (made, found) in made.all().iter().zip(found.all()) {
            if made.queue != found.queue {
                let (made, found) = (&made.queue, &found.queue);
                return Err(Failure::broken(format!("{made:?} is {found:?} after the kill")));
            }
        }
        Ok(Arc::new(node))
    }

    fn work_queue(&self, number: u32, name: QueueName, incarnation: Incarnation) -> WorkQueue {
        let queue = QueueKey::queue(self.project.clone(), name).incarnate(incarnation);
        WorkQueue { tag: QueueTag { queue: number, generation: 0 }, queue }
    }

    fn workload(&mut self, cycle: u32, node: &Arc<dyn Target>) -> Result<Workload, Failure> {
        let queues = self.queues.clone();
        let queues = queues.ok_or_else(|| Failure::broken("the ring has no queues"))?;
        Ok(Workload {
            seed: self.rng.random(),
            workers_from: cycle * 100,
            size: SIZE,
            swarm: Swarm::ALL,
            queues,
            targets: vec![Arc::clone(node)],
            books: Arc::clone(&self.books),
            clock: self.follows.then(|| Arc::clone(&self.clock)),
        })
    }

    fn time(&self) -> Arc<ManualClock> {
        Arc::clone(&self.clock)
    }
}

async fn ended(pump: tokio::task::JoinHandle<Result<Life, Failure>>) -> Result<Life, Failure> {
    pump.await.map_err(|error| Failure::broken(format!("the child's pump died: {error}")))?
}
