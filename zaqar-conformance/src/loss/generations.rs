//! A queue that is deleted and made again while producers post to it.

use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinSet;
use zaqar_core::{Error, QueueKey, QueueName, Ttl};

use super::body::Tag;
use super::history::{Action, Answer, Outcome, QueueTag};
use super::request::Request;
use super::trials::{LONG_S, Stage, scale};
use super::worker::{WorkQueue, Worker};
use super::workload::{claim_id, join};
use crate::case::Failure;
use crate::suite::{TrialResult, TrialRun};

/// Posts between two deletions of the queue.
const POSTS_PER_LIFE: u32 = 12;

pub(super) async fn queue_delete_races_post(run: TrialRun) -> TrialResult {
    let stage = Stage::open(&run, 2, false).await?;
    let key = QueueKey::queue(stage.context.project("main")?, QueueName::new("cycled")?);
    let made = stage.context.make(key.clone()).await?;
    let first = WorkQueue { tag: QueueTag { queue: 0, generation: 0 }, queue: made };
    let (current, view) = watch::channel(Some(first.clone()));
    let (posted, mut progress) = watch::channel(0_u32);
    let posted = Arc::new(posted);
    let mut users = JoinSet::new();
    for id in 0..4 {
        let user = User { worker: stage.worker(id), view: view.clone() };
        let rng = StdRng::seed_from_u64(run.seed ^ u64::from(id));
        users.spawn(user.post(rng, Arc::clone(&posted)));
    }
    let reader = User { worker: stage.worker(5), view: view.clone() };
    users.spawn(reader.read(StdRng::seed_from_u64(!run.seed)));
    let mut queue = first;
    let lives = 12 * scale(run.budget);
    for generation in 1..=lives {
        // Nobody is left to post only if every user died, which `join` reports.
        if !more_posts(&mut progress).await {
            break;
        }
        close(&stage, &queue).await?;
        let made = stage.context.make(key.clone()).await?;
        queue = WorkQueue { tag: QueueTag { queue: 0, generation }, queue: made };
        current.send_replace(Some(queue.clone()));
    }
    // The last life gets its share of posts too, so that there is something to come out.
    let last = more_posts(&mut progress).await;
    current.send_replace(None);
    join(&mut users).await?;
    if !last {
        return Err(Failure::broken("the producers died"));
    }
    stage.finish(&[queue]).await
}

/// Awaits as many more posts as a life gets; `false` if nobody posts any more.
async fn more_posts(progress: &mut watch::Receiver<u32>) -> bool {
    let enough = progress.borrow_and_update().saturating_add(POSTS_PER_LIFE);
    progress.wait_for(|posts| *posts >= enough).await.is_ok()
}

/// Deletes the queue as an engine does, and records it.
async fn close(stage: &Stage, on: &WorkQueue) -> Result<(), Failure> {
    let pending = stage.books.ledger.begin(9, on.tag, Action::DeleteQueue);
    stage.context.delete_queue(&on.queue).await?;
    pending.settle(Outcome::Ok(Answer::Done));
    Ok(())
}

/// Somebody who uses the queue in whatever life it was seen last, as a cache would have it.
struct User {
    worker: Worker,
    /// `None`: the trial is over.
    view: watch::Receiver<Option<WorkQueue>>,
}

impl User {
    /// Takes the present life into view now and then, and always after a refusal.
    fn look(&mut self) -> Option<WorkQueue> {
        self.view.borrow_and_update().clone()
    }

    async fn post(mut self, mut rng: StdRng, posted: Arc<watch::Sender<u32>>) {
        let (run, producer) = (self.worker.books.ledger.run(), self.worker.id);
        let mut sequence = 0;
        let Some(mut queue) = self.look() else { return };
        loop {
            let count = rng.random_range(1..=3);
            let tags = (sequence..sequence + count).map(|sequence| Tag { run, producer, sequence });
            sequence += count;
            let (ttl, delay) = (Ttl::from_secs_clamped(LONG_S), Ttl::ZERO);
            let request = Request::Post { tags: tags.collect(), ttl, delay, keyed: false };
            let refused = self.attempt(&queue, request).await;
            posted.send_modify(|posts| *posts += 1);
            if refused || rng.random_bool(0.3) || self.view.borrow().is_none() {
                let Some(seen) = self.look() else { return };
                queue = seen;
            }
        }
    }

    async fn read(mut self, mut rng: StdRng) {
        while let Some(queue) = self.look() {
            let walk = self.worker.books.ledger.next_walk();
            let read =
                super::history::PageRead { walk, first: true, everything: true, last_look: false };
            let limit = rng.random_range(1..=1_000);
            let list = Request::List { read, include: true, marker: None, limit };
            self.attempt(&queue, list).await;
            let (ttl, grace) = (Ttl::from_secs_clamped(60), Ttl::ZERO);
            let claim = claim_id(&mut rng);
            self.attempt(&queue, Request::Claim { claim, ttl, grace, limit: 2 }).await;
            self.attempt(&queue, Request::Release { claim }).await;
        }
    }

    /// Calls; whether the life in view is over. Any other refusal is nobody's to explain.
    async fn attempt(&self, queue: &WorkQueue, request: Request) -> bool {
        match self.worker.attempt(queue, request).await {
            Ok(_) => false,
            Err(Error::QueueGone { .. } | Error::QueueNotFound { .. }) => true,
            Err(error) => {
                self.worker.books.surprise(format!("a post or read was answered with {error:?}"));
                true
            }
        }
    }
}
