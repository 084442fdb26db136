//! Subscriptions, passed through.

use serde_json::json;
use zaqar_core::{
    Error, ErrorClass, NewSubscription, PageLimit, SubscriptionId, Ttl, UpdateSubscription,
};
use zaqar_engine::EngineError;

use crate::world::{World, object, queue, topic};

fn to(subscriber: &str) -> NewSubscription {
    NewSubscription::new(subscriber, Ttl::from_secs_clamped(60))
}

#[tokio::test]
async fn the_first_subscription_makes_the_queue_or_topic() {
    let world = World::new();
    for key in [queue("q"), topic("q")] {
        let made = world.engine.subscription_create(&key, to("http://a.example/")).await.unwrap();
        assert!(made.is_new());
        assert!(world.engine.queue_exists(&key).await.unwrap());
        let again = world.engine.subscription_create(&key, to("http://a.example/")).await.unwrap();
        assert!(!again.is_new());
        assert_eq!(again.into_inner().id, made.into_inner().id);
    }
}

#[tokio::test]
async fn a_refused_subscription_leaves_no_queue_behind() {
    let world = World::new();
    let key = queue("q");
    let short = NewSubscription::new("http://a.example/", Ttl::from_secs_clamped(59));
    let error = world.engine.subscription_create(&key, short).await.unwrap_err();
    let text = "The TTL for a subscription must be at least 60 seconds long.";
    assert_eq!(error.to_string(), text);
    let policy = to("http://a.example/").options(object(json!({"_retry_policy": 1})));
    let error = world.engine.subscription_create(&key, policy).await.unwrap_err();
    assert_eq!(error.to_string(), "retry_policy must be a dict.");
    assert!(!world.engine.queue_exists(&key).await.unwrap());
}

#[tokio::test]
async fn a_subscription_is_read_changed_confirmed_and_removed() {
    let world = World::new();
    let (engine, key) = (&world.engine, queue("q"));
    let id = engine.subscription_create(&key, to("http://a.example/")).await.unwrap();
    let id = id.into_inner().id;
    let change = UpdateSubscription::new().ttl(Ttl::from_secs_clamped(600));
    engine.subscription_update(&key, id, change).await.unwrap();
    engine.subscription_confirm(&key, id, true).await.unwrap();
    let found = engine.subscription_get(&key, id).await.unwrap();
    assert_eq!((found.ttl.as_secs(), found.confirmed), (600, true));
    let found = engine.subscription_find(&key, "http://a.example/").await.unwrap();
    assert_eq!(found.map(|found| found.id), Some(id));
    let short = UpdateSubscription::new().ttl(Ttl::from_secs_clamped(1));
    let error = engine.subscription_update(&key, id, short).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Invalid);
    engine.subscription_delete(&key, id).await.unwrap();
    engine.subscription_delete(&key, id).await.unwrap();
    assert!(engine.subscription_get(&key, id).await.is_err());
}

#[tokio::test]
async fn a_missing_queue_has_no_subscriptions() {
    let world = World::new();
    let (engine, key) = (&world.engine, queue("q"));
    let id: SubscriptionId = "000000000100000000000001".parse().unwrap();
    let page = engine.subscription_list(&key, None, PageLimit::default()).await.unwrap();
    assert!(page.items.is_empty());
    assert_eq!(engine.subscription_find(&key, "http://a.example/").await.unwrap(), None);
    engine.subscription_delete(&key, id).await.unwrap();
    let is_missing = |error: &EngineError| {
        matches!(error, EngineError::Store(Error::SubscriptionNotFound { .. }))
    };
    assert!(is_missing(&engine.subscription_get(&key, id).await.unwrap_err()));
    let none = UpdateSubscription::new();
    assert!(is_missing(&engine.subscription_update(&key, id, none).await.unwrap_err()));
    assert!(is_missing(&engine.subscription_confirm(&key, id, true).await.unwrap_err()));
    assert!(!engine.queue_exists(&key).await.unwrap());
}
