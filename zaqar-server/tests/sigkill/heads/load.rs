//! Clients that repeat what failed until it is answered: what a client may do that knows the rules.
//! Posts carry a key, claims and deletions may be repeated as they are.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::ledger::Ledger;
use crate::support::client::{Answer, CLIENT_ID, Client};
use crate::walk::{QUEUES, key_of};

const PRODUCERS: usize = 4;
const CONSUMERS: usize = 4;
const FILL_BATCH: usize = 100;
const CLAIM_TTL: Duration = Duration::from_secs(600);
/// How often one request is sent: a head is back after far fewer.
const ATTEMPTS_MAX: u32 = 400;
/// From one attempt to the next at least, so that a head that is away is not asked a thousand times.
const PACE: Duration = Duration::from_millis(50);

/// A load that runs.
pub(crate) struct Load {
    tasks: JoinSet<anyhow::Result<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    address: SocketAddr,
    project: String,
    ledger: Arc<Ledger>,
    acknowledged: AtomicU64,
    repeats: AtomicU64,
    stopping: AtomicBool,
    changed: Notify,
}

impl Load {
    pub(crate) fn start(address: SocketAddr, project: &str, ledger: &Arc<Ledger>) -> Self {
        let shared = Shared::new(address, project, ledger);
        let mut tasks = JoinSet::new();
        for number in 0..PRODUCERS {
            tasks.spawn(produce(Arc::clone(&shared), number));
        }
        for number in 0..CONSUMERS {
            tasks.spawn(consume(Arc::clone(&shared), number));
        }
        Self { tasks, shared }
    }

    /// How many requests were acknowledged so far.
    pub(crate) fn count(&self) -> u64 {
        self.shared.acknowledged.load(Ordering::Relaxed)
    }

    /// Waits until so many were.
    pub(crate) async fn acknowledged(&self, target: u64) -> anyhow::Result<()> {
        let enough = async {
            while self.count() < target {
                self.shared.changed.notified().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(120), enough).await;
        waited.context("the load stands still")
    }

    /// Lets every client finish what it is at; returns how often a request was repeated.
    pub(crate) async fn end(mut self) -> anyhow::Result<u64> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended??;
        }
        Ok(self.shared.repeats.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn new(address: SocketAddr, project: &str, ledger: &Arc<Ledger>) -> Arc<Self> {
        Arc::new(Self {
            address,
            project: project.to_owned(),
            ledger: Arc::clone(ledger),
            acknowledged: AtomicU64::new(0),
            repeats: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            changed: Notify::new(),
        })
    }

    fn stops(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

/// A client that connects anew when its connection breaks.
struct Caller {
    shared: Arc<Shared>,
    client: Option<Client>,
}

impl Caller {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, client: None }
    }

    /// Sends a request until it is answered by a head that could serve it.
    async fn call(
        &mut self,
        method: Method,
        path: &str,
        key: Option<&str>,
        body: String,
    ) -> anyhow::Result<Answer> {
        let mut last = String::new();
        let mut pace = tokio::time::interval(PACE);
        for attempt in 0..ATTEMPTS_MAX {
            pace.tick().await;
            if attempt > 0 {
                self.shared.repeats.fetch_add(1, Ordering::Relaxed);
            }
            match self.attempt(&method, path, key, &body).await {
                // The balancer found no head, or lost the one it had; or a head lost its store.
                Ok(answer) if answer.status.is_server_error() => {
                    let allowed = matches!(answer.status.as_u16(), 502..=504);
                    ensure!(allowed, "{method} {path}: {} {}", answer.status, answer.text());
                    last = format!("{} {}", answer.status, answer.text());
                }
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    last = format!("{error:#}");
                    self.client = None;
                }
            }
        }
        bail!("{method} {path}: not mended by {ATTEMPTS_MAX} attempts: {last}")
    }

    async fn attempt(
        &mut self,
        method: &Method,
        path: &str,
        key: Option<&str>,
        body: &str,
    ) -> anyhow::Result<Answer> {
        let client = match &mut self.client {
            Some(client) => client,
            empty => empty.insert(Client::connect(self.shared.address).await?),
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("client-id", CLIENT_ID)
            .header("x-project-id", &self.shared.project);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
        client.send(request).await
    }

    /// Posts a batch under a key until it is acknowledged.
    async fn post(&mut self, queue: &str, keys: &[String], key: &str) -> anyhow::Result<()> {
        let messages: Vec<_> =
            keys.iter().map(|key| json!({"ttl": 86_400, "body": {"key": key}})).collect();
        let body = json!({"messages": messages}).to_string();
        let batch = self.shared.ledger.post_begins(keys);
        let path = format!("/v2/queues/{queue}/messages");
        let answer = self.call(Method::POST, &path, Some(key), body).await?;
        ensure!(answer.status == StatusCode::CREATED, "post: {} {}", answer.status, answer.text());
        self.shared.ledger.post_acknowledged(batch);
        self.shared.acknowledge();
        Ok(())
    }
}

/// Posts so many messages to the first queue, which nobody consumes yet.
pub(crate) async fn fill(
    address: SocketAddr,
    project: &str,
    ledger: &Arc<Ledger>,
    count: u64,
) -> anyhow::Result<()> {
    let mut caller = Caller::new(Shared::new(address, project, ledger));
    for first in (0..count).step_by(FILL_BATCH) {
        let last = count.min(first + FILL_BATCH as u64);
        let keys: Vec<_> = (first..last).map(|n| format!("f{n}")).collect();
        caller.post(QUEUES[0], &keys, &format!("f{first}")).await?;
    }
    Ok(())
}

/// Posts batches of one to five messages, each under a key of its own.
async fn produce(shared: Arc<Shared>, number: usize) -> anyhow::Result<()> {
    let mut caller = Caller::new(Arc::clone(&shared));
    for post in 0_u64.. {
        if shared.stops() {
            break;
        }
        let count = 1 + post % 5;
        let keys: Vec<_> = (0..count).map(|n| format!("p{number}-{post}-{n}")).collect();
        caller.post(queue(number, post), &keys, &format!("p{number}-{post}")).await?;
    }
    Ok(())
}

fn queue(number: usize, turn: u64) -> &'static str {
    let turn = usize::try_from(turn).unwrap_or_default();
    if (number + turn / 8).is_multiple_of(2) { QUEUES[0] } else { QUEUES[1] }
}

/// Claims, and deletes what it got.
async fn consume(shared: Arc<Shared>, number: usize) -> anyhow::Result<()> {
    let mut caller = Caller::new(Arc::clone(&shared));
    for turn in 0_u64.. {
        if shared.stops() {
            break;
        }
        let queue = queue(number, turn);
        let asked = Instant::now();
        let body = json!({"ttl": CLAIM_TTL.as_secs(), "grace": 60}).to_string();
        let path = format!("/v2/queues/{queue}/claims?limit=5&wait=1");
        // A claim whose answer was lost holds its messages until it ends: they are left there.
        let answer = caller.call(Method::POST, &path, None, body).await?;
        if answer.status == StatusCode::NO_CONTENT {
            continue;
        }
        ensure!(answer.status == StatusCode::CREATED, "claim: {} {}", answer.status, answer.text());
        let answer = answer.json()?;
        let messages = answer.get("messages").and_then(Value::as_array).context("no messages")?;
        let keys: Vec<_> = messages.iter().map(key_of).collect::<anyhow::Result<_>>()?;
        shared.ledger.claimed(&keys, asked, CLAIM_TTL);
        shared.acknowledge();
        for (message, key) in messages.iter().zip(&keys) {
            let href = message.get("href").and_then(Value::as_str).context("no href")?;
            shared.ledger.delete_begins(key);
            let answer = caller.call(Method::DELETE, href, None, String::new()).await?;
            let gone = answer.status == StatusCode::NO_CONTENT;
            ensure!(gone, "delete: {} {}", answer.status, answer.text());
            shared.ledger.delete_acknowledged(key);
            shared.acknowledge();
        }
    }
    Ok(())
}
