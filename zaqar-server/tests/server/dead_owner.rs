//! A server that is killed leaves subscriptions of its connections behind, for a short while.

use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use zaqar_core::{
    Body, Clock, DisciplinedClock, GcOptions, ManualClock, PageLimit, ProjectId, QueueKey,
    QueueName, Timestamp,
};
use zaqar_engine::{Engine, EngineConfig, PostMessage, PostRequest, StoreOptions, registry};

use crate::support::program::{Program, command};

/// How long they outlive it, at most.
const LEASE_S: i64 = 180;

/// The store as a server sees it whose clock is ahead.
async fn later(storage: &str, ahead_s: i64) -> anyhow::Result<Engine> {
    let now = DisciplinedClock::from_system().now();
    let time = Timestamp::from_millis(now.as_millis() + ahead_s * 1_000);
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(time));
    let stores = registry::open(storage, &StoreOptions::new(Arc::clone(&clock))).await?;
    Ok(Engine::new(stores, clock, EngineConfig::default()))
}

#[tokio::test]
async fn subscriptions_of_a_killed_servers_connections_end_soon_with_what_they_held_back()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let storage = format!("sqlite:{}", folder.path().join("zaqar.db").display());
    let arguments = ["--storage", &storage, "--port", "0", "--admin-bind", ""];
    let mut program = Program::start(&mut command(&arguments)).await?;
    let url = format!("ws://{}/v2/ws", program.address);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
    let subscribe = json!({
        "action": "subscription_create",
        "headers": {"Client-ID": crate::support::client::CLIENT_ID, "X-Project-ID": "p"},
        "body": {"queue_name": "q", "ttl": 86_400},
    });
    socket.send(Message::text(subscribe.to_string())).await?;
    let answer = socket.next().await.unwrap()?.into_text()?;
    assert!(answer.as_str().contains("201"), "{answer}");
    program.child.kill().await?;

    let key = QueueKey::queue(ProjectId::new("p")?, QueueName::new("q")?);
    let count = async |engine: &Engine| {
        let list = engine.subscription_list(&key, None, PageLimit::default()).await;
        list.map(|page| page.items.len())
    };
    let now = later(&storage, 0).await?;
    assert_eq!(count(&now).await?, 1);
    let message = PostMessage::new(Body::from_json("1")?);
    now.message_post(&key, PostRequest::new(vec![message])).await?;
    assert_eq!(now.data_driver().outbox().outbox_backlog().await?.entries, 1);

    assert_eq!(count(&later(&storage, LEASE_S).await?).await?, 0);
    // What has been over for a while is removed, and nothing is kept for it.
    let after = later(&storage, LEASE_S + 600).await?;
    while after.data_driver().gc(GcOptions::new()).await?.more {}
    assert_eq!(after.data_driver().outbox().outbox_backlog().await?.entries, 0);
    Ok(())
}
