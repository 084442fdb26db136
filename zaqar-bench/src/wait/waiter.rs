//! One client that waits for something to claim, again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;

use crate::http::{Connection, Target};

/// A message that woke a waiter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) number: u64,
    pub(super) at: Instant,
}

/// What all waiters share.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) target: Arc<Target>,
    pub(super) wait: Duration,
    pub(super) timeout: Duration,
    /// Waits that ended without a message.
    pub(super) ended: Arc<AtomicU64>,
    pub(super) arrivals: UnboundedSender<Arrival>,
}

impl Waiting {
    /// Opens a connection to wait on.
    pub(super) async fn open(&self) -> anyhow::Result<Connection> {
        let mut connection = Connection::new(Arc::clone(&self.target), self.wait + self.timeout);
        let opened = connection.open().await;
        opened.ok().context("no connection; is the limit of open files high enough?")?;
        Ok(connection)
    }

    /// Waits until the run is over or something is wrong.
    pub(super) async fn run(self, mut connection: Connection, queue: String) -> anyhow::Result<()> {
        let path = format!("/v2/queues/{queue}/claims?limit=1&wait={}", self.wait.as_secs());
        let request = self.target.request("POST", &path, Some(br#"{"ttl": 43200, "grace": 60}"#));
        loop {
            let begun = Instant::now();
            let answer = match connection.call(&request).await {
                Ok(answer) => answer,
                Err(error) => bail!("a wait was not answered: {error}"),
            };
            let at = Instant::now();
            match answer.status {
                201 => {
                    let Ok(()) = self.arrivals.send(Arrival { number: number(answer.body)?, at })
                    else {
                        return Ok(());
                    };
                }
                204 => {
                    let waited = at - begun;
                    ensure!(waited >= self.wait / 2, "the server does not wait: {waited:?}");
                    self.ended.fetch_add(1, Ordering::Relaxed);
                }
                status => bail!("a wait was answered {status}"),
            }
        }
    }
}

/// The number of the message that a claim took.
fn number(body: &[u8]) -> anyhow::Result<u64> {
    let claimed: Value = serde_json::from_slice(body)?;
    let number = claimed.pointer("/messages/0/body/n").and_then(Value::as_u64);
    number.context("a claim took something that nobody posted")
}
