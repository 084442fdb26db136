//! Encrypted queues over WebSocket: what a client is told of a message that cannot be read.

use std::sync::Arc;

use serde_json::{Value, json};
use zaqar_core::{Body, MessageId, NewMessage, PostMessages, Ttl};
use zaqar_engine::stages::EncryptionKeys;
use zaqar_engine::{Engine, EngineConfig};
use zaqar_server::websocket::WebSocketConfig;

use crate::world::{Store, World, key};

const KEY: &str = "k1:0123456789abcdef0123456789abcdef";
/// An envelope under a key that this service does not have.
const UNREADABLE: &str =
    r#"{"zaqar.envelope":1,"key":"lost","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","data":"AAAA"}"#;

fn config(keys: &[&str]) -> EngineConfig {
    let mut config = EngineConfig::default();
    let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
    config.encryption = EncryptionKeys::parse(&keys).unwrap();
    config
}

async fn world(keys: &[&str]) -> World {
    World::with(Store::Reference, WebSocketConfig::default(), config(keys)).await
}

/// Puts a message into the store that was encrypted elsewhere.
async fn stored_elsewhere(world: &World) -> MessageId {
    let record = world.stores.control.queues().queue_find(&key("q")).await.unwrap().unwrap();
    let message =
        NewMessage::new(Body::from_json(UNREADABLE).unwrap(), Ttl::from_secs_clamped(300));
    let messages = world.stores.data.messages();
    let options = PostMessages::new();
    messages.message_post(&record.queue_ref(), vec![message], options).await.unwrap().ids[0]
}

fn encrypted() -> Value {
    json!({"queue_name": "q", "metadata": {"_enable_encrypt_messages": true}})
}

#[tokio::test]
async fn a_message_that_cannot_be_decrypted_is_named_in_a_503_and_stays() {
    let world = world(&[KEY]).await;
    let mut client = world.client().await;
    client.call("queue_create", encrypted()).await.expect(201);
    let id = stored_elsewhere(&world).await.to_string();
    for (action, body) in [
        ("message_get", json!({"queue_name": "q", "message_id": id})),
        ("message_get_many", json!({"queue_name": "q", "message_ids": [id]})),
        ("message_list", json!({"queue_name": "q", "echo": true})),
        ("claim_create", json!({"queue_name": "q", "ttl": 60, "grace": 60})),
        ("message_delete_many", json!({"queue_name": "q", "pop": 1})),
    ] {
        let refused = client.call(action, body).await;
        let (status, text) = refused.error();
        assert_eq!(status, 503, "{action}");
        let start = format!("Message {id} cannot be decrypted: ");
        assert!(text.starts_with(&start) && text.ends_with(". It is kept."), "{action}: {text}");
    }
    let stats = client.call("queue_get_stats", json!({"queue_name": "q"})).await.expect(200);
    assert_eq!(stats["messages"]["free"], json!(1));
}

#[tokio::test]
async fn without_its_key_an_encrypted_queue_takes_nothing_and_says_so() {
    let world = world(&[]).await;
    let clock = Arc::clone(world.engine.clock());
    let with_key = Engine::new(world.stores.clone(), clock, config(&[KEY]));
    let metadata = json!({"_enable_encrypt_messages": true}).as_object().unwrap().clone();
    with_key.queue_create(&key("q"), metadata).await.unwrap();
    let mut client = world.client().await;
    let post = json!({"queue_name": "q", "messages": [{"body": 1}]});
    let refused = client.call("message_post", post).await.expect(503);
    let text = "Messages of this queue are stored encrypted, and this server has no key for it.";
    let error = "No messages could be enqueued.";
    assert_eq!(refused, json!({"exception": text, "error": error, "stored": false}));
    let pop = json!({"queue_name": "q", "pop": 1});
    let refused = client.call("message_delete_many", pop).await;
    assert_eq!(refused.error(), (503, text));
    let stats = client.call("queue_get_stats", json!({"queue_name": "q"})).await.expect(200);
    assert_eq!(stats["messages"]["total"], json!(0));
}
