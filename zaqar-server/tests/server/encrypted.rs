//! Encrypted queues end to end: plaintext for a web server and a socket that subscribed, none of it in
//! the store's files, and keys that change while messages are there.

use std::path::Path;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_tungstenite::tungstenite::Message;

use super::notifications::receiver;
use super::{Ended, Server};
use crate::support::client::{CLIENT_ID, Client};

const OLD: &str = "old:0123456789abcdef0123456789abcdef";
const NEW: &str = "new:fedcba9876543210fedcba9876543210";
/// What nobody may find in a file.
const SECRET: &str = "the-harbour-master-is-asleep";
/// What is there for all to find: the search is not blind.
const OPEN: &str = "the-tide-is-coming-in";

/// Starts a server on the file in `folder`, which delivers to `port`.
async fn start(folder: &TempDir, keys: &[&str], port: u16) -> anyhow::Result<Server> {
    let uri = format!("sqlite:{}", folder.path().join("zaqar.db").display());
    Server::start(|config| {
        config.message_store.uri = uri.as_str().into();
        config.encryption.keys = match keys {
            [one] => [*one].into(),
            [one, two] => [*one, *two].into(),
            _ => Default::default(),
        };
        config.notification.allowed_networks.0 = vec!["127.0.0.0/8".to_owned()];
        config.notification.allowed_ports.0 = vec![port.to_string()];
    })
    .await
}

async fn made(client: &mut Client, method: Method, path: &str, body: Value) -> anyhow::Result<()> {
    let answer = client.call(method, path, body.to_string()).await?;
    anyhow::ensure!(answer.status == 201, "{path}: {} {}", answer.status, answer.text());
    Ok(())
}

async fn post(client: &mut Client, queue: &str, text: &str) -> anyhow::Result<()> {
    let body = json!({"messages": [{"body": {"text": text}, "ttl": 600}]});
    made(client, Method::POST, &format!("/v2/queues/{queue}/messages"), body).await
}

/// How many of the store's files hold the text.
fn files_with(folder: &Path, text: &str) -> anyhow::Result<usize> {
    let mut count = 0;
    for entry in std::fs::read_dir(folder)? {
        let bytes = std::fs::read(entry?.path())?;
        let is_there = bytes.windows(text.len()).any(|window| window == text.as_bytes());
        count += usize::from(is_there);
    }
    Ok(count)
}

/// The texts of all messages of the encrypted queue; the status if there is none.
async fn listed(client: &mut Client) -> anyhow::Result<Result<Vec<String>, u16>> {
    let answer = client.get("/v2/queues/secret/messages?echo=true").await?;
    if answer.status != 200 {
        return Ok(Err(answer.status.as_u16()));
    }
    let answer = answer.json()?;
    let messages = answer["messages"].as_array().cloned().unwrap_or_default();
    let text = |message: &Value| message["body"]["text"].as_str().unwrap_or_default().to_owned();
    Ok(Ok(messages.iter().map(text).collect()))
}

#[tokio::test]
async fn subscribers_get_plaintext_of_what_no_file_holds() -> anyhow::Result<()> {
    let (port, received) = receiver().await?;
    let folder = tempfile::tempdir()?;
    let server = start(&folder, &[OLD], port).await?;
    let mut client = server.client().await?;
    let encrypted = json!({"_enable_encrypt_messages": true});
    made(&mut client, Method::PUT, "/v2/queues/secret", encrypted).await?;
    let hook = json!({"subscriber": format!("http://127.0.0.1:{port}/"), "ttl": 600});
    made(&mut client, Method::POST, "/v2/queues/secret/subscriptions", hook).await?;
    let url = format!("ws://{}/v2/ws", server.address());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let subscribe = json!({
        "action": "subscription_create",
        "headers": {"Client-ID": CLIENT_ID, "X-Project-ID": client.project},
        "body": {"queue_name": "secret", "ttl": 600},
    });
    socket.send(Message::text(subscribe.to_string())).await?;
    let next = socket.next().await.ok_or_else(|| anyhow::anyhow!("the socket was closed"))?;
    assert!(next?.into_text()?.contains("201"));

    post(&mut client, "secret", SECRET).await?;
    post(&mut client, "open", OPEN).await?;
    let pushed = tokio::time::timeout(Duration::from_secs(60), socket.next()).await?;
    let pushed = pushed.ok_or_else(|| anyhow::anyhow!("the socket was closed"))??.into_text()?;
    assert!(pushed.contains(SECRET), "{pushed}");
    // The receiver refuses the first request, so this was kept for another attempt, too.
    let mut looks = tokio::time::interval(Duration::from_millis(10));
    let both = async {
        while received.lock().unwrap().len() < 2 {
            looks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both).await?;
    for sent in received.lock().unwrap().iter() {
        assert_eq!(sent["body"]["text"], SECRET);
    }
    assert_eq!(listed(&mut client).await?, Ok(vec![SECRET.to_owned()]));
    // While the server runs, its log is among the files.
    assert_eq!(files_with(folder.path(), SECRET)?, 0);
    assert!(files_with(folder.path(), OPEN)? > 0);
    drop(socket);
    assert_eq!(server.stop().await, Ended::Finished);
    assert_eq!(files_with(folder.path(), SECRET)?, 0);
    assert!(files_with(folder.path(), OPEN)? > 0);
    Ok(())
}

#[tokio::test]
async fn keys_change_and_messages_stay_readable_as_long_as_theirs_is_there() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let old = start(&folder, &[OLD], 1).await?;
    let mut client = old.client().await?;
    let encrypted = json!({"_enable_encrypt_messages": true});
    made(&mut client, Method::PUT, "/v2/queues/secret", encrypted).await?;
    post(&mut client, "secret", "first").await?;
    assert_eq!(old.stop().await, Ended::Finished);

    let both = ["first".to_owned(), "second".to_owned()];
    let rotated = start(&folder, &[NEW, OLD], 1).await?;
    let mut client = rotated.client().await?;
    post(&mut client, "secret", "second").await?;
    assert_eq!(listed(&mut client).await?, Ok(both.to_vec()));
    assert_eq!(rotated.stop().await, Ended::Finished);

    // The old key was removed too early: that is said, and nothing is lost by it.
    let hasty = start(&folder, &[NEW], 1).await?;
    let mut client = hasty.client().await?;
    assert_eq!(listed(&mut client).await?, Err(503));
    for (method, path, body) in [
        (Method::POST, "/v2/queues/secret/claims", r#"{"ttl": 60, "grace": 60}"#),
        (Method::DELETE, "/v2/queues/secret/messages?pop=2", ""),
    ] {
        let answer = client.call(method, path, body).await?;
        assert_eq!(answer.status, 503, "{path}: {}", answer.text());
        assert!(answer.text().contains("Message encryption"), "{}", answer.text());
    }
    assert_eq!(hasty.stop().await, Ended::Finished);

    let again = start(&folder, &[NEW, OLD], 1).await?;
    let mut client = again.client().await?;
    assert_eq!(listed(&mut client).await?, Ok(both.to_vec()));
    assert_eq!(again.stop().await, Ended::Finished);
    Ok(())
}
