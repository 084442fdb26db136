//! A worker: calls a store and records every call.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use zaqar_core::{
    ClaimId, DataDriver, Error, ErrorClass, GcOptions, ManualClock, MessageMarker, QueueRef, Ttl,
};

use super::body::Tag;
use super::doubts::Doubts;
use super::history::{PageRead, QueueTag, Seen};
use super::ledger::Ledger;
use super::request::{Reply, Request};
use crate::case::Failure;

/// Steps after which a loop that must come to an end is taken for endless.
const STEPS_MAX: usize = 100_000;
/// Claims after which a queue that still is not empty never will be: a hundred messages each.
const CLAIMS_PER_DRAIN_MAX: usize = 2_000;
/// What is counted after this time counts nothing of before.
const COUNTED_AGO: Duration = Duration::from_secs(2);
/// The longest lease of a workload, in seconds: after it, every claim is over.
pub(crate) const LEASE_S_MAX: u64 = 300;

/// A store that a workload can call: in this process, or in a child process.
#[async_trait]
pub(crate) trait Target: Send + Sync {
    /// Carries out one request.
    async fn call(&self, queue: &QueueRef, request: Request) -> Result<Reply, Error>;

    /// Runs the background work: a sweep, and a collection of everything that is over.
    async fn tend(&self) -> Result<(), Error>;
}

/// A driver in this process.
#[derive(Debug, Clone)]
pub(crate) struct Direct(pub(crate) Arc<dyn DataDriver>);

#[async_trait]
impl Target for Direct {
    async fn call(&self, queue: &QueueRef, request: Request) -> Result<Reply, Error> {
        request.run(self.0.as_ref(), queue).await
    }

    async fn tend(&self) -> Result<(), Error> {
        tend(self.0.as_ref()).await
    }
}

/// A sweep until nothing is due, and a collection without margin: what is over for any reader may
/// go at once, and nothing else may.
pub(crate) async fn tend(data: &dyn DataDriver) -> Result<(), Error> {
    for _ in 0..STEPS_MAX {
        if !data.sweep().await?.more {
            break;
        }
    }
    data.gc(GcOptions::new().margin(Ttl::ZERO)).await?;
    Ok(())
}

/// A queue of the workload, and how the ledger names it.
#[derive(Debug, Clone)]
pub(crate) struct WorkQueue {
    pub(crate) tag: QueueTag,
    pub(crate) queue: QueueRef,
}

/// What all workers of a run share.
#[derive(Debug)]
pub(crate) struct Books {
    pub(crate) ledger: Ledger,
    /// Keyed posts that are still to be repeated.
    pub(crate) doubts: Doubts,
    /// Answers that no worker can explain.
    surprises: Mutex<Vec<String>>,
    /// Whether backend failures are part of the run.
    failures_expected: bool,
}

impl Books {
    pub(crate) fn new(ledger: Ledger, failures_expected: bool) -> Arc<Self> {
        let (doubts, surprises) = (Doubts::default(), Mutex::default());
        Arc::new(Self { ledger, doubts, surprises, failures_expected })
    }

    fn note(&self, request: &Request, error: &Error) {
        let backend = matches!(error, Error::Backend { .. });
        let overload = error.class() == ErrorClass::Unavailable && !backend;
        if request.may_be_refused_with(error) || overload || (backend && self.failures_expected) {
            return;
        }
        self.surprise(format!("{:?} was answered with {error:?}", request.action()));
    }

    /// Keeps what nobody can explain for the end.
    pub(crate) fn surprise(&self, text: String) {
        self.surprises.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    /// Fails with the first answer that no worker can explain.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self.surprises.lock().unwrap_or_else(PoisonError::into_inner).first() {
            None => Ok(()),
            Some(surprise) => Err(Failure::broken(surprise)),
        }
    }
}

/// One caller.
#[derive(Clone)]
pub(crate) struct Worker {
    pub(crate) id: u32,
    pub(crate) target: Arc<dyn Target>,
    pub(crate) books: Arc<Books>,
}

impl Worker {
    /// Calls and records; an error that nobody can explain is kept for the end.
    pub(crate) async fn call(&self, on: &WorkQueue, request: Request) -> Result<Reply, Error> {
        let result = self.attempt(on, request.clone()).await;
        if let Err(error) = &result {
            self.books.note(&request, error);
        }
        result
    }

    /// Calls for the record alone: what came of it is the verdict's to judge.
    pub(crate) async fn note(&self, on: &WorkQueue, request: Request) {
        drop(self.call(on, request).await);
    }

    /// Calls and records; the caller explains the error.
    pub(crate) async fn attempt(&self, on: &WorkQueue, request: Request) -> Result<Reply, Error> {
        // A driver that never waits must not keep the other workers from their turns.
        tokio::task::yield_now().await;
        let action = request.action();
        let call = self.target.call(&on.queue, request);
        self.books.ledger.record(self.id, on.tag, action, call, Reply::answer).await
    }

    /// Has the background work done.
    pub(crate) async fn tend(&self) {
        if let Err(error) = self.target.tend().await
            && !self.books.failures_expected
        {
            self.books.surprise(format!("background work failed: {error:?}"));
        }
    }

    /// Posts a batch; whether it was acknowledged.
    pub(crate) async fn post(&self, on: &WorkQueue, tags: Vec<Tag>, ttl: Ttl, delay: Ttl) -> bool {
        self.call(on, Request::Post { tags, ttl, delay, keyed: false }).await.is_ok()
    }

    /// Claims; what it got.
    pub(crate) async fn claim(
        &self,
        on: &WorkQueue,
        claim: ClaimId,
        ttl_s: u64,
        limit: u32,
    ) -> Vec<Seen> {
        let (ttl, grace) = (Ttl::from_secs_clamped(ttl_s), Ttl::from_secs_clamped(ttl_s % 7));
        let request = Request::Claim { claim, ttl, grace, limit };
        self.call(on, request).await.map(Reply::into_seen).unwrap_or_default()
    }

    /// Reads one page of a walk; `None` if the read failed.
    pub(crate) async fn page(
        &self,
        on: &WorkQueue,
        read: PageRead,
        include: bool,
        marker: Option<MessageMarker>,
        limit: u32,
    ) -> Option<(Vec<Seen>, Option<MessageMarker>)> {
        let request = Request::List { read, include, marker, limit };
        match self.call(on, request).await {
            Ok(Reply::Messages(seen, next)) => Some((seen, next)),
            _ => None,
        }
    }

    /// Walks the whole queue from its start; what it met.
    pub(crate) async fn walk(
        &self,
        on: &WorkQueue,
        limit: u32,
        last_look: bool,
    ) -> Result<Vec<Seen>, Failure> {
        let walk = self.books.ledger.next_walk();
        let (mut marker, mut met) = (None, Vec::new());
        for step in 0..STEPS_MAX {
            let read = PageRead { walk, first: step == 0, everything: true, last_look };
            let Some((seen, next)) = self.page(on, read, true, marker, limit).await else {
                return Ok(met);
            };
            if seen.is_empty() {
                return Ok(met);
            }
            if next.is_none() {
                return Err(Failure::broken("a page with messages has no next marker"));
            }
            met.extend(seen);
            marker = next;
        }
        Err(Failure::broken("following the markers of a listing does not end"))
    }

    /// Repeats what posts to the queue are in doubt, empties it through claims, then lists
    /// everything that is left. Without `clock`, leases cannot be made to end, and what they hold is
    /// only listed.
    pub(crate) async fn drain(
        &self,
        on: &WorkQueue,
        clock: Option<&ManualClock>,
    ) -> Result<usize, Failure> {
        let mut drained = 0;
        while let Some(doubt) = self.books.doubts.of(on.tag) {
            self.call(on, doubt.request).await?;
        }
        if let Some(clock) = clock {
            clock.advance(Duration::from_secs(LEASE_S_MAX));
            self.target.tend().await?;
        }
        self.call(on, Request::Count).await?;
        for step in 0.. {
            if step > CLAIMS_PER_DRAIN_MAX {
                return Err(Failure::broken("claiming and deleting does not empty the queue"));
            }
            let claim = ClaimId::random();
            let ttl = Ttl::from_secs_clamped(LEASE_S_MAX);
            let request = Request::Claim { claim, ttl, grace: Ttl::ZERO, limit: 100 };
            let seen = self.call(on, request).await?.into_seen();
            if seen.is_empty() {
                break;
            }
            drained += seen.len();
            let ids = seen.into_iter().map(|seen| seen.id).collect();
            let request = Request::BulkDelete { ids, claims: Some(vec![claim]) };
            self.call(on, request).await?;
        }
        if let Some(clock) = clock {
            self.books.ledger.mark_drained(on.tag);
            clock.advance(COUNTED_AGO);
        }
        self.call(on, Request::Count).await?;
        self.walk(on, 100, true).await?;
        Ok(drained)
    }
}
