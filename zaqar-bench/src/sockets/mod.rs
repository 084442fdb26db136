//! Many open WebSocket connections, each subscribed to one queue: what they cost the server, and
//! whether each is pushed every message.

mod options;
mod report;
mod subscriber;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use hdrhistogram::Histogram;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::http::{Connection, Target};
use crate::measure;
use crate::report::{print, write_json};

pub use options::SocketsOptions;
pub use report::{SocketsResult, Spread};
pub(crate) use subscriber::micros;
use subscriber::{Got, Plan, Subscriber};

/// Connections that are opened at the same time.
const OPENING_MAX: usize = 16;
/// How often the server's memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Opens the sockets, posts, waits until all has arrived, and prints what came of it; `false` if
/// something did not arrive.
///
/// # Errors
/// The server cannot be reached, or refuses what it is asked for.
pub fn command(options: &SocketsOptions) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(run(options))?;
    print(&result.to_string())?;
    if let Some(path) = &options.json {
        write_json(path, &result)?;
    }
    Ok(result.is_good())
}

/// The same without printing.
///
/// # Errors
/// As [`command`].
pub async fn run(options: &SocketsOptions) -> anyhow::Result<SocketsResult> {
    let target = Arc::new(Target::new(&options.url, &options.project, None)?);
    let mut http = Connection::new(Arc::clone(&target), options.timeout);
    let memory = Memory::of(&options.server_pids(&target));
    let before = memory.now();
    let plan = Arc::new(Plan::new(options));

    let begin = Instant::now();
    let subscribers = open_all(&plan, options.sockets).await?;
    let opened = begin.elapsed();
    let open = memory.now();

    let watch = memory.watch();
    let mut listening = JoinSet::new();
    for subscriber in subscribers {
        listening.spawn(subscriber.listen(Arc::clone(&plan)));
    }
    let begin = Instant::now();
    for number in 0..options.messages {
        post(&mut http, &target, &plan, number).await?;
    }
    let posted = begin.elapsed();
    let mut got = Got::new()?;
    while let Some(ended) = listening.join_next().await {
        got.add(&ended.context("a subscriber died")??)?;
    }
    let delivered = begin.elapsed();
    let most = watch.most().await;
    remove(&mut http, &target, &plan).await?;
    Ok(SocketsResult {
        sockets: options.sockets,
        messages: options.messages,
        body_bytes: options.body_bytes,
        open_s: opened.as_secs_f64(),
        post_s: posted.as_secs_f64(),
        deliver_s: delivered.as_secs_f64(),
        missing: u64::from(options.sockets) * options.messages - got.received,
        doubled: got.doubled,
        misordered: got.misordered,
        push_ms: report::Spread::of(&got.push_us),
        rss_before: before,
        rss_open: open,
        rss_most: most,
    })
}

/// Opens and subscribes the connections, some at a time.
async fn open_all(plan: &Arc<Plan>, count: u32) -> anyhow::Result<Vec<Subscriber>> {
    let turns = Arc::new(Semaphore::new(OPENING_MAX));
    let mut opening = JoinSet::new();
    for _ in 0..count {
        let (plan, turns) = (Arc::clone(plan), Arc::clone(&turns));
        opening.spawn(async move {
            let _turn = turns.acquire().await?;
            timeout(plan.timeout, Subscriber::open(&plan)).await.context("no answer in time")?
        });
    }
    let mut open = Vec::new();
    while let Some(opened) = opening.join_next().await {
        let opened = opened.context("a connection died")?;
        open.push(opened.with_context(|| {
            format!("connection {} of {count}; is the limit of open files high enough?", open.len())
        })?);
    }
    Ok(open)
}

async fn post(
    http: &mut Connection,
    target: &Target,
    plan: &Plan,
    number: u64,
) -> anyhow::Result<()> {
    let path = format!("/v2/queues/{}/messages", plan.queue);
    let request = target.request("POST", &path, Some(plan.message(number).as_bytes()));
    plan.posts_now(number);
    match http.call(&request).await {
        Ok(answer) if answer.status == 201 => Ok(()),
        Ok(answer) => bail!("a post was answered {}", answer.status),
        Err(error) => bail!("a post was not answered: {error}"),
    }
}

async fn remove(http: &mut Connection, target: &Target, plan: &Plan) -> anyhow::Result<()> {
    let request = target.request("DELETE", &format!("/v2/queues/{}", plan.queue), None);
    let removed = http.call(&request).await.map(|answer| answer.status);
    ensure!(removed == Ok(204), "the queue {} could not be removed: {removed:?}", plan.queue);
    Ok(())
}

/// The server's resident memory.
#[derive(Debug, Clone)]
struct Memory(Vec<u32>);

impl Memory {
    fn of(pids: &[u32]) -> Self {
        Self(pids.to_vec())
    }

    fn now(&self) -> Option<u64> {
        measure::usage(&self.0).map(|usage| usage.rss_bytes)
    }

    /// Keeps looking at it.
    fn watch(&self) -> MemoryWatch {
        let (stop, mut stopped) = oneshot::channel();
        let memory = self.clone();
        let looking = tokio::spawn(async move {
            let mut most = memory.now();
            let mut ticks = tokio::time::interval(LOOK);
            loop {
                tokio::select! {
                    _ = &mut stopped => return most.max(memory.now()),
                    _ = ticks.tick() => most = most.max(memory.now()),
                }
            }
        });
        MemoryWatch { stop, looking }
    }
}

struct MemoryWatch {
    stop: oneshot::Sender<()>,
    looking: JoinHandle<Option<u64>>,
}

impl MemoryWatch {
    /// The most that was seen.
    async fn most(self) -> Option<u64> {
        drop(self.stop);
        self.looking.await.ok().flatten()
    }
}

/// Microseconds up to ten minutes.
pub(crate) fn histogram() -> anyhow::Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000, 3)?)
}
