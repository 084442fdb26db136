//! The cache of routes, and the fence that makes it safe.

use std::time::Duration;

use serde_json::json;
use zaqar_core::{Effect, ListMessages, QueueKind};
use zaqar_engine::{EngineConfig, EngineError};

use crate::world::{World, object, one, project, queue};

#[tokio::test]
async fn a_post_by_a_stale_route_lands_in_the_present_queue() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "\"old\"").await;
    let (neighbour, _) = world.neighbour();
    neighbour.queue_delete(&key).await.unwrap();
    neighbour.queue_create(&key, object(json!({"_default_message_ttl": 99}))).await.unwrap();

    let id = world.post(&key, "\"new\"").await;
    let found = neighbour.message_list(&key, ListMessages::new()).await.unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].id, found[0].ttl.as_secs()), (id, 99), "with the new queue's default");
}

#[tokio::test]
async fn a_post_to_a_queue_that_was_deleted_elsewhere_makes_it_anew() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let (neighbour, _) = world.neighbour();
    neighbour.queue_delete(&key).await.unwrap();
    world.post(&key, "2").await;
    let found = neighbour.message_list(&key, ListMessages::new()).await.unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].body.as_str(), "2");
}

#[tokio::test]
async fn a_read_by_a_stale_route_sees_that_the_queue_is_gone() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let (neighbour, _) = world.neighbour();
    neighbour.queue_delete(&key).await.unwrap();
    let shown = world.engine.message_list(&key, ListMessages::new()).await.unwrap();
    assert!(shown.items.is_empty());
    assert!(!world.engine.queue_exists(&key).await.unwrap());
}

#[tokio::test]
async fn only_a_stale_route_is_resolved_again() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    world.script.forget();
    world.script.fail_before("message_post");
    let error = world.engine.message_post(&key, one("2")).await.unwrap_err();
    assert_eq!(error.effect(), Effect::None);
    assert_eq!(world.script.calls(), ["message_post"]);
}

#[tokio::test]
async fn that_there_is_no_queue_is_not_cached() {
    let world = World::new();
    let key = queue("q");
    let shown = world.engine.message_list(&key, ListMessages::new()).await.unwrap();
    assert!(shown.items.is_empty());
    let (neighbour, _) = world.neighbour();
    neighbour.message_post(&key, one("1")).await.unwrap();
    let shown = world.engine.message_list(&key, ListMessages::new()).await.unwrap();
    assert_eq!(shown.items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_first_posts_make_one_queue_and_none_is_lost() {
    let world = World::new();
    let key = queue("q");
    let posts: Vec<_> = (0..100)
        .map(|n| {
            let (engine, key) = (world.engine.clone(), key.clone());
            tokio::spawn(async move { engine.message_post(&key, one(&n.to_string())).await })
        })
        .collect();
    for post in posts {
        post.await.unwrap().unwrap();
    }
    assert_eq!(world.engine.volume().await.unwrap().free, 100);
    assert_eq!(world.engine.queue_count(&project(), QueueKind::Queue).await.unwrap(), 1);
    assert_eq!(world.script.count("queue_allocate_incarnation"), 1);
}

#[tokio::test]
async fn callers_share_one_resolution_of_a_name() {
    let world = World::new();
    let key = queue("q");
    let (neighbour, _) = world.neighbour();
    neighbour.message_post(&key, one("1")).await.unwrap();
    let gate = world.script.hold("queue_find");
    let reads: Vec<_> = (0..20)
        .map(|_| {
            let (engine, key) = (world.engine.clone(), key.clone());
            tokio::spawn(async move { engine.message_list(&key, ListMessages::new()).await })
        })
        .collect();
    world.script.reached("queue_find", 1).await;
    gate.open();
    for read in reads {
        assert_eq!(read.await.unwrap().unwrap().items.len(), 1);
    }
    assert_eq!(world.script.count("queue_find"), 1);
}

#[tokio::test]
async fn all_who_wait_for_a_resolution_learn_that_it_failed() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let (engine, script) = world.neighbour();
    script.fail_before("queue_find");
    let reads: Vec<_> = (0..5)
        .map(|_| {
            let (engine, key) = (engine.clone(), key.clone());
            tokio::spawn(async move { engine.message_list(&key, ListMessages::new()).await })
        })
        .collect();
    let mut failed = 0;
    for read in reads {
        match read.await.unwrap() {
            Ok(page) => assert_eq!(page.items.len(), 1),
            Err(error) => {
                assert_eq!(error.effect(), Effect::None);
                assert!(matches!(error, EngineError::Store(_)));
                failed += 1;
            }
        }
    }
    assert!(failed >= 1, "at least the one whose call failed");
}

#[tokio::test]
async fn without_a_cache_every_operation_resolves_its_name() {
    let mut config = EngineConfig::default();
    config.queue_cache_ttl = Duration::ZERO;
    let world = World::with(config);
    let key = queue("q");
    world.post(&key, "1").await;
    world.script.forget();
    world.post(&key, "2").await;
    assert_eq!(world.script.calls(), ["queue_find", "message_post"]);
}
