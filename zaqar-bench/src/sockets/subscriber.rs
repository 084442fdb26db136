//! One connection that subscribes and notes what it is pushed.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};
use uuid::Uuid;

use super::histogram;
use super::options::SocketsOptions;

/// How long a subscription lives; a run that lasts longer misses messages.
const TTL_S: u64 = 86_400;

/// What all connections have to do.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) queue: String,
    pub(super) timeout: Duration,
    url: String,
    project: String,
    padding: String,
    /// When each message was posted.
    posted: Vec<OnceLock<Instant>>,
}

impl Plan {
    pub(super) fn new(options: &SocketsOptions) -> Self {
        let number_bytes = r#"{"n":123456,"p":""}"#.len();
        let posted = (0..options.messages).map(|_| OnceLock::new()).collect();
        Self {
            queue: format!("zaqar-bench-sockets-{}", Uuid::new_v4().simple()),
            timeout: options.timeout,
            url: options.socket_url(),
            project: options.project.clone(),
            padding: "x".repeat(options.body_bytes.saturating_sub(number_bytes)),
            posted,
        }
    }

    /// The request that posts a message.
    pub(super) fn message(&self, number: u64) -> String {
        let body = json!({"n": number, "p": self.padding});
        json!({"messages": [{"body": body, "ttl": 3_600}]}).to_string()
    }

    /// A message is posted now.
    pub(super) fn posts_now(&self, number: u64) {
        if let Some(posted) = self.at(number) {
            posted.get_or_init(Instant::now);
        }
    }

    fn at(&self, number: u64) -> Option<&OnceLock<Instant>> {
        self.posted.get(usize::try_from(number).ok()?)
    }
}

/// What connections were pushed.
#[derive(Debug)]
pub(super) struct Got {
    /// Different messages.
    pub(super) received: u64,
    pub(super) doubled: u64,
    pub(super) misordered: u64,
    /// From the start of the post to the arrival, in microseconds.
    pub(super) push_us: Histogram<u64>,
}

impl Got {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { received: 0, doubled: 0, misordered: 0, push_us: histogram()? })
    }

    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        self.received += other.received;
        self.doubled += other.doubled;
        self.misordered += other.misordered;
        self.push_us.add(&other.push_us)?;
        Ok(())
    }
}

/// An open connection that is subscribed.
#[derive(Debug)]
pub(super) struct Subscriber(WebSocketStream<TcpStream>);

impl Subscriber {
    pub(super) async fn open(plan: &Plan) -> anyhow::Result<Self> {
        let request = plan.url.as_str().into_client_request()?;
        let host = request.uri().host().context("the socket's URL names no host")?;
        let port = request.uri().port_u16().unwrap_or(80);
        let stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        stream.set_nodelay(true)?;
        let (mut socket, _) = client_async(request, stream).await?;
        let subscribe = json!({
            "action": "subscription_create",
            "headers": {"Client-ID": Uuid::new_v4().simple(), "X-Project-ID": plan.project},
            "body": {"queue_name": plan.queue, "ttl": TTL_S},
        });
        socket.send(Message::text(subscribe.to_string())).await?;
        let mut subscriber = Self(socket);
        let answer = subscriber.next().await?;
        let status = answer.pointer("/headers/status").and_then(Value::as_u64);
        ensure!(status == Some(201), "subscribing was answered {status:?}");
        Ok(subscriber)
    }

    async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            match self.0.next().await.context("the server closed a connection")?? {
                Message::Text(text) => return Ok(serde_json::from_str(text.as_str())?),
                Message::Ping(_) | Message::Pong(_) => {}
                other => bail!("unexpected: {other:?}"),
            }
        }
    }

    /// Reads until every message has come, or none comes any more.
    pub(super) async fn listen(mut self, plan: Arc<Plan>) -> anyhow::Result<Got> {
        let mut got = Got::new()?;
        let mut seen = vec![false; plan.posted.len()];
        let mut expected = 0;
        while got.received < seen.len() as u64 {
            // What is missing then, is counted as such.
            let Ok(pushed) = timeout(plan.timeout, self.next()).await else { break };
            let pushed = pushed?;
            let number = pushed.pointer("/body/n").and_then(Value::as_u64);
            let number = number.context("a notification that nobody posted")?;
            let since = plan.at(number).and_then(OnceLock::get);
            let since = since.context("a message came that was not posted yet")?;
            got.push_us.saturating_record(micros(since.elapsed()));
            let Some(seen) = usize::try_from(number).ok().and_then(|at| seen.get_mut(at)) else {
                bail!("message {number} was never posted");
            };
            if std::mem::replace(seen, true) {
                got.doubled += 1;
                continue;
            }
            got.received += 1;
            got.misordered += u64::from(number != expected);
            expected = number + 1;
        }
        if let Err(error) = self.0.close(None).await {
            bail!("a connection could not be closed: {error}");
        }
        Ok(got)
    }
}

/// Whole microseconds.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
