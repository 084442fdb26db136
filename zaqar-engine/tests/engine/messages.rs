//! Posting and reading.

use zaqar_core::{Body, Effect, Error, ErrorClass, ListMessages, MessageId, PageLimit};
use zaqar_engine::{EngineConfig, EngineError, PostRequest};

use crate::world::{World, message, object, one, queue};

#[tokio::test]
async fn the_first_post_makes_the_queue_and_the_next_one_asks_the_control_store_no_more() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    assert!(world.engine.queue_exists(&key).await.unwrap());
    world.script.forget();
    world.post(&key, "2").await;
    assert_eq!(world.script.calls(), ["message_post"]);
}

#[tokio::test]
async fn a_refused_post_leaves_no_queue_behind() {
    let world = World::new();
    let key = queue("q");
    let refused = [
        (PostRequest::new(Vec::new()), "No messages to enqueu."),
        (
            PostRequest::new(vec![message("1"); 1_001]),
            "The number of messages may not exceed 1000.",
        ),
        (
            PostRequest::new(vec![message("1"), message("2").ttl(59)]),
            "The TTL for a message may not exceed 1209600 seconds, and must be at least 60 seconds \
             long.",
        ),
        (
            PostRequest::new(vec![message("1").ttl(1_209_601)]),
            "The TTL for a message may not exceed 1209600 seconds, and must be at least 60 seconds \
             long.",
        ),
        (
            PostRequest::new(vec![message("1").delay(901)]),
            "The Delay TTL for a message may not exceed 900 seconds,and must be at least 0 seconds \
             long.",
        ),
    ];
    for (request, text) in refused {
        let error = world.engine.message_post(&key, request).await.unwrap_err();
        assert_eq!(error.to_string(), text);
        assert_eq!((error.class(), error.effect()), (ErrorClass::Invalid, Effect::None));
    }
    assert_eq!(world.script.calls(), [""; 0]);
    assert!(!world.engine.queue_exists(&key).await.unwrap());
}

#[tokio::test]
async fn life_and_delay_come_from_the_message_then_the_queue_then_the_configuration() {
    let world = World::new();
    let key = queue("q");
    let configured = world.post(&key, "1").await;
    let found = world.engine.message_get(&key, configured).await.unwrap();
    assert_eq!(found.ttl.as_secs(), 3_600);

    let own = queue("own");
    let metadata = serde_json::json!({"_default_message_ttl": 120, "_default_message_delay": 30});
    world.engine.queue_create(&own, object(metadata)).await.unwrap();
    let request = PostRequest::new(vec![message("1"), message("2").ttl(90).delay(0)]);
    let ids = world.engine.message_post(&own, request).await.unwrap().ids;
    let found = world.engine.message_bulk_get(&own, &ids).await.unwrap();
    let lives: Vec<u64> = found.iter().map(|message| message.ttl.as_secs()).collect();
    assert_eq!(lives, [120, 90]);
    let shown = world.engine.message_list(&own, ListMessages::new()).await.unwrap();
    let bodies: Vec<&str> = shown.items.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["2"], "the queue's default delay hides the other one");
}

#[tokio::test]
async fn a_default_beyond_a_bound_that_was_lowered_is_cut_to_it() {
    let mut config = EngineConfig::default();
    config.limits.message_ttl_max = 100;
    config.defaults.message_ttl = 3_600;
    let world = World::with(config);
    let id = world.post(&queue("q"), "1").await;
    let found = world.engine.message_get(&queue("q"), id).await.unwrap();
    assert_eq!(found.ttl.as_secs(), 100);
}

#[tokio::test]
async fn a_missing_queue_reads_as_empty_and_is_not_made() {
    let world = World::new();
    let (engine, key) = (&world.engine, queue("none"));
    let id: MessageId = "000000000100000000000001".parse().unwrap();
    assert!(engine.message_list(&key, ListMessages::new()).await.unwrap().items.is_empty());
    assert!(engine.message_bulk_get(&key, &[id]).await.unwrap().is_empty());
    assert!(engine.message_pop(&key, 1).await.unwrap().is_empty());
    engine.message_delete(&key, id, None).await.unwrap();
    engine.message_bulk_delete(&key, &[id], None).await.unwrap();
    let missing = engine.message_get(&key, id).await.unwrap_err();
    assert!(matches!(missing, EngineError::Store(Error::MessageNotFound { .. })), "{missing}");
    assert!(!engine.queue_exists(&key).await.unwrap());
}

#[tokio::test]
async fn pop_is_bounded_and_removes() {
    let world = World::new();
    let key = queue("q");
    for body in ["1", "2"] {
        world.post(&key, body).await;
    }
    for limit in [0, 21] {
        let error = world.engine.message_pop(&key, limit).await.unwrap_err();
        let text = "Pop value must be at least 1 and may not be greater than 20.";
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(world.engine.message_pop(&key, 20).await.unwrap().len(), 2);
    assert!(world.engine.message_pop(&key, 20).await.unwrap().is_empty());
}

#[tokio::test]
async fn checksums_are_stored_if_they_are_switched_on() {
    let mut config = EngineConfig::default();
    config.enable_checksum = true;
    let world = World::with(config);
    let request = PostRequest::new(vec![message("{\"a\":1}"), message("null")]);
    let posted = world.engine.message_post(&queue("q"), request).await.unwrap();
    let found = world.engine.message_bulk_get(&queue("q"), &posted.ids).await.unwrap();
    let checksums: Vec<_> = found.iter().map(|message| message.checksum.as_deref()).collect();
    assert_eq!(checksums, [Some("MD5:42b7b4f2921788ea14dac5566e6f06d0"), None]);
}

#[tokio::test]
async fn the_size_of_a_post_is_bounded_by_the_smaller_of_both_bounds() {
    let world = World::new();
    let key = queue("q");
    let max = world.engine.message_post_size_max(&key).await.unwrap();
    assert_eq!((max.bytes, max.queue), (262_144, None));
    let metadata = object(serde_json::json!({"_max_messages_post_size": 100}));
    world.engine.queue_create(&key, metadata).await.unwrap();
    let max = world.engine.message_post_size_max(&key).await.unwrap();
    assert_eq!((max.bytes, max.queue), (100, Some(100)));
}

#[tokio::test]
async fn a_post_that_fails_in_doubt_is_not_repeated() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    world.script.forget();
    world.script.fail_after("message_post");
    let error = world.engine.message_post(&key, one("2")).await.unwrap_err();
    assert_eq!(error.effect(), Effect::Unknown);
    assert_eq!(world.script.count("message_post"), 1);
    let options = ListMessages::new().limit(PageLimit::new(20).unwrap());
    let shown = world.engine.message_list(&key, options).await.unwrap();
    assert_eq!(shown.items.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_an_unknown_outcome_for_a_write_and_none_for_a_read() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    let _post = world.script.hold("message_post");
    let _list = world.script.hold("message_list");
    let late = world.engine.message_post(&key, one("2")).await.unwrap_err();
    assert_eq!((late.effect(), late.class()), (Effect::Unknown, ErrorClass::Unavailable));
    let late = world.engine.message_list(&key, ListMessages::new()).await.unwrap_err();
    assert_eq!((late.effect(), late.class()), (Effect::None, ErrorClass::Unavailable));
}

#[tokio::test]
async fn the_body_is_kept_byte_for_byte() {
    let world = World::new();
    let text = "{\"b\" : 1,  \"a\":[1e2]}";
    let id = world.post(&queue("q"), text).await;
    let found = world.engine.message_get(&queue("q"), id).await.unwrap();
    assert_eq!(found.body, Body::from_json(text).unwrap());
}
