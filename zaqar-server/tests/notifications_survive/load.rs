//! Those who post, through any head that runs, and what the store holds in the end.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::Plan;
use crate::history::{Recorder, Stored};
use crate::receiver::{MANNERS, Manner, Receiver};
use crate::support::client::Client;
use crate::world::Addresses;

const POSTERS: u64 = 3;
const MESSAGES_PATH: &str = "/v2/queues/orders/messages";
/// A day: nothing expires meanwhile.
const TTL_S: u64 = 86_400;
/// An answer that does not come within this time stays out: the server is as good as dead.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How often a poster that cannot go on looks whether it can.
const LOOK: Duration = Duration::from_millis(20);

/// How many messages posters may be ahead of deliveries: so they post from the first kill to the last.
fn window(messages: usize) -> usize {
    (messages / 10).clamp(50, 500)
}

/// Subscribes every receiver to the queue.
pub(crate) async fn subscribe(address: SocketAddr, receivers: &[Receiver]) -> anyhow::Result<()> {
    let mut client = Client::connect(address).await?;
    for receiver in receivers {
        let subscription = json!({
            "subscriber": receiver.address, "ttl": TTL_S, "options": receiver.manner.options(),
        });
        let path = "/v2/queues/orders/subscriptions";
        let answer = client.call(Method::POST, path, subscription.to_string()).await?;
        anyhow::ensure!(answer.status == StatusCode::CREATED, "{}", answer.text());
    }
    Ok(())
}

/// Starts the posters; each ends when `messages` were acknowledged in all.
pub(crate) fn post(
    addresses: &Addresses,
    recorder: &Arc<Recorder>,
    messages: usize,
    seed: u64,
) -> JoinSet<anyhow::Result<()>> {
    let mut posters = JoinSet::new();
    for number in 0..POSTERS {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let poster = Poster {
            number,
            addresses: Arc::clone(addresses),
            recorder: Arc::clone(recorder),
            messages,
            plan: Plan(seed ^ number),
            looks,
        };
        posters.spawn(poster.run());
    }
    posters
}

struct Poster {
    number: u64,
    addresses: Addresses,
    recorder: Arc<Recorder>,
    messages: usize,
    plan: Plan,
    looks: Interval,
}

impl Poster {
    async fn run(mut self) -> anyhow::Result<()> {
        let mut client = None;
        let mut batch = 0;
        while self.recorder.progress().acknowledged < self.messages {
            if self.is_ahead() {
                self.looks.tick().await;
                continue;
            }
            let Some(mut connected) = client.take() else {
                self.looks.tick().await;
                client = self.connect().await;
                continue;
            };
            batch += 1;
            // Broken off, or refused while the store is away: the post stays in doubt, and the next
            // one goes through another connection.
            if self.post(&mut connected, batch).await? {
                client = Some(connected);
            }
        }
        Ok(())
    }

    fn is_ahead(&self) -> bool {
        let progress = self.recorder.progress();
        let patient: usize =
            MANNERS.iter().filter(|(manner, _)| *manner == Manner::Takes).map(|(_, n)| n).sum();
        progress.acknowledged > progress.delivered / patient + window(self.messages)
    }

    /// A connection to any head that runs.
    async fn connect(&mut self) -> Option<Client> {
        let running: Vec<SocketAddr> = {
            let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            addresses.iter().flatten().copied().collect()
        };
        let most = u64::try_from(running.len()).ok()?.checked_sub(1)?;
        let chosen = usize::try_from(self.plan.between((0, most))).ok()?;
        Client::connect(*running.get(chosen)?).await.ok()
    }

    /// Posts one to ten messages; `false` if it is not known whether they are stored.
    async fn post(&mut self, client: &mut Client, batch: u64) -> anyhow::Result<bool> {
        let keys: Vec<_> = (0..self.plan.between((1, 10)))
            .map(|number| format!("p{}-{batch}-{number}", self.number))
            .collect();
        let messages: Vec<_> = keys
            .iter()
            .map(|key| json!({"ttl": TTL_S, "body": {"key": key, "filler": "x".repeat(200)}}))
            .collect();
        let body = json!({"messages": messages}).to_string();
        let post = self.recorder.post_begins(keys);
        let call = client.call(Method::POST, MESSAGES_PATH, body);
        let Ok(Ok(answer)) = tokio::time::timeout(ANSWER_LIMIT, call).await else {
            return Ok(false);
        };
        match answer.status {
            StatusCode::CREATED => {
                self.recorder.acknowledged(post, ids(&answer.json()?)?);
                Ok(true)
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::INTERNAL_SERVER_ERROR => Ok(false),
            status => anyhow::bail!("a post: {status} {:?} {}", answer.headers, answer.text()),
        }
    }
}

/// The ids in an answer to a post.
fn ids(answer: &Value) -> anyhow::Result<Vec<String>> {
    let resources = answer.get("resources").and_then(Value::as_array).context("no resources")?;
    resources.iter().map(|path| id_of(path.as_str().context("a path")?)).collect()
}

/// The last part of a message's path.
fn id_of(path: &str) -> anyhow::Result<String> {
    let path = path.split('?').next().unwrap_or(path);
    Ok(path.rsplit('/').next().context("a path without id")?.to_owned())
}

/// Everything that the queue holds.
pub(crate) async fn stored(address: SocketAddr) -> anyhow::Result<Vec<Stored>> {
    let mut client = Client::connect(address).await?;
    let mut stored = Vec::new();
    let mut path = format!("{MESSAGES_PATH}?limit=1000&echo=true&include_claimed=true");
    loop {
        let answer = client.get(&path).await?;
        anyhow::ensure!(answer.status == StatusCode::OK, "{}", answer.text());
        let page = answer.json()?;
        let messages = page.get("messages").and_then(Value::as_array).context("no messages")?;
        if messages.is_empty() {
            return Ok(stored);
        }
        for message in messages {
            let text = |pointer| message.pointer(pointer).and_then(Value::as_str);
            let key = text("/body/key").context("a message without key")?.to_owned();
            stored.push(Stored { id: id_of(text("/href").context("no href")?)?, key });
        }
        let next = page.pointer("/links/0/href").and_then(Value::as_str);
        path = next.context("no next page")?.to_owned();
    }
}
