//! Changes to metadata.

use serde_json::{Value, json};
use zaqar_core::{Error, ErrorClass};
use zaqar_engine::{EngineError, PatchOperation};

use crate::world::{World, object, one, queue, topic};

fn add(key: &str, value: Value) -> PatchOperation {
    PatchOperation::Add { key: key.into(), value }
}

fn replace(key: &str, value: Value) -> PatchOperation {
    PatchOperation::Replace { key: key.into(), value }
}

fn remove(key: &str) -> PatchOperation {
    PatchOperation::Remove { key: key.into() }
}

#[tokio::test]
async fn operations_are_applied_in_order_and_the_result_is_shown_with_defaults() {
    let world = World::new();
    let key = queue("q");
    world.engine.queue_create(&key, object(json!({"a": 1, "b": 2}))).await.unwrap();
    let operations = [
        add("c", json!(3)),
        replace("a", json!([1])),
        remove("b"),
        add("b", json!("again")),
        replace("_default_message_ttl", json!(600)),
        remove("_max_claim_count"),
    ];
    let shown = world.engine.queue_patch(&key, &operations).await.unwrap();
    assert_eq!(shown, world.engine.queue_get(&key).await.unwrap());
    let expected = json!({
        "a": [1], "c": 3, "b": "again", "_default_message_ttl": 600,
        "_max_messages_post_size": 262_144, "_default_message_delay": 0,
        "_dead_letter_queue": null, "_dead_letter_queue_messages_ttl": null,
        "_max_claim_count": null, "_enable_encrypt_messages": false,
    });
    assert_eq!(shown, object(expected));
    assert_eq!(world.engine.queue_patch(&key, &[]).await.unwrap(), shown);
}

#[tokio::test]
async fn a_failing_operation_leaves_the_metadata_as_it_was() {
    let world = World::new();
    let key = queue("q");
    world.engine.queue_create(&key, object(json!({"a": 1}))).await.unwrap();
    let before = world.engine.queue_get(&key).await.unwrap();
    let cases = [
        ([add("x", json!(1)), replace("k", json!(1))], "Can't replace non-existent object k."),
        ([add("x", json!(1)), remove("k")], "Can't remove non-existent object k."),
        (
            [add("x", json!(1)), replace("_flavor", json!("f"))],
            "Can't replace non-existent object _flavor.",
        ),
        (
            [add("x", json!(1)), add("_default_message_ttl", json!("1"))],
            "_default_message_ttl must be integer.",
        ),
    ];
    for (operations, text) in cases {
        let error = world.engine.queue_patch(&key, &operations).await.unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!(world.engine.queue_get(&key).await.unwrap(), before);
    }
}

#[tokio::test]
async fn a_topic_has_fewer_attributes_that_count_as_present() {
    let world = World::new();
    let key = topic("t");
    world.engine.queue_create(&key, object(json!({}))).await.unwrap();
    world.engine.queue_patch(&key, &[remove("_default_message_ttl")]).await.unwrap();
    let error = world.engine.queue_patch(&key, &[remove("_max_claim_count")]).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Conflict);
}

#[tokio::test]
async fn a_missing_queue_is_not_made_by_a_patch() {
    let world = World::new();
    let error = world.engine.queue_patch(&queue("q"), &[add("a", json!(1))]).await.unwrap_err();
    assert!(matches!(error, EngineError::Store(Error::QueueNotFound { .. })), "{error}");
    assert!(!world.engine.queue_exists(&queue("q")).await.unwrap());
}

#[tokio::test]
async fn no_concurrent_change_is_lost() {
    let world = World::new();
    let key = queue("q");
    world.engine.queue_create(&key, object(json!({}))).await.unwrap();
    let (neighbour, _) = world.neighbour();
    let gate = world.script.hold("queue_set_metadata");
    let slow = tokio::spawn({
        let (engine, key) = (world.engine.clone(), key.clone());
        async move { engine.queue_patch(&key, &[add("slow", json!(1))]).await }
    });
    world.script.reached("queue_set_metadata", 1).await;
    neighbour.queue_patch(&key, &[add("quick", json!(2))]).await.unwrap();
    gate.open();
    let shown = slow.await.unwrap().unwrap();
    assert_eq!((&shown["slow"], &shown["quick"]), (&json!(1), &json!(2)));
    assert_eq!(world.script.count("queue_set_metadata"), 2);
}

#[tokio::test]
async fn a_change_takes_effect_on_the_next_post() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let change = [replace("_default_message_ttl", json!(77))];
    world.engine.queue_patch(&key, &change).await.unwrap();
    let id = world.engine.message_post(&key, one("2")).await.unwrap().ids[0];
    assert_eq!(world.engine.message_get(&key, id).await.unwrap().ttl.as_secs(), 77);
}

#[tokio::test]
async fn patches_do_not_add_up_beyond_the_bound_on_metadata() {
    let world = World::new();
    let key = queue("q");
    world.engine.queue_create(&key, object(json!({}))).await.unwrap();
    let half = json!("x".repeat(40_000));
    world.engine.queue_patch(&key, &[add("a", half.clone())]).await.unwrap();
    let error = world.engine.queue_patch(&key, &[add("b", half.clone())]).await.unwrap_err();
    assert_eq!(error.to_string(), "Queue metadata is too large. Max size: 65536");
    world.engine.queue_patch(&key, &[remove("a"), add("b", half)]).await.unwrap();
}
