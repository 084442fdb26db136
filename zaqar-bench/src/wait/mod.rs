//! Many clients that wait for messages: what they cost while nothing happens, and how soon one of
//! them has what is posted.

mod options;
mod report;
mod waiter;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::http::{Connection, Target};
use crate::measure;
use crate::report::{print, write_json};
use crate::sockets::{Spread, histogram, micros};

pub use options::WaitOptions;
pub use report::WaitResult;
use waiter::{Arrival, Waiting};

/// Lets clients wait, posts, and prints what came of it; `false` if a message woke nobody, or more
/// than one.
///
/// # Errors
/// The server cannot be reached, or refuses what it is asked for.
pub fn command(options: &WaitOptions) -> anyhow::Result<bool> {
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
pub async fn run(options: &WaitOptions) -> anyhow::Result<WaitResult> {
    let target = Arc::new(Target::new(&options.url, &options.project, None)?);
    let mut poster = Poster::new(options, &target);
    poster.each_queue("PUT", &[201, 204]).await?;
    let (arrivals, arrived) = unbounded_channel();
    let waiting = Waiting {
        target: Arc::clone(&target),
        wait: Duration::from_secs(options.wait),
        timeout: options.timeout,
        ended: Arc::new(AtomicU64::new(0)),
        arrivals,
    };
    let mut watch = Watch { arrived, waiters: JoinSet::new() };
    for queue in poster.queues.iter().cycle().take(usize::try_from(options.waiters)?) {
        let connection = waiting.open().await?;
        watch.waiters.spawn(waiting.clone().run(connection, queue.clone()));
    }
    watch.quiet(options.settle).await?;

    let pids = options.server_pids(&target);
    let (before, ended, begin) =
        (measure::usage(&pids), waiting.ended.load(Ordering::Relaxed), Instant::now());
    watch.quiet(options.idle).await?;
    let idle = begin.elapsed();
    let (after, renewed) = (measure::usage(&pids), waiting.ended.load(Ordering::Relaxed) - ended);
    let cpu = before.zip(after).map(|(before, after)| after.cpu.saturating_sub(before.cpu));

    let woken = wake(options, &mut poster, &mut watch).await?;
    drop(watch);
    poster.each_queue("DELETE", &[204]).await?;
    Ok(WaitResult {
        waiters: options.waiters,
        queues: options.queues,
        wait_s: options.wait,
        idle_s: idle.as_secs_f64(),
        renewed,
        idle_cpu_percent: cpu.map(|cpu| 100.0 * cpu.as_secs_f64() / idle.as_secs_f64()),
        rss_waiting: after.map(|usage| usage.rss_bytes),
        wakes: options.wakes,
        missing: woken.missing,
        doubled: woken.doubled,
        wake_ms: woken.spread,
    })
}

struct Woken {
    missing: u64,
    doubled: u64,
    spread: Spread,
}

/// Posts one message after the other, each once the one before has arrived or was given up.
async fn wake(
    options: &WaitOptions,
    poster: &mut Poster,
    watch: &mut Watch,
) -> anyhow::Result<Woken> {
    let mut latencies = histogram()?;
    let mut posted: Vec<(Instant, bool)> = Vec::new();
    let mut doubled = 0;
    for number in 0..u64::from(options.wakes) {
        posted.push((Instant::now(), false));
        poster.post(number).await?;
        let end = Instant::now() + options.timeout;
        while let Some(arrival) = watch.next(end).await? {
            let place = usize::try_from(arrival.number).ok().and_then(|at| posted.get_mut(at));
            let (begun, seen) = place.context("a message arrived that was not posted yet")?;
            if std::mem::replace(seen, true) {
                doubled += 1;
            } else {
                latencies.saturating_record(micros(arrival.at - *begun));
            }
            if arrival.number == number {
                break;
            }
        }
    }
    while let Ok(arrival) = watch.arrived.try_recv() {
        let place = usize::try_from(arrival.number).ok().and_then(|at| posted.get_mut(at));
        let (_, seen) = place.context("a message arrived that was not posted")?;
        doubled += u64::from(std::mem::replace(seen, true));
    }
    let missing = posted.iter().filter(|(_, seen)| !seen).count() as u64;
    Ok(Woken { missing, doubled, spread: Spread::of(&latencies) })
}

/// The waiters, as those see them who post.
struct Watch {
    arrived: UnboundedReceiver<Arrival>,
    waiters: JoinSet<anyhow::Result<()>>,
}

impl Watch {
    /// The next message that arrives before `end`.
    async fn next(&mut self, end: Instant) -> anyhow::Result<Option<Arrival>> {
        tokio::select! {
            biased;
            arrival = self.arrived.recv() => Ok(arrival),
            Some(ended) = self.waiters.join_next() => {
                ended.context("a waiter died")??;
                bail!("a waiter left")
            }
            () = tokio::time::sleep_until(end.into()) => Ok(None),
        }
    }

    /// Lets time pass in which nothing may arrive.
    async fn quiet(&mut self, span: Duration) -> anyhow::Result<()> {
        let arrival = self.next(Instant::now() + span).await?;
        ensure!(arrival.is_none(), "a waiter got something before anything was posted");
        Ok(())
    }
}

/// Who makes the queues and posts to them.
struct Poster {
    http: Connection,
    target: Arc<Target>,
    queues: Vec<String>,
}

impl Poster {
    fn new(options: &WaitOptions, target: &Arc<Target>) -> Self {
        let run = Uuid::new_v4().simple().to_string();
        Self {
            http: Connection::new(Arc::clone(target), options.timeout),
            target: Arc::clone(target),
            queues: (0..options.queues).map(|n| format!("zaqar-bench-wait-{run}-{n}")).collect(),
        }
    }

    async fn each_queue(&mut self, method: &str, expected: &[u16]) -> anyhow::Result<()> {
        for queue in &self.queues {
            let request = self.target.request(method, &format!("/v2/queues/{queue}"), None);
            let status = self.http.call(&request).await.map(|answer| answer.status);
            let is_expected = status.is_ok_and(|status| expected.contains(&status));
            ensure!(is_expected, "{method} of the queue {queue} was answered {status:?}");
        }
        Ok(())
    }

    async fn post(&mut self, number: u64) -> anyhow::Result<()> {
        let mut turns = self.queues.iter().cycle();
        let at = usize::try_from(number)? % self.queues.len();
        let queue = turns.nth(at).context("there is no queue")?;
        let message = format!(r#"{{"messages": [{{"body": {{"n": {number}}}, "ttl": 3600}}]}}"#);
        let path = format!("/v2/queues/{queue}/messages");
        let request = self.target.request("POST", &path, Some(message.as_bytes()));
        match self.http.call(&request).await {
            Ok(answer) if answer.status == 201 => Ok(()),
            Ok(answer) => bail!("a post was answered {}", answer.status),
            Err(error) => bail!("a post was not answered: {error}"),
        }
    }
}
