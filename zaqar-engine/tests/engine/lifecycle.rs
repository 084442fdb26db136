//! Making and deleting queues, cut short and raced.

use serde_json::json;
use zaqar_core::{
    Body, ControlDriver, DataDriver, Effect, ListMessages, NewMessage, PostMessages, QueueState,
    Ttl,
};

use crate::world::{World, object, one, queue};

#[tokio::test]
async fn a_deleted_queue_comes_back_empty_and_without_its_metadata() {
    let world = World::new();
    let key = queue("q");
    world.engine.queue_create(&key, object(json!({"a": 1}))).await.unwrap();
    world.post(&key, "1").await;
    world.engine.queue_delete(&key).await.unwrap();
    world.engine.queue_delete(&key).await.unwrap();
    assert!(!world.engine.queue_exists(&key).await.unwrap());
    assert!(world.engine.queue_create(&key, object(json!({}))).await.unwrap().is_new());
    assert_eq!(world.engine.queue_get(&key).await.unwrap().get("a"), None);
    assert!(world.engine.message_list(&key, ListMessages::new()).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_deletion_cut_short_at_any_step_reads_as_missing_and_is_finished_by_maintenance() {
    for step in ["head_close", "queue_remove"] {
        let world = World::new();
        let key = queue("q");
        world.post(&key, "1").await;
        world.script.fail_before(step);
        assert!(world.engine.queue_delete(&key).await.is_err());
        assert!(!world.engine.queue_exists(&key).await.unwrap(), "{step}");
        let found = world.control().queues().queue_find(&key).await.unwrap();
        assert_eq!(found.unwrap().state, QueueState::Deleting, "{step}");

        let report = world.engine.finish_interrupted().await.unwrap();
        assert_eq!((report.deletions, report.failed), (1, 0), "{step}");
        assert_eq!(world.control().queues().queue_find(&key).await.unwrap(), None, "{step}");
    }
}

#[tokio::test]
async fn whoever_meets_an_interrupted_deletion_finishes_it() {
    let world = World::new();
    let key = queue("q");
    for by in ["a create", "a delete", "a post", "a read"] {
        world.post(&key, "\"old\"").await;
        world.script.fail_before("head_close");
        assert!(world.engine.queue_delete(&key).await.is_err());
        // A process that has no stale route of its own meets the record itself.
        let (engine, _) = world.neighbour();
        match by {
            "a create" => {
                assert!(engine.queue_create(&key, object(json!({}))).await.unwrap().is_new());
            }
            "a delete" => engine.queue_delete(&key).await.unwrap(),
            "a post" => {
                engine.message_post(&key, one("\"new\"")).await.unwrap();
            }
            _ => {
                engine.message_list(&key, ListMessages::new()).await.unwrap();
            }
        }
        let shown = engine.message_list(&key, ListMessages::new()).await.unwrap().items;
        let old = shown.iter().filter(|message| message.body.as_str() == "\"old\"");
        assert_eq!(old.count(), 0, "{by}");
        let report = world.engine.finish_interrupted().await.unwrap();
        assert_eq!(report.deletions, 0, "{by} left nothing to finish");
        world.engine.queue_delete(&key).await.unwrap();
    }
}

#[tokio::test]
async fn a_create_whose_answer_is_lost_asks_who_holds_the_name() {
    let world = World::new();
    let key = queue("q");
    world.script.fail_after("queue_insert");
    let created = world.engine.queue_create(&key, object(json!({"a": 1}))).await.unwrap();
    assert!(created.is_new());
    world.post(&key, "1").await;
    assert_eq!(world.engine.queue_get(&key).await.unwrap()["a"], 1);
}

#[tokio::test]
async fn a_create_that_was_refused_closes_the_head_that_it_opened() {
    let world = World::new();
    let key = queue("q");
    world.script.fail_before("queue_insert");
    assert!(world.engine.queue_create(&key, object(json!({}))).await.is_err());
    assert_eq!(world.script.count("head_close"), 1);
    assert!(world.engine.queue_create(&key, object(json!({}))).await.unwrap().is_new());
}

#[tokio::test]
async fn the_loser_of_a_race_closes_its_head_and_uses_the_winners() {
    let world = World::new();
    let key = queue("q");
    let (neighbour, _) = world.neighbour();
    let gate = world.script.hold("queue_insert");
    let loser = tokio::spawn({
        let (engine, key) = (world.engine.clone(), key.clone());
        async move { engine.queue_create(&key, object(json!({"by": "loser"}))).await }
    });
    world.script.reached("queue_insert", 1).await;
    let won = neighbour.queue_create(&key, object(json!({"by": "winner"}))).await.unwrap();
    assert!(won.is_new());
    gate.open();
    assert!(!loser.await.unwrap().unwrap().is_new());
    assert_eq!(world.script.count("head_close"), 1);
    assert_eq!(world.engine.queue_get(&key).await.unwrap()["by"], "winner");
    world.post(&key, "1").await;
    let shown = neighbour.message_list(&key, ListMessages::new()).await.unwrap();
    assert_eq!(shown.items.len(), 1);
}

#[tokio::test]
async fn steps_go_on_when_the_caller_leaves() {
    let world = World::new();
    let key = queue("q");
    let gate = world.script.hold("queue_insert");
    let caller = tokio::spawn({
        let (engine, key) = (world.engine.clone(), key.clone());
        async move { engine.queue_create(&key, object(json!({}))).await }
    });
    world.script.reached("queue_insert", 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    gate.open();
    crate::probe::until(|| world.script.count("queue_insert") == 1).await;
    world.engine.shutdown().await;
    let found = world.control().queues().queue_find(&key).await.unwrap();
    assert_eq!(found.unwrap().state, QueueState::Active);
}

/// A post that resolved its queue before the delete must be refused after it, not stored where
/// nobody looks (G11).
#[tokio::test]
async fn a_post_that_a_delete_overtakes_is_stored_in_the_queue_made_anew() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let gate = world.script.hold("message_post");
    let post = tokio::spawn({
        let (engine, key) = (world.engine.clone(), key.clone());
        async move { engine.message_post(&key, one("2")).await }
    });
    world.script.reached("message_post", 2).await;
    world.engine.queue_delete(&key).await.unwrap();
    gate.open();
    let id = post.await.unwrap().unwrap().ids[0];
    let shown = world.engine.message_list(&key, ListMessages::new()).await.unwrap().items;
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].id, id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_post_during_deletes_is_in_the_present_queue_or_covered_by_a_delete() {
    let world = World::new();
    let key = queue("q");
    let (neighbour, _) = world.neighbour();
    let posters: Vec<_> = [world.engine.clone(), neighbour.clone()]
        .into_iter()
        .map(|engine| {
            let key = key.clone();
            tokio::spawn(async move {
                for n in 0..200 {
                    // Deleted under it time and again, a post may give up; it says so with certainty.
                    while let Err(refused) = engine.message_post(&key, one(&n.to_string())).await {
                        assert_eq!(refused.effect(), Effect::None, "{refused:?}");
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for _ in 0..50 {
        neighbour.queue_delete(&key).await.unwrap();
        tokio::task::yield_now().await;
    }
    for poster in posters {
        poster.await.unwrap();
    }
    // What the present queue shows is all there is: nothing lives on under a closed head.
    let stats = world.engine.queue_stats(&key).await.unwrap();
    let volume = world.engine.volume().await.unwrap();
    assert_eq!(stats.total(), volume.free + volume.claimed);
    world.engine.queue_delete(&key).await.unwrap();
    let volume = world.engine.volume().await.unwrap();
    assert_eq!(volume.free + volume.claimed, 0);
}

#[tokio::test]
async fn a_closed_head_refuses_what_comes_by_an_old_reference() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let record = world.control().queues().queue_find(&key).await.unwrap().unwrap();
    world.engine.queue_delete(&key).await.unwrap();
    let data = world.data();
    let message = NewMessage::new(Body::from_json("1").unwrap(), Ttl::from_secs_clamped(60));
    let queue = record.queue_ref();
    let posted = data.messages().message_post(&queue, vec![message], PostMessages::new()).await;
    assert!(posted.is_err());
    assert!(data.heads().head_open(&queue).await.is_err(), "a closed head stays closed");
}
