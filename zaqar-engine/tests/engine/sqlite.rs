//! The engine over the SQLite driver: what an embedder gets.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use zaqar_core::{
    Body, Clock, JsonObject, ListMessages, ManualClock, ProjectId, QueueKey, QueueName,
};
use zaqar_engine::{
    ClaimRequest, Engine, EngineConfig, PostMessage, PostRequest, PurgeTargets, StoreOptions,
    registry,
};

async fn open(file: &Path, clock: &Arc<ManualClock>) -> Engine {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let options = StoreOptions::new(Arc::clone(&clock));
    let uri = format!("sqlite://{}", file.display());
    let stores = registry::open(&uri, &options).await.unwrap();
    Engine::new(stores, clock, EngineConfig::default())
}

fn queue(name: &str) -> QueueKey {
    QueueKey::queue(ProjectId::new("p").unwrap(), QueueName::new(name).unwrap())
}

fn one(body: &str) -> PostRequest {
    PostRequest::new(vec![PostMessage::new(Body::from_json(body).unwrap())])
}

#[tokio::test]
async fn messages_and_metadata_are_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zaqar.db");
    let clock = Arc::new(ManualClock::default());
    let engine = open(&file, &clock).await;
    let metadata = json!({"b": 1, "a": {"nested": [null]}}).as_object().unwrap().clone();
    engine.queue_create(&queue("q"), metadata).await.unwrap();
    let id = engine.message_post(&queue("q"), one("{\"x\" : 1}")).await.unwrap().ids[0];
    engine.shutdown().await;

    let engine = open(&file, &clock).await;
    let found = engine.message_get(&queue("q"), id).await.unwrap();
    assert_eq!(found.body.as_str(), "{\"x\" : 1}");
    let shown = engine.queue_get(&queue("q")).await.unwrap();
    assert_eq!(shown.keys().take(2).collect::<Vec<_>>(), ["b", "a"]);
    engine.shutdown().await;
}

#[tokio::test]
async fn two_processes_on_one_file_see_each_others_work() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zaqar.db");
    let clock = Arc::new(ManualClock::default());
    let (here, there) = (open(&file, &clock).await, open(&file, &clock).await);
    let key = queue("q");
    here.message_post(&key, one("1")).await.unwrap();
    assert_eq!(there.message_list(&key, ListMessages::new()).await.unwrap().items.len(), 1);
    there.queue_delete(&key).await.unwrap();
    let id = here.message_post(&key, one("2")).await.unwrap().ids[0];
    let shown = there.message_list(&key, ListMessages::new()).await.unwrap().items;
    assert_eq!(shown.iter().map(|message| message.id).collect::<Vec<_>>(), [id]);
    here.shutdown().await;
    there.shutdown().await;
}

#[tokio::test]
async fn a_message_claimed_too_often_ends_in_the_dead_letter_queue() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let engine = open(&dir.path().join("zaqar.db"), &clock).await;
    let key = queue("q");
    let metadata = json!({"_max_claim_count": 2, "_dead_letter_queue": "dead"});
    let metadata: JsonObject = metadata.as_object().unwrap().clone();
    engine.queue_create(&key, metadata).await.unwrap();
    let id = engine.message_post(&key, one("1")).await.unwrap().ids[0];
    for _ in 0..2 {
        let claimed = engine.claim_create(&key, ClaimRequest::new().ttl(60)).await.unwrap();
        assert_eq!(claimed.unwrap().messages.len(), 1);
        clock.advance(Duration::from_secs(60));
    }
    assert!(engine.claim_create(&key, ClaimRequest::new()).await.unwrap().is_none());
    let shown = engine.message_list(&queue("dead"), ListMessages::new()).await.unwrap().items;
    assert_eq!(shown.iter().map(|message| message.id).collect::<Vec<_>>(), [id]);
    assert_eq!(engine.queue_stats(&key).await.unwrap().total(), 0);
    assert_eq!(engine.outbox_backlog().await.unwrap().transfers, 0);
    engine.shutdown().await;
}

#[tokio::test]
async fn maintenance_runs_beside_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let engine = open(&dir.path().join("zaqar.db"), &clock).await;
    let maintenance = engine.spawn_maintenance();
    for n in 0..100 {
        engine.message_post(&queue("q"), one(&n.to_string())).await.unwrap();
    }
    assert!(engine.health().await.is_good());
    assert_eq!(engine.volume().await.unwrap().free, 100);
    engine.queue_purge(&queue("q"), PurgeTargets::ALL).await.unwrap();
    assert_eq!(engine.volume().await.unwrap().free, 0);
    maintenance.stop().await;
    engine.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn posts_race_deletes_of_another_process_and_none_is_orphaned() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zaqar.db");
    let clock = Arc::new(ManualClock::default());
    let (here, there) = (open(&file, &clock).await, open(&file, &clock).await);
    let key = queue("q");
    let posters: Vec<_> = [&here, &here, &there]
        .into_iter()
        .map(|engine| {
            let (engine, key) = (engine.clone(), key.clone());
            tokio::spawn(async move {
                for n in 0..50 {
                    engine.message_post(&key, one(&n.to_string())).await.unwrap();
                }
            })
        })
        .collect();
    for _ in 0..15 {
        there.queue_delete(&key).await.unwrap();
    }
    for poster in posters {
        poster.await.unwrap();
    }
    let id = here.message_post(&key, one("\"last\"")).await.unwrap().ids[0];
    assert_eq!(there.message_get(&key, id).await.unwrap().body.as_str(), "\"last\"");
    // What the present queue shows is all there is: nothing lives on under a closed head.
    let total = there.queue_stats(&key).await.unwrap().total();
    let volume = there.volume().await.unwrap();
    assert_eq!(volume.free + volume.claimed, total);
    here.shutdown().await;
    there.shutdown().await;
}
