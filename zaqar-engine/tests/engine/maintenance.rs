//! Upkeep in the background.

use zaqar_core::GcOptions;
use zaqar_engine::ClaimRequest;

use crate::world::{World, queue};

#[tokio::test(start_paused = true)]
async fn the_background_tasks_do_all_duties_and_stop_when_told() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    world.script.fail_before("queue_remove");
    assert!(world.engine.queue_delete(&key).await.is_err());

    let maintenance = world.engine.spawn_maintenance();
    for duty in ["sweep", "gc", "queue_list_deleting", "transfer_lease"] {
        world.script.reached(duty, 1).await;
    }
    world.script.reached("queue_remove", 2).await;
    maintenance.stop().await;
    world.script.forget();
    tokio::time::advance(std::time::Duration::from_secs(100)).await;
    tokio::task::yield_now().await;
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_duty_that_fails_is_tried_again() {
    let world = World::new();
    world.script.fail_before("sweep");
    let maintenance = world.engine.spawn_maintenance();
    world.script.reached("sweep", 1).await;
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    world.script.reached("sweep", 2).await;
    maintenance.stop().await;
}

#[tokio::test]
async fn dropping_the_handle_ends_the_tasks() {
    let world = World::new();
    drop(world.engine.spawn_maintenance());
    world.engine.shutdown().await;
    assert!(world.engine.sweep().await.is_err(), "the stores are closed");
}

#[tokio::test]
async fn garbage_is_collected_after_the_margin() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    world.pass_s(3_600 + 300);
    assert!(world.engine.claim_create(&key, ClaimRequest::new()).await.unwrap().is_none());
    let report = world.engine.gc(GcOptions::new()).await.unwrap();
    assert!(report.rows >= 1, "{report:?}");
}

#[tokio::test]
async fn health_says_which_store_does_not_answer() {
    let world = World::new();
    assert!(world.engine.health().await.is_good());
    world.engine.ping().await.unwrap();
    world.script.fail_before("data_health");
    let health = world.engine.health().await;
    assert!(health.control.is_good());
    assert!(!health.data.reachable && !health.is_good());
    assert_eq!(health.data.warnings, ["the store does not answer"]);
    world.script.fail_before("control_health");
    assert!(world.engine.ping().await.is_err());
}
