//! Encrypted queues: plaintext on every way out, ciphertext in the store, and nothing lost to a key
//! that is not there.

use std::sync::Arc;

use serde_json::json;
use zaqar_core::{
    ControlDriver, DataDriver, Error, LeaseDeliveries, LeaseId, ListMessages, ManualClock,
    MessageId, NewSubscription, QueueKey, QueueRef, Ttl,
};
use zaqar_engine::stages::EncryptionKeys;
use zaqar_engine::{ClaimRequest, Engine, EngineConfig, EngineError, PatchOperation};

use crate::world::{World, object, one, queue};

const NEW: &str = "new:0123456789abcdef0123456789abcdef";
const OLD: &str = "old:fedcba9876543210fedcba9876543210";
const SECRET: &str = "{\"zaqar.envelope\":1, \"a\":\"hidden\"}";

fn config(keys: &[&str]) -> EngineConfig {
    let texts: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    let mut config = EngineConfig::default();
    config.encryption = EncryptionKeys::parse(&texts).unwrap();
    config.enable_checksum = true;
    config
}

/// Another server on the same store, with other keys.
fn with_keys(world: &World, keys: &[&str]) -> Engine {
    let clock = Arc::<ManualClock>::clone(&world.clock);
    Engine::builder(world.stores(), clock).config(config(keys)).build()
}

async fn encrypted(engine: &Engine, more: serde_json::Value) -> QueueKey {
    let mut metadata = object(json!({"_enable_encrypt_messages": true}));
    metadata.extend(object(more));
    engine.queue_create(&queue("q"), metadata).await.unwrap();
    queue("q")
}

async fn incarnation(world: &World, key: &QueueKey) -> QueueRef {
    let found = world.control().queues().queue_find(key).await.unwrap();
    found.unwrap().queue_ref()
}

/// What the store holds, as it is stored.
async fn stored(world: &World, key: &QueueKey) -> Vec<String> {
    let queue = incarnation(world, key).await;
    let page = world.data().messages().message_list(&queue, ListMessages::new()).await.unwrap();
    page.items.into_iter().map(|message| message.body.as_str().to_owned()).collect()
}

fn unreadable(error: EngineError) -> MessageId {
    match error {
        EngineError::Store(Error::Unreadable { id, .. }) => id,
        other => panic!("another error: {other}"),
    }
}

#[tokio::test]
async fn every_way_out_shows_plaintext_and_the_store_holds_none() {
    let world = World::with(config(&[NEW]));
    let engine = &world.engine;
    let key = encrypted(engine, json!({})).await;
    let id = world.post(&key, SECRET).await;
    let texts = stored(&world, &key).await;
    assert!(texts.len() == 1 && !texts[0].contains("hidden"), "{texts:?}");
    assert!(!texts[0].contains("MD5"));

    let listed = engine.message_list(&key, ListMessages::new()).await.unwrap().items;
    let got = engine.message_get(&key, id).await.unwrap();
    let bulk = engine.message_bulk_get(&key, &[id]).await.unwrap();
    let claimed = engine.claim_create(&key, ClaimRequest::new()).await.unwrap().unwrap();
    let (_, claim) = engine.claim_get(&key, claimed.id).await.unwrap();
    engine.claim_delete(&key, claimed.id).await.unwrap();
    let popped = engine.message_pop(&key, 5).await.unwrap();
    let plain = queue("plain");
    world.post(&plain, SECRET).await;
    let checksum = engine.message_pop(&plain, 1).await.unwrap()[0].checksum.clone();
    assert!(checksum.is_some());
    for found in [&listed[0], &got, &bulk[0], &claimed.messages[0], &claim[0], &popped[0]] {
        assert_eq!((found.id, found.body.as_str()), (id, SECRET));
        assert_eq!(found.checksum, checksum, "as clients compute it");
    }
    assert_eq!((popped[0].claim, popped[0].claim_count), (None, 1));
}

#[tokio::test]
async fn a_subscriber_gets_plaintext_and_unreadable_messages_hold_up_no_others() {
    let world = World::with(config(&[OLD]));
    let key = encrypted(&world.engine, json!({})).await;
    let queue = incarnation(&world, &key).await;
    let subscription = NewSubscription::new("http://a.example", Ttl::from_secs_clamped(3_600));
    let data = world.engine.data_driver();
    data.subscriptions().subscription_create(&queue, subscription).await.unwrap();
    world.post(&key, "\"old\"").await;
    let newer = with_keys(&world, &[NEW]);
    newer.message_post(&key, one("\"new\"")).await.unwrap();

    let lease = |ttl| LeaseDeliveries::new(LeaseId::random(), Ttl::from_secs_clamped(ttl));
    // The one that has the new key alone: the old message waits, the new one arrives.
    let leased = newer.data_driver().outbox().delivery_lease(lease(10)).await.unwrap();
    let bodies: Vec<_> = leased[0].messages.iter().map(|m| m.body.as_str()).collect();
    assert_eq!(bodies, ["\"new\""]);
    world.pass_s(61);
    let both = with_keys(&world, &[NEW, OLD]);
    let leased = both.data_driver().outbox().delivery_lease(lease(10)).await.unwrap();
    let bodies: Vec<_> = leased[0].messages.iter().map(|m| m.body.as_str()).collect();
    assert_eq!(bodies, ["\"old\"", "\"new\""]);
}

#[tokio::test]
async fn without_its_key_a_message_is_an_error_everywhere_and_stays() {
    let world = World::with(config(&[OLD]));
    let key = encrypted(&world.engine, json!({})).await;
    let id = world.post(&key, SECRET).await;
    let other = with_keys(&world, &[NEW]);
    let list = other.message_list(&key, ListMessages::new()).await;
    assert_eq!(unreadable(list.unwrap_err()), id);
    assert_eq!(unreadable(other.message_get(&key, id).await.unwrap_err()), id);
    assert_eq!(unreadable(other.message_bulk_get(&key, &[id]).await.unwrap_err()), id);
    for _ in 0..3 {
        let claimed = other.claim_create(&key, ClaimRequest::new()).await;
        assert_eq!(unreadable(claimed.unwrap_err()), id);
        assert_eq!(unreadable(other.message_pop(&key, 1).await.unwrap_err()), id);
    }
    let none = with_keys(&world, &[]);
    let refused = none.message_pop(&key, 1).await.unwrap_err();
    assert!(matches!(refused, EngineError::Store(Error::NoEncryptionKey)));
    let refused = none.message_post(&key, one("1")).await.unwrap_err();
    assert!(matches!(refused, EngineError::Store(Error::NoEncryptionKey)));

    // With the key again, it is free and was counted once by all those claims.
    let claimed = world.engine.claim_create(&key, ClaimRequest::new()).await.unwrap().unwrap();
    assert_eq!((claimed.messages[0].id, claimed.messages[0].claim_count), (id, 2));
    assert_eq!(claimed.messages[0].body.as_str(), SECRET);
}

#[tokio::test]
async fn a_dead_letter_stays_encrypted_and_is_read_in_its_new_queue() {
    let world = World::with(config(&[NEW]));
    let more = json!({"_max_claim_count": 1, "_dead_letter_queue": "dead"});
    let key = encrypted(&world.engine, more).await;
    let id = world.post(&key, SECRET).await;
    for _ in 0..2 {
        world.engine.claim_create(&key, ClaimRequest::new().ttl(60)).await.unwrap();
        world.pass_s(60);
    }
    let dead = queue("dead");
    assert!(!stored(&world, &dead).await[0].contains("hidden"));
    let popped = world.engine.message_pop(&dead, 1).await.unwrap();
    assert_eq!((popped[0].id, popped[0].body.as_str()), (id, SECRET));
}

#[tokio::test]
async fn a_queue_whose_attribute_changes_shows_old_and_new_messages() {
    let world = World::with(config(&[NEW]));
    let engine = &world.engine;
    world.post(&queue("q"), SECRET).await;
    let change = |on| async move {
        let operation = PatchOperation::Replace {
            key: "_enable_encrypt_messages".to_owned(),
            value: json!(on),
        };
        engine.queue_patch(&queue("q"), &[operation]).await.unwrap();
    };
    change(true).await;
    world.post(&queue("q"), SECRET).await;
    change(false).await;
    world.post(&queue("q"), SECRET).await;
    let popped = engine.message_pop(&queue("q"), 10).await.unwrap();
    assert_eq!(popped.len(), 3);
    assert!(popped.iter().all(|message| message.body.as_str() == SECRET));
}

#[tokio::test]
async fn a_queue_cannot_ask_for_encryption_where_there_is_no_key() {
    let world = World::new();
    let metadata = object(json!({"_enable_encrypt_messages": true}));
    let refused = world.engine.queue_create(&queue("q"), metadata).await.unwrap_err();
    assert!(refused.to_string().contains("_enable_encrypt_messages"), "{refused}");
}
