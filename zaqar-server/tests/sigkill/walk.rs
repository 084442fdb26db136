//! Lists everything that a server holds.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;
use http::StatusCode;
use serde_json::Value;

use crate::ledger::Ledger;
use crate::support::client::Client;

/// The queues that the load uses.
pub(crate) const QUEUES: [&str; 2] = ["orders", "events"];

/// The text that a message carries, by which the ledger knows it.
pub(crate) fn key_of(message: &Value) -> anyhow::Result<String> {
    let body = message.pointer("/body/key").and_then(Value::as_str);
    Ok(body.with_context(|| format!("a message without our body: {message}"))?.to_owned())
}

/// Walks through all queues, claimed messages too, and compares with what clients know.
pub(crate) async fn compare(
    address: SocketAddr,
    project: &str,
    ledger: &Ledger,
) -> anyhow::Result<()> {
    let asked = Instant::now();
    let mut client = Client::connect(address).await?;
    client.project = project.to_owned();
    let mut found = Vec::new();
    for queue in QUEUES {
        let before = found.len();
        let mut path =
            format!("/v2/queues/{queue}/messages?limit=1000&echo=true&include_claimed=true");
        loop {
            let answer = client.get(&path).await?;
            if answer.status == StatusCode::NOT_FOUND {
                break;
            }
            anyhow::ensure!(answer.status == StatusCode::OK, "{}", answer.text());
            let page = answer.json()?;
            let messages = page.get("messages").and_then(Value::as_array).context("no messages")?;
            if messages.is_empty() {
                break;
            }
            for message in messages {
                found.push(key_of(message)?);
            }
            let next =
                page.pointer("/links/0/href").and_then(Value::as_str).context("no next page")?;
            path = next.to_owned();
        }
        ledger.compare_order(found.get(before..).unwrap_or_default());
    }
    ledger.compare(&found, asked);
    Ok(())
}
