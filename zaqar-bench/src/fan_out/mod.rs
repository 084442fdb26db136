//! What a post costs whoever posts when a hundred web servers subscribe to the queue.
//!
//! Posts go by turns to a queue that nobody subscribes to and to one with subscribers, all of which
//! are a receiver in this program. By default each post waits until all that was posted before has
//! been delivered, so that the two are measured under the same conditions.

mod options;
mod receiver;
mod report;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::json;
use tokio::time::timeout;
use uuid::Uuid;

use crate::http::{Connection, Target};
use crate::report::{Spread, print, write_json};

pub use options::FanOutOptions;
use receiver::Receiver;
pub use report::FanOutResult;

/// How long a subscription lives; a run that lasts longer misses deliveries.
const TTL_S: u64 = 86_400;
/// Pairs of posts before those that are measured.
const WARMUP: u32 = 20;

/// Subscribes, posts, and prints what came of it; `false` if something was not delivered.
///
/// # Errors
/// The server cannot be reached, or refuses what it is asked for.
pub fn command(options: &FanOutOptions) -> anyhow::Result<bool> {
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
pub async fn run(options: &FanOutOptions) -> anyhow::Result<FanOutResult> {
    let receiver = Receiver::start(options.listen).await?;
    let mut bench = Bench::new(options)?;
    bench.subscribe(&receiver).await?;
    for _ in 0..WARMUP {
        bench.pair(&receiver).await?;
    }
    bench.settle(&receiver).await?;
    bench.times = [Vec::new(), Vec::new()];
    let begin = Instant::now();
    for _ in 0..options.posts {
        bench.pair(&receiver).await?;
    }
    let posted = begin.elapsed();
    // What does not come within the time is missing.
    let settled = bench.settle(&receiver).await;
    let delivered = begin.elapsed();
    bench.remove().await?;
    let [plain, fanned_out] = bench.times.map(|times| Spread::of(times).context("no post"));
    let missing = bench.expected.saturating_sub(receiver.distinct());
    ensure!(settled.is_ok() || missing > 0, "deliveries came later than the time-out");
    Ok(FanOutResult {
        subscribers: options.subscribers,
        posts: options.posts,
        body_bytes: options.body_bytes,
        busy: options.busy,
        post_s: posted.as_secs_f64(),
        deliver_s: delivered.as_secs_f64(),
        missing,
        repeated: receiver.repeated(),
        plain_ms: plain?,
        fan_out_ms: fanned_out?,
    })
}

struct Bench {
    http: Connection,
    target: Arc<Target>,
    subscribers: u32,
    busy: bool,
    patience: Duration,
    /// The queue without subscribers, and the one that has them.
    queues: [String; 2],
    body: String,
    /// Milliseconds that posts to each took.
    times: [Vec<f64>; 2],
    /// Deliveries that must come of all posts so far.
    expected: u64,
    order: StdRng,
}

impl Bench {
    fn new(options: &FanOutOptions) -> anyhow::Result<Self> {
        let target = Arc::new(Target::new(&options.url, &options.project, None)?);
        let run = Uuid::new_v4().simple().to_string();
        let padding = "x".repeat(options.body_bytes.saturating_sub(2));
        Ok(Self {
            http: Connection::new(Arc::clone(&target), options.timeout),
            target,
            subscribers: options.subscribers,
            busy: options.busy,
            patience: options.timeout,
            queues: ["plain", "fan-out"].map(|kind| format!("zaqar-bench-{kind}-{run}")),
            body: json!({"messages": [{"body": padding, "ttl": 3_600}]}).to_string(),
            times: [Vec::new(), Vec::new()],
            expected: 0,
            order: StdRng::seed_from_u64(options.seed),
        })
    }

    async fn call(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&str>,
        expected: u16,
    ) -> anyhow::Result<()> {
        let request = self.target.request(method, path, body.map(str::as_bytes));
        match self.http.call(&request).await {
            Ok(answer) if answer.status == expected => Ok(()),
            Ok(answer) => {
                let text = String::from_utf8_lossy(answer.body);
                bail!("{method} {path} was answered {}: {text}", answer.status)
            }
            Err(error) => bail!("{method} {path} was not answered: {error}"),
        }
    }

    async fn subscribe(&mut self, receiver: &Receiver) -> anyhow::Result<()> {
        for queue in self.queues.clone() {
            self.call("PUT", &format!("/v2/queues/{queue}"), None, 201).await?;
        }
        let path = format!("/v2/queues/{}/subscriptions", self.queues[1]);
        for number in 0..self.subscribers {
            let address = format!("http://{}/{number}", receiver.address());
            let subscription = json!({"subscriber": address, "ttl": TTL_S}).to_string();
            let refused = "is the receiver's address among the server's notification.allowed_networks \
                           and its port among notification.allowed_ports?";
            self.call("POST", &path, Some(&subscription), 201).await.context(refused)?;
        }
        Ok(())
    }

    /// One post to each queue, in an order that chance decides.
    async fn pair(&mut self, receiver: &Receiver) -> anyhow::Result<()> {
        let first = usize::from(self.order.random_bool(0.5));
        for which in [first, 1 - first] {
            if !self.busy {
                self.settle(receiver).await?;
            }
            self.post(which).await?;
        }
        Ok(())
    }

    async fn post(&mut self, which: usize) -> anyhow::Result<()> {
        let queue = self.queues.get(which).context("one of two queues")?;
        let path = format!("/v2/queues/{queue}/messages");
        let body = self.body.clone();
        let begin = Instant::now();
        self.call("POST", &path, Some(&body), 201).await?;
        let took = begin.elapsed();
        if which == 1 {
            self.expected += u64::from(self.subscribers);
        }
        let times = self.times.get_mut(which).context("one of two queues")?;
        times.push(took.as_secs_f64() * 1_000.0);
        Ok(())
    }

    /// Waits until all that was posted has been delivered.
    async fn settle(&self, receiver: &Receiver) -> anyhow::Result<()> {
        let all = receiver.reached(self.expected);
        timeout(self.patience, all).await.with_context(|| {
            format!("only {} of {} deliveries came", receiver.distinct(), self.expected)
        })
    }

    async fn remove(&mut self) -> anyhow::Result<()> {
        for queue in self.queues.clone() {
            self.call("DELETE", &format!("/v2/queues/{queue}"), None, 204).await?;
        }
        Ok(())
    }
}
