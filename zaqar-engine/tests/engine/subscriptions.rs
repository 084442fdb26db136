//! Subscriptions, passed through.

use std::sync::Arc;

use serde_json::json;
use zaqar_core::{
    Error, ErrorClass, NewSubscription, PageLimit, SubscriptionId, Ttl, UpdateSubscription,
};
use zaqar_engine::{Engine, EngineConfig, EngineError, SubscriberCheck};

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

#[tokio::test]
async fn an_address_of_a_type_that_is_not_served_is_refused() {
    let world = World::new();
    let key = queue("q");
    let types = "The subscriber type of subscription must be supported in the list ['http', \
                 'https', 'mailto', 'trust+http', 'trust+https'].";
    let trust = "A subscriber of type trust+https needs an authenticated user.";
    for (subscriber, text) in [("ftp://a.example/", types), ("", types), ("trust+https://a", trust)]
    {
        let error = world.engine.subscription_create(&key, to(subscriber)).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let id = world.engine.subscription_create(&key, to("HTTPS://a.example/")).await.unwrap();
    let change = UpdateSubscription::new().subscriber("ftp://a.example/".to_owned());
    let id = id.into_inner().id;
    let error = world.engine.subscription_update(&key, id, change).await.unwrap_err();
    assert_eq!(error.to_string(), types);
    // A connection of the one who asks is what its transport says it is.
    let mut own = to("socket:1");
    own.owner = Some("here".to_owned());
    assert!(world.engine.subscription_create(&key, own).await.unwrap().is_new());
}

#[tokio::test]
async fn a_trust_is_not_the_clients_to_name() {
    let world = World::new();
    let with_trust = || object(json!({"trust_id": "somebody's"}));
    let new = to("http://a.example/").options(with_trust());
    let text = "Options must not hold trust_id: the service sets it.";
    let error = world.engine.subscription_create(&queue("q"), new).await.unwrap_err();
    assert_eq!(error.to_string(), text);
    let made = world.engine.subscription_create(&queue("q"), to("http://a.example/")).await;
    let change = UpdateSubscription::new().options(with_trust());
    let id = made.unwrap().into_inner().id;
    let error = world.engine.subscription_update(&queue("q"), id, change).await.unwrap_err();
    assert_eq!(error.to_string(), text);
}

#[tokio::test]
async fn where_confirmation_is_demanded_every_subscriber_but_a_connection_needs_it() {
    let mut config = EngineConfig::default();
    config.subscribers.require_confirmation = true;
    let world = World::with(config);
    let mut own = to("socket:1");
    own.owner = Some("here".to_owned());
    for (new, needs) in [(to("http://a.example/"), true), (own, false)] {
        let made = world.engine.subscription_create(&queue("q"), new).await.unwrap().into_inner();
        assert_eq!((made.needs_confirmation, made.is_active()), (needs, !needs));
    }
}

/// Delivers to nobody in `inner.example`.
#[derive(Debug)]
struct Outside;

impl SubscriberCheck for Outside {
    fn check(&self, subscriber: &str) -> Result<(), String> {
        let inside = subscriber.contains("inner.example");
        if inside { Err("The subscriber's address is closed.".to_owned()) } else { Ok(()) }
    }
}

#[tokio::test]
async fn an_address_where_nothing_is_delivered_is_refused_when_it_is_given() {
    let world = World::new();
    let builder = Engine::builder(world.stores(), Arc::clone(&world.clock) as _);
    let engine = builder.subscriber_check(Arc::new(Outside)).build();
    let key = queue("q");
    let refused = engine.subscription_create(&key, to("http://inner.example/")).await.unwrap_err();
    assert_eq!(refused.to_string(), "The subscriber's address is closed.");
    assert_eq!(refused.class(), ErrorClass::Invalid);
    assert!(!engine.queue_exists(&key).await.unwrap());
    let made = engine.subscription_create(&key, to("http://a.example/")).await.unwrap();
    let id = made.into_inner().id;
    let change = UpdateSubscription::new().subscriber("http://inner.example/".to_owned());
    engine.subscription_update(&key, id, change).await.unwrap_err();
    let kept = engine.subscription_get(&key, id).await.unwrap();
    assert_eq!(kept.subscriber, "http://a.example/");
    // A connection of the one who asks is nowhere.
    let mut own = to("socket://inner.example");
    own.owner = Some("here".to_owned());
    engine.subscription_create(&key, own).await.unwrap();
}

#[tokio::test]
async fn another_address_must_confirm_as_a_new_one_must_whatever_held_when_it_subscribed() {
    let world = World::new();
    let key = queue("q");
    let mut demanding = EngineConfig::default();
    demanding.subscribers.require_confirmation = true;
    let engine = |config| Engine::new(world.stores(), Arc::clone(&world.clock) as _, config);
    let (lax, strict) = (engine(EngineConfig::default()), engine(demanding));
    let made = lax.subscription_create(&key, to("http://a.example/")).await.unwrap();
    let id = made.into_inner().id;
    let steps = [
        // What does not change the address leaves it to get its messages.
        (&strict, "http://a.example/", true),
        (&strict, "http://b.example/", false),
        (&lax, "http://b.example/", false),
        (&lax, "http://c.example/", true),
    ];
    for (engine, subscriber, is_active) in steps {
        let change = UpdateSubscription::new().subscriber(subscriber.to_owned());
        engine.subscription_update(&key, id, change).await.unwrap();
        let read = engine.subscription_get(&key, id).await.unwrap();
        assert_eq!((read.is_active(), read.confirmed), (is_active, false), "{subscriber}");
    }
}
