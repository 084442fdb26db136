//! Spreads actors over threads, watches the clock and the processes, and collects the records.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use tokio::task::JoinSet;

use super::context::Context;
use super::session::Session;
use crate::measure::{Recorder, Usage, Window, usage};

/// Time for the threads to start and the connections to open.
const START_IN: Duration = Duration::from_millis(20);
/// How often the progress line changes.
const TICK: Duration = Duration::from_millis(250);
/// Stands for a phase that ends when its work is done.
const NO_END: Duration = Duration::from_secs(365 * 24 * 3600);

/// What an actor does with its session.
pub type ActorFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A part of a round.
#[derive(Debug, Clone)]
pub struct Phase {
    /// What the progress line calls it.
    pub name: &'static str,
    /// Number of actors, each with a connection.
    pub actors: usize,
    /// Time before the measured window.
    pub warmup: Duration,
    /// Length of the measured window; none means until all actors are done.
    pub duration: Option<Duration>,
}

impl Phase {
    /// A phase that lasts as long as its work.
    #[must_use]
    pub fn until_done(name: &'static str, actors: usize) -> Self {
        Self { name, actors, warmup: Duration::ZERO, duration: None }
    }
}

/// The outcome of a phase.
#[derive(Debug)]
pub struct Measured {
    /// All records, merged.
    pub recorder: Recorder,
    /// Length of the measured time.
    pub elapsed: Duration,
    /// The server's usage at the beginning and the end of the measured time.
    pub server: Option<(Usage, Usage)>,
    /// Processor time of this program during the measured time.
    pub client_cpu: Option<Duration>,
}

/// Runs `phase.actors` actors to their end.
///
/// # Errors
/// A thread or its runtime cannot be started, or an actor panicked.
pub fn drive<F>(context: &Arc<Context>, phase: &Phase, actor: F) -> anyhow::Result<Measured>
where
    F: Fn(Session, Window) -> ActorFuture + Send + Sync + 'static,
{
    let start = Instant::now() + START_IN;
    let from = start + phase.warmup;
    let window = Window { from, until: from + phase.duration.unwrap_or(NO_END) };
    let actor = Arc::new(actor);
    let (done, finished) = channel();
    let threads = usize::from(context.options.threads).min(phase.actors).max(1);
    context.progress.step(phase.name);
    let mut workers = Vec::with_capacity(threads);
    for thread in 0..threads {
        let indices: Vec<usize> = (thread..phase.actors).step_by(threads).collect();
        let crew = Crew { indices, start, window };
        workers.push(start_worker(context, crew, Arc::clone(&actor), done.clone())?);
    }
    drop(done);
    let watched = watch(context, phase, window, &finished);
    let mut recorder = Recorder::new(window);
    for worker in workers {
        let part = worker.join().map_err(|_| anyhow!("a worker thread panicked"))??;
        recorder.merge(part)?;
    }
    // Work that ran out before the window ended is measured to its last answer; a server that
    // fell silent is measured to the end of the window.
    let end = if watched.finished < window.until {
        recorder.last_ended.unwrap_or(watched.finished)
    } else {
        window.until
    };
    Ok(Measured {
        recorder,
        elapsed: end.saturating_duration_since(window.from),
        server: watched.server_before.zip(watched.server_after),
        client_cpu: watched
            .client_before
            .zip(watched.client_after)
            .map(|(before, after)| after.cpu.saturating_sub(before.cpu)),
    })
}

/// The actors of one thread.
struct Crew {
    indices: Vec<usize>,
    start: Instant,
    window: Window,
}

fn start_worker<F>(
    context: &Arc<Context>,
    crew: Crew,
    actor: Arc<F>,
    done: Sender<()>,
) -> anyhow::Result<JoinHandle<anyhow::Result<Recorder>>>
where
    F: Fn(Session, Window) -> ActorFuture + Send + Sync + 'static,
{
    let context = Arc::clone(context);
    let work = move || {
        // Dropped when the thread ends, however it ends: that is what the watcher waits for.
        let _done = done;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let recorder = Arc::new(Mutex::new(Recorder::new(crew.window)));
        runtime.block_on(async {
            let mut actors = JoinSet::new();
            for index in crew.indices {
                let mut session = Session::new(Arc::clone(&context), index, Arc::clone(&recorder));
                let actor = Arc::clone(&actor);
                actors.spawn(async move {
                    session.open().await;
                    tokio::time::sleep_until(crew.start.into()).await;
                    actor(session, crew.window).await;
                });
            }
            while let Some(ended) = actors.join_next().await {
                ended.context("an actor panicked")?;
            }
            anyhow::Ok(())
        })?;
        let recorder = Arc::into_inner(recorder).ok_or_else(|| anyhow!("a record is in use"))?;
        Ok(recorder.into_inner().unwrap_or_else(PoisonError::into_inner))
    };
    std::thread::Builder::new()
        .name("zaqar-bench".to_owned())
        .spawn(work)
        .context("cannot start a thread")
}

struct Watched {
    finished: Instant,
    server_before: Option<Usage>,
    server_after: Option<Usage>,
    client_before: Option<Usage>,
    client_after: Option<Usage>,
}

/// Samples both processes at the ends of the window and shows progress, until all actors are done.
fn watch(context: &Context, phase: &Phase, window: Window, finished: &Receiver<()>) -> Watched {
    let own = [std::process::id()];
    let mut over = wait_until(window.from, finished);
    let (server_before, client_before) = (usage(&context.server_pids), usage(&own));
    let mut line = Line::new(context, phase, window);
    while !over && Instant::now() < window.until {
        over = wait_until(window.until.min(Instant::now() + TICK), finished);
        line.update();
    }
    let (server_after, client_after) = (usage(&context.server_pids), usage(&own));
    let at_end = Instant::now();
    while !over {
        over = wait_until(Instant::now() + TICK, finished);
        line.update();
    }
    Watched { finished: at_end, server_before, server_after, client_before, client_after }
}

/// Waits until `instant`; true when all workers have ended before.
fn wait_until(instant: Instant, finished: &Receiver<()>) -> bool {
    let left = instant.saturating_duration_since(Instant::now());
    matches!(finished.recv_timeout(left), Err(RecvTimeoutError::Disconnected))
}

/// The progress line's view of the counters.
struct Line<'a> {
    context: &'a Context,
    phase: &'a Phase,
    window: Window,
    requests: u64,
    at: Instant,
}

impl<'a> Line<'a> {
    fn new(context: &'a Context, phase: &'a Phase, window: Window) -> Self {
        let requests = context.live_requests.load(Ordering::Relaxed);
        Self { context, phase, window, requests, at: Instant::now() }
    }

    fn update(&mut self) {
        let now = Instant::now();
        let requests = self.context.live_requests.load(Ordering::Relaxed);
        let errors = self.context.live_errors.load(Ordering::Relaxed);
        let seconds = now.duration_since(self.at).as_secs_f64().max(0.001);
        let rate = (requests - self.requests) as f64 / seconds;
        let elapsed = now.saturating_duration_since(self.window.from).as_secs_f64();
        let of = self
            .phase
            .duration
            .map_or_else(String::new, |duration| format!("/{:.0}", duration.as_secs_f64()));
        self.context.progress.update(&format!(
            "{} {elapsed:.0}{of} s, {rate:.0} requests/s, {errors} errors",
            self.phase.name
        ));
        (self.requests, self.at) = (requests, now);
    }
}
