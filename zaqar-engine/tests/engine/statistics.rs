//! Statistics and how long they are shared.

use std::time::Duration;

use zaqar_core::QueueStats;
use zaqar_engine::ClaimRequest;

use crate::world::{World, queue};

#[tokio::test]
async fn a_missing_queue_has_no_messages() {
    let world = World::new();
    let stats = world.engine.queue_stats(&queue("q")).await.unwrap();
    assert_eq!(stats, QueueStats::default());
}

#[tokio::test]
async fn a_client_sees_in_the_statistics_what_it_just_did() {
    let world = World::new();
    let key = queue("q");
    for expected in 1..=3 {
        world.post(&key, "1").await;
        let stats = world.engine.queue_stats(&key).await.unwrap();
        assert_eq!(stats.free, expected);
    }
    world.engine.claim_create(&key, ClaimRequest::new().limit(2)).await.unwrap();
    let stats = world.engine.queue_stats(&key).await.unwrap();
    assert_eq!((stats.claimed, stats.free, stats.total()), (2, 1, 3));
    world.engine.message_pop(&key, 1).await.unwrap();
    assert_eq!(world.engine.queue_stats(&key).await.unwrap().total(), 2);
}

#[tokio::test]
async fn an_answer_is_shared_for_a_second_while_nothing_changes() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    for _ in 0..5 {
        world.engine.queue_stats(&key).await.unwrap();
    }
    assert_eq!(world.script.count("message_stats"), 1);
    world.clock.advance(Duration::from_millis(999));
    world.engine.queue_stats(&key).await.unwrap();
    assert_eq!(world.script.count("message_stats"), 1);
    world.clock.advance(Duration::from_millis(1));
    world.engine.queue_stats(&key).await.unwrap();
    assert_eq!(world.script.count("message_stats"), 2);
}

#[tokio::test]
async fn a_slow_count_is_shared_although_the_queue_changes() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let gate = world.script.hold_after("message_stats");
    let counting = tokio::spawn({
        let (engine, key) = (world.engine.clone(), key.clone());
        async move { engine.queue_stats(&key).await }
    });
    world.script.reached("message_stats", 1).await;
    world.clock.advance(Duration::from_millis(50));
    gate.open();
    counting.await.unwrap().unwrap();

    world.post(&key, "2").await;
    assert_eq!(world.engine.queue_stats(&key).await.unwrap().total(), 1, "shared");
    world.clock.advance(Duration::from_millis(450));
    assert_eq!(world.engine.queue_stats(&key).await.unwrap().total(), 2, "counted anew");
}
