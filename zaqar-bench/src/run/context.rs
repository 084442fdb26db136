//! What all actors of a round share.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::progress::Progress;
use crate::check::Ledger;
use crate::http::Target;
use crate::measure::find_listeners;
use crate::message::{PRODUCERS_MAX, Shape};
use crate::options::Options;

/// Digits at the end of a queue's name.
pub(crate) const QUEUE_DIGITS: usize = 4;

/// The shared part of a round.
#[derive(Debug)]
pub struct Context {
    /// The server under test.
    pub target: Arc<Target>,
    /// What the operator asked for.
    pub options: Options,
    /// Queues in use.
    pub queues: u32,
    /// What message bodies look like.
    pub shape: Shape,
    /// Processes of the server, when known.
    pub server_pids: Vec<u32>,
    /// Where the run's progress is shown.
    pub progress: Progress,
    /// Requests answered, for the progress line.
    pub live_requests: AtomicU64,
    /// Requests failed, for the progress line.
    pub live_errors: AtomicU64,
    ledger: Mutex<Ledger>,
    budget: AtomicI64,
    origin: Instant,
}

impl Context {
    /// Prepares a round on `url` with `queues` queues.
    ///
    /// # Errors
    /// The URL, the body size or the number of producers is out of range.
    pub fn new(
        options: &Options,
        url: &str,
        server_pids: &[u32],
        queues: u32,
        progress: Progress,
    ) -> anyhow::Result<Self> {
        let token = options.token.as_ref().map(|token| token.expose());
        let mut target = Target::new(url, &options.project, token)?;
        if let Some(file) = &options.tokens {
            let text = std::fs::read_to_string(file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            target = target.with_tokens(text.lines().map(str::trim))?;
        }
        let run = format!("{:08x}", rand::random::<u32>());
        let shape = Shape::new(&run, options.body_bytes, options.seed)?;
        let producers = producer_count(options, queues);
        ensure!(
            producers <= PRODUCERS_MAX,
            "connections times queues must not exceed {PRODUCERS_MAX}"
        );
        let local = matches!(target.host(), "127.0.0.1" | "::1" | "localhost");
        let server_pids = match server_pids {
            [] if local => find_listeners(target.port()),
            given => given.to_vec(),
        };
        Ok(Self {
            target: Arc::new(target),
            options: options.clone(),
            queues,
            shape,
            server_pids,
            progress,
            live_requests: AtomicU64::new(0),
            live_errors: AtomicU64::new(0),
            ledger: Mutex::new(Ledger::new(queues, producers)),
            budget: AtomicI64::new(i64::MAX),
            origin: Instant::now(),
        })
    }

    /// The ledger, for a moment.
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of a queue; all names of a run have the same length.
    #[must_use]
    pub fn queue_name(&self, queue: u32) -> String {
        format!("bench-{}-{queue:0width$}", self.shape.run(), width = QUEUE_DIGITS)
    }

    /// The producer that stands for a session's posts to a queue.
    #[must_use]
    pub fn producer(&self, session: usize, queue: u32) -> u32 {
        u32::try_from(session).unwrap_or(u32::MAX).saturating_mul(self.queues).saturating_add(queue)
    }

    /// Allows `messages` more messages to be taken with [`Context::take`].
    pub fn set_budget(&self, messages: u64) {
        self.budget.store(i64::try_from(messages).unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Takes up to `count` messages from the budget.
    pub fn take(&self, count: usize) -> usize {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let before = self.budget.fetch_sub(count, Ordering::Relaxed);
        usize::try_from(before.clamp(0, count)).unwrap_or(0)
    }

    /// Microseconds from the origin of the round to `instant`.
    #[must_use]
    pub fn micros(&self, instant: Instant) -> u64 {
        u64::try_from(instant.saturating_duration_since(self.origin).as_micros()).unwrap_or(0)
    }

    /// The instant that is `micros` behind the origin of the round.
    #[must_use]
    pub fn instant(&self, micros: u64) -> Instant {
        self.origin + Duration::from_micros(micros)
    }
}

fn producer_count(options: &Options, queues: u32) -> usize {
    usize::from(options.connections).max(2) * queues as usize
}
