//! Queues and topics as resources.

use serde_json::json;
use zaqar_core::{
    ErrorClass, ListMessages, ListQueues, NewSubscription, PageLimit, QueueKind, Ttl,
};
use zaqar_engine::PurgeTargets;

use crate::world::{World, object, project, queue, topic};

#[tokio::test]
async fn a_queue_that_is_there_is_left_as_it_is() {
    let world = World::new();
    let key = queue("q");
    assert!(world.engine.queue_create(&key, object(json!({"a": 1}))).await.unwrap().is_new());
    assert!(!world.engine.queue_create(&key, object(json!({"a": 2}))).await.unwrap().is_new());
    assert_eq!(world.engine.queue_get(&key).await.unwrap()["a"], 1);
}

#[tokio::test]
async fn a_bad_attribute_makes_no_queue() {
    let world = World::new();
    let metadata = object(json!({"_default_message_ttl": 1}));
    let error = world.engine.queue_create(&queue("q"), metadata).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid);
    assert!(!world.engine.queue_exists(&queue("q")).await.unwrap());
}

#[tokio::test]
async fn a_missing_queue_shows_the_defaults() {
    let world = World::new();
    let shown = world.engine.queue_get(&queue("q")).await.unwrap();
    assert_eq!(shown.len(), 7);
    assert_eq!(shown["_default_message_ttl"], 3_600);
    assert_eq!(world.engine.queue_get(&topic("q")).await.unwrap().len(), 3);
}

#[tokio::test]
async fn listings_show_what_get_shows_and_keep_topics_apart() {
    let world = World::new();
    for name in ["b", "a", "c"] {
        let metadata = object(json!({"name": name}));
        world.engine.queue_create(&queue(name), metadata).await.unwrap();
    }
    world.engine.queue_create(&topic("a"), object(json!({}))).await.unwrap();
    let options = ListQueues::new().limit(PageLimit::new(2).unwrap());
    let page = world.engine.queue_list(&project(), QueueKind::Queue, options).await.unwrap();
    let names: Vec<_> = page.items.iter().map(|view| view.name.to_string()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(page.next.unwrap().as_str(), "b");
    let got = world.engine.queue_get(&queue("a")).await.unwrap();
    assert_eq!(page.items[0].metadata, got);
    assert_eq!(world.engine.queue_count(&project(), QueueKind::Queue).await.unwrap(), 3);
    assert_eq!(world.engine.queue_count(&project(), QueueKind::Topic).await.unwrap(), 1);
}

#[tokio::test]
async fn a_purge_empties_what_it_is_told_to() {
    let world = World::new();
    let (engine, key) = (&world.engine, queue("q"));
    engine.queue_purge(&key, PurgeTargets::ALL).await.unwrap();
    world.post(&key, "1").await;
    let subscription = NewSubscription::new("http://a.example/", Ttl::from_secs_clamped(60));
    engine.subscription_create(&key, subscription).await.unwrap();

    let subscriptions = PurgeTargets { messages: false, subscriptions: true };
    engine.queue_purge(&key, subscriptions).await.unwrap();
    let left = engine.subscription_list(&key, None, PageLimit::default()).await.unwrap();
    assert!(left.items.is_empty());
    assert_eq!(engine.message_list(&key, ListMessages::new()).await.unwrap().items.len(), 1);

    engine.queue_purge(&key, PurgeTargets::ALL).await.unwrap();
    assert!(engine.message_list(&key, ListMessages::new()).await.unwrap().items.is_empty());
    assert!(engine.queue_exists(&key).await.unwrap());
}
