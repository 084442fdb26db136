//! Encrypted queues: clients see plaintext, and are told which message cannot be read.

use serde_json::json;
use zaqar_core::{Body, NewMessage, PostMessages, ProjectId, QueueKey, QueueName, Ttl};
use zaqar_engine::EngineConfig;
use zaqar_engine::stages::EncryptionKeys;
use zaqar_server::rest::RestConfig;

use crate::support::{PROJECT, Service};

const QUEUE: &str = r#"{"_enable_encrypt_messages": true}"#;
const UNREADABLE: &str =
    r#"{"zaqar.envelope":1,"key":"lost","nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","data":"AAAA"}"#;

fn service() -> Service {
    let key = "k1:0123456789abcdef0123456789abcdef".to_owned();
    let mut engine = EngineConfig::default();
    engine.encryption = EncryptionKeys::parse(&[key]).unwrap();
    Service::with(RestConfig::default(), engine)
}

#[tokio::test]
async fn clients_of_an_encrypted_queue_see_plaintext_on_every_route() {
    let service = service();
    assert_eq!(service.call("PUT /v2/queues/q", QUEUE).await.status, 201);
    let shown = service.call("GET /v2/queues/q", "").await.json();
    assert_eq!(shown["_enable_encrypt_messages"], json!(true));
    let id = service.post("q", &[r#"{"zaqar.envelope":1}"#]).await.remove(0);
    let body = json!({"zaqar.envelope": 1});
    let one = service.call(&format!("GET /v2/queues/q/messages/{id}"), "").await.json();
    let listed = service.call("GET /v2/queues/q/messages?echo=true", "").await.json();
    let bulk = service.call(&format!("GET /v2/queues/q/messages?ids={id}"), "").await.json();
    let claim = service.call("POST /v2/queues/q/claims", r#"{"ttl": 60, "grace": 60}"#).await;
    let claim = claim.json()["messages"][0].clone();
    for found in [&one, &listed["messages"][0], &bulk["messages"][0], &claim] {
        assert_eq!(found["body"], body);
    }
    service.advance_s(60);
    let popped = service.call("DELETE /v2/queues/q/messages?pop=1", "").await.json();
    assert_eq!(popped["messages"][0]["body"], body);
    let empty = service.call("GET /v2/queues/q/messages?echo=true", "").await.json();
    assert_eq!(empty["messages"], json!([]));
}

#[tokio::test]
async fn a_message_that_cannot_be_decrypted_is_named_in_a_503_and_stays() {
    let service = service();
    service.call("PUT /v2/queues/q", QUEUE).await;
    let project = ProjectId::new(PROJECT).unwrap();
    let key = QueueKey::queue(project, QueueName::new("q").unwrap());
    let queue = service.control.queues().queue_find(&key).await.unwrap().unwrap().queue_ref();
    let body = Body::from_json(UNREADABLE).unwrap();
    let message = NewMessage::new(body, Ttl::from_secs_clamped(300));
    let posted = service.data.messages();
    let posted = posted.message_post(&queue, vec![message], PostMessages::new()).await.unwrap();
    let id = posted.ids[0];
    for (line, body) in [
        (format!("GET /v2/queues/q/messages/{id}"), ""),
        (format!("GET /v2/queues/q/messages?ids={id}"), ""),
        ("GET /v2/queues/q/messages?echo=true".to_owned(), ""),
        ("POST /v2/queues/q/claims".to_owned(), r#"{"ttl": 60, "grace": 60}"#),
        ("DELETE /v2/queues/q/messages?pop=1".to_owned(), ""),
    ] {
        let (status, title, text) = service.call(&line, body).await.error();
        assert_eq!((status, title.as_str()), (503, "Message encryption"), "{line}");
        assert!(text.contains(&id.to_string()), "{line}: {text}");
    }
    let stats = service.call("GET /v2/queues/q/stats", "").await.json();
    assert_eq!(stats["messages"]["free"], json!(1));
    let line = format!("GET /v2/queues/q/messages?echo=true&marker={id}");
    assert_eq!(service.call(&line, "").await.json()["messages"], json!([]));
    let gone = service.call(&format!("DELETE /v2/queues/q/messages/{id}"), "").await;
    assert_eq!(gone.status, 204);
}

#[tokio::test]
async fn without_keys_no_queue_can_ask_for_encryption() {
    let text = "_enable_encrypt_messages can not be true: this server has no keys to encrypt \
                messages with.";
    let reply = Service::new().call("PUT /v2/queues/q", QUEUE).await;
    let (status, _, description) = reply.error();
    assert_eq!((status, description.as_str()), (400, text));
}
