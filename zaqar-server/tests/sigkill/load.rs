//! Producers and claimers, each with a connection of its own, until the server is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::Plan;
use crate::ledger::Ledger;
use crate::support::client::Client;
use crate::walk::{QUEUES, key_of};

const PRODUCERS: u64 = 4;
const CLAIMERS: u64 = 4;
const CLAIM_TTL: Duration = Duration::from_secs(300);

/// A load that runs.
pub(crate) struct Load {
    tasks: JoinSet<anyhow::Result<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    ledger: Arc<Ledger>,
    acknowledged: AtomicU64,
    changed: Notify,
}

impl Shared {
    fn acknowledge(&self) {
        self.acknowledged.fetch_add(1, Ordering::Relaxed);
        self.changed.notify_one();
    }
}

impl Load {
    /// Starts all clients.
    pub(crate) fn start(address: SocketAddr, ledger: &Arc<Ledger>, cycle: u64, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            ledger: Arc::clone(ledger),
            acknowledged: AtomicU64::new(0),
            changed: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        for number in 0..PRODUCERS {
            let name = format!("c{cycle}-p{number}");
            tasks.spawn(produce(address, Arc::clone(&shared), name, Plan(seed ^ number)));
        }
        for number in 0..CLAIMERS {
            tasks.spawn(consume(address, Arc::clone(&shared), Plan(seed ^ (number << 32))));
        }
        Self { tasks, shared }
    }

    /// Waits until so many requests were acknowledged.
    pub(crate) async fn acknowledged(&self, target: u64) -> anyhow::Result<()> {
        let enough = async {
            while self.shared.acknowledged.load(Ordering::Relaxed) < target {
                self.shared.changed.notified().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), enough)
            .await
            .context("the load stands still")
    }

    /// Waits until every client has noticed that the server is gone.
    pub(crate) async fn end(mut self) {
        // Each ends with the error of its broken connection: that is how it notices.
        while self.tasks.join_next().await.is_some() {}
    }
}

/// Posts batches of one to ten messages.
async fn produce(
    address: SocketAddr,
    shared: Arc<Shared>,
    name: String,
    mut plan: Plan,
) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    for number in 0_u64.. {
        let keys: Vec<_> =
            (0..plan.between((1, 10))).map(|n| format!("{name}-{number}-{n}")).collect();
        let messages: Vec<_> = keys
            .iter()
            .map(|key| json!({"ttl": 86_400, "body": {"key": key, "filler": "x".repeat(200)}}))
            .collect();
        let path = format!("/v2/queues/{}/messages", queue(&mut plan));
        let batch = shared.ledger.post_begins(&keys);
        let body = json!({"messages": messages}).to_string();
        let answer = client.call(Method::POST, &path, body).await?;
        if answer.status == StatusCode::CREATED {
            shared.ledger.post_acknowledged(batch);
            shared.acknowledge();
        } else {
            shared.ledger.unexpected(format!("post: {} {}", answer.status, answer.text()));
        }
    }
    Ok(())
}

fn queue(plan: &mut Plan) -> &'static str {
    if plan.next().is_multiple_of(2) { QUEUES[0] } else { QUEUES[1] }
}

/// A message under a claim.
struct Held {
    key: String,
    href: String,
}

/// Claims, then deletes what it has, or gives it back, or forgets it as a crashed worker would.
async fn consume(address: SocketAddr, shared: Arc<Shared>, mut plan: Plan) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    loop {
        let queue = queue(&mut plan);
        let (claim, held) = claim(&mut client, &shared.ledger, queue).await?;
        if held.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        shared.acknowledge();
        match plan.between((0, 9)) {
            0 => {}
            1 => release(&mut client, &shared, &claim, &held).await?,
            2..6 => {
                bulk_delete(&mut client, &shared.ledger, queue, &held).await?;
                shared.acknowledge();
            }
            _ => {
                for message in &held {
                    delete(&mut client, &shared.ledger, message).await?;
                    shared.acknowledge();
                }
            }
        }
    }
}

/// Claims; empty if there is nothing to claim.
async fn claim(
    client: &mut Client,
    ledger: &Ledger,
    queue: &str,
) -> anyhow::Result<(String, Vec<Held>)> {
    let asked = Instant::now();
    let body = json!({"ttl": CLAIM_TTL.as_secs(), "grace": 60}).to_string();
    let path = format!("/v2/queues/{queue}/claims?limit=10");
    let answer = client.call(Method::POST, &path, body).await?;
    match answer.status {
        StatusCode::CREATED => {}
        StatusCode::NO_CONTENT | StatusCode::NOT_FOUND => return Ok((String::new(), Vec::new())),
        status => {
            ledger.unexpected(format!("claim: {status} {}", answer.text()));
            return Ok((String::new(), Vec::new()));
        }
    }
    let location = answer.headers.get("location").context("a claim without location")?;
    let location = location.to_str()?.to_owned();
    let answer = answer.json()?;
    let messages =
        answer.get("messages").and_then(Value::as_array).context("a claim without messages")?;
    let held: Vec<Held> = messages.iter().map(held).collect::<anyhow::Result<_>>()?;
    let keys: Vec<_> = held.iter().map(|message| message.key.clone()).collect();
    ledger.claimed(&keys, asked, CLAIM_TTL);
    Ok((location, held))
}

fn held(message: &Value) -> anyhow::Result<Held> {
    let href =
        message.get("href").and_then(Value::as_str).context("a message without href")?.to_owned();
    Ok(Held { key: key_of(message)?, href })
}

async fn release(
    client: &mut Client,
    shared: &Shared,
    claim: &str,
    held: &[Held],
) -> anyhow::Result<()> {
    let keys: Vec<_> = held.iter().map(|message| message.key.clone()).collect();
    shared.ledger.release_begins(&keys);
    let answer = client.call(Method::DELETE, claim, "").await?;
    if answer.status == StatusCode::NO_CONTENT {
        shared.acknowledge();
    } else {
        shared.ledger.unexpected(format!("release: {} {}", answer.status, answer.text()));
    }
    Ok(())
}

/// Deletes a message under its claim.
async fn delete(client: &mut Client, ledger: &Ledger, message: &Held) -> anyhow::Result<()> {
    ledger.delete_begins(&message.key);
    let answer = client.call(Method::DELETE, &message.href, "").await?;
    if answer.status == StatusCode::NO_CONTENT {
        ledger.delete_acknowledged(&message.key);
    } else {
        let Held { key, .. } = message;
        ledger.unexpected(format!("{key}: delete: {} {}", answer.status, answer.text()));
    }
    Ok(())
}

/// Deletes messages in one request, and looks whether the first is gone.
async fn bulk_delete(
    client: &mut Client,
    ledger: &Ledger,
    queue: &str,
    held: &[Held],
) -> anyhow::Result<()> {
    let ids: Vec<_> = held.iter().map(|message| id_of(&message.href)).collect();
    for message in held {
        ledger.delete_begins(&message.key);
    }
    let path = format!("/v2/queues/{queue}/messages?ids={}", ids.join(","));
    let answer = client.call(Method::DELETE, &path, "").await?;
    if answer.status != StatusCode::NO_CONTENT {
        ledger.unexpected(format!("bulk delete: {} {}", answer.status, answer.text()));
        return Ok(());
    }
    for message in held {
        ledger.delete_acknowledged(&message.key);
    }
    let first = format!("/v2/queues/{queue}/messages/{}", ids.first().copied().unwrap_or_default());
    let answer = client.get(&first).await?;
    if answer.status != StatusCode::NOT_FOUND {
        ledger.unexpected(format!("{first}: {} after its deletion", answer.status));
    }
    Ok(())
}

/// The message's id: the last part of its path.
fn id_of(href: &str) -> &str {
    let path = href.split('?').next().unwrap_or(href);
    path.rsplit('/').next().unwrap_or(path)
}

/// Claims and deletes whatever is free; returns how many messages that were.
pub(crate) async fn drain(address: SocketAddr, ledger: &Arc<Ledger>) -> anyhow::Result<u64> {
    let mut tasks = JoinSet::new();
    for queue in QUEUES {
        for _ in 0..CLAIMERS {
            tasks.spawn(drain_queue(address, Arc::clone(ledger), queue));
        }
    }
    let mut drained = 0;
    while let Some(ended) = tasks.join_next().await {
        drained += ended??;
    }
    Ok(drained)
}

async fn drain_queue(address: SocketAddr, ledger: Arc<Ledger>, queue: &str) -> anyhow::Result<u64> {
    let mut client = Client::connect(address).await?;
    let mut drained = 0;
    loop {
        let (_, held) = claim(&mut client, &ledger, queue).await?;
        if held.is_empty() {
            return Ok(drained);
        }
        bulk_delete(&mut client, &ledger, queue, &held).await?;
        drained += held.len() as u64;
    }
}
