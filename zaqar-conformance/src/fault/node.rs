//! The parent's side of the process ring: one life of a child process, from its start to SIGKILL.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use zaqar_core::{Clock, Effect, Error, Incarnation, ProjectId, QueueName, QueueRef, Retry};

use super::wire::{Batch, Done, Job};
use crate::case::Failure;
use crate::harness::ChildNode;
use crate::loss::request::{Reply, Request};
use crate::loss::worker::{Books, Target};

/// Most jobs that one line carries.
const JOBS_PER_LINE_MAX: usize = 32;

/// When a child is killed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Doom {
    /// After so many acknowledged posts.
    pub(super) after_posts: u64,
    /// `None`: the moment the acknowledgement is there. Else while it works on the next line, after
    /// the parent yielded so often.
    pub(super) yields: Option<u32>,
}

/// What a life came to.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Life {
    /// Posts that the child acknowledged.
    pub(super) posts: u64,
    /// Whether it was killed while it had work in hand.
    pub(super) interrupted: bool,
}

struct Pending {
    job: Job,
    answer: oneshot::Sender<Done>,
}

/// A running child, callable by many tasks at once.
pub(super) struct Node {
    jobs: mpsc::Sender<Pending>,
    books: Arc<Books>,
}

impl Node {
    /// Takes charge of a child that is killed as `doom` says, or when the node is dropped.
    pub(super) fn new(
        child: Box<dyn ChildNode>,
        clock: Arc<dyn Clock>,
        books: Arc<Books>,
        doom: Option<Doom>,
    ) -> (Self, JoinHandle<Result<Life, Failure>>) {
        let (jobs, queued) = mpsc::channel(JOBS_PER_LINE_MAX);
        let pump = Pump { queued, clock, doom, life: Life::default() };
        (Self { jobs, books }, tokio::spawn(pump.run(child)))
    }

    /// Finds or makes a queue.
    pub(super) async fn open(
        &self,
        project: ProjectId,
        name: QueueName,
    ) -> Result<Incarnation, Failure> {
        match self.ask(Job::Open { project, name }).await {
            Ok(Done::Opened(incarnation)) => Ok(incarnation),
            other => Err(Failure::broken(format!("opening a queue was answered with {other:?}"))),
        }
    }

    async fn ask(&self, job: Job) -> Result<Done, Error> {
        let (answer, answered) = oneshot::channel();
        if self.jobs.send(Pending { job, answer }).await.is_err() {
            return Err(gone(Effect::None));
        }
        answered.await.map_err(|_| gone(Effect::Unknown))
    }
}

fn gone(effect: Effect) -> Error {
    Error::backend("a call of the child process", effect, Retry::AfterReopen, "it was killed")
}

#[async_trait]
impl Target for Node {
    async fn call(&self, queue: &QueueRef, request: Request) -> Result<Reply, Error> {
        match self.ask(Job::Call { queue: queue.into(), request }).await? {
            Done::Replied(reply) => Ok(reply),
            Done::Refused(refusal) => match refusal.into_error() {
                Ok(error) => Err(error),
                Err(text) => {
                    self.books.surprise(format!("the child answered with {text}"));
                    Err(gone(Effect::Unknown))
                }
            },
            other => {
                self.books.surprise(format!("the child answered a call with {other:?}"));
                Err(gone(Effect::Unknown))
            }
        }
    }

    async fn tend(&self) -> Result<(), Error> {
        match self.ask(Job::Tend).await? {
            Done::Tended => {}
            other => self.books.surprise(format!("background work ended with {other:?}")),
        }
        Ok(())
    }
}

/// Gathers what is asked at the same time into lines, and kills the child at its hour.
struct Pump {
    queued: mpsc::Receiver<Pending>,
    clock: Arc<dyn Clock>,
    doom: Option<Doom>,
    life: Life,
}

impl Pump {
    async fn run(mut self, mut child: Box<dyn ChildNode>) -> Result<Life, Failure> {
        let mut gathered = Vec::new();
        while self.queued.recv_many(&mut gathered, JOBS_PER_LINE_MAX).await > 0 {
            let (jobs, answers): (Vec<Job>, Vec<_>) =
                gathered.drain(..).map(|pending: Pending| (pending.job, pending.answer)).unzip();
            let line = serde_json::to_string(&Batch { now: self.clock.now(), jobs })
                .map_err(|error| Failure::broken(format!("a line to the child: {error}")))?;
            let doomed = self.doom.filter(|doom| self.life.posts >= doom.after_posts);
            let answered = tokio::select! {
                biased;
                answered = child.call(&line) => Some(answered?),
                () = yield_or_wait(doomed.map(|doom| doom.yields.unwrap_or(0))) => None,
            };
            let Some(answered) = answered else {
                self.life.interrupted = true;
                break;
            };
            self.hand_out(&answered, answers)?;
            let at_once = self.doom.filter(|doom| doom.yields.is_none());
            if at_once.is_some_and(|doom| self.life.posts >= doom.after_posts) {
                break;
            }
        }
        child.kill().await?;
        Ok(self.life)
    }

    fn hand_out(
        &mut self,
        answered: &str,
        answers: Vec<oneshot::Sender<Done>>,
    ) -> Result<(), Failure> {
        let done: Vec<Done> = serde_json::from_str(answered)
            .map_err(|error| Failure::broken(format!("a line of the child: {error}")))?;
        if done.len() != answers.len() {
            return Err(Failure::broken("the child did not answer every job"));
        }
        for (done, answer) in done.into_iter().zip(answers) {
            if matches!(done, Done::Replied(Reply::Posted(_))) {
                self.life.posts += 1;
            }
            // Who asked may have left: then nobody misses the answer.
            answer.send(done).unwrap_or_default();
        }
        Ok(())
    }
}

/// Yields so often, or for ever.
async fn yield_or_wait(yields: Option<u32>) {
    match yields {
        None => std::future::pending().await,
        Some(yields) => {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
        }
    }
}
