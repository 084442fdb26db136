//! `Idempotency-Key`: a post that is repeated under its key is stored once.

use serde_json::json;
use zaqar_engine::EngineConfig;
use zaqar_engine::stages::EncryptionKeys;
use zaqar_server::rest::RestConfig;

use crate::support::{CLIENT, OTHER_CLIENT, Reply, Service};

const HEADER: &str = "idempotency-key";
const LINE: &str = "POST /v2/queues/q/messages";
const TWO: &str = r#"{"messages": [{"body": {"n": 1}}, {"body": 2, "ttl": 300, "delay": 0}]}"#;
const CONFLICT: &str = "the idempotency key was used for other messages";

async fn post(service: &Service, key: &str, body: &str) -> Reply {
    service.call_with(LINE, &[(HEADER, key)], body).await
}

/// Ids of all messages in the queue, its own client's and delayed ones too.
async fn stored(service: &Service) -> Vec<String> {
    let line = "GET /v2/queues/q/messages?echo=true&include_delayed=true&include_claimed=true";
    service.call(line, "").await.message_ids()
}

#[tokio::test]
async fn a_repeat_is_answered_like_the_first_post_and_stores_nothing() {
    let service = Service::new();
    let first = post(&service, "k", TWO).await;
    assert_eq!(first.status, 201);
    for client in [CLIENT, OTHER_CLIENT] {
        let headers = [(HEADER, "k"), ("client-id", client)];
        let again = service.call_with(LINE, &headers, TWO).await;
        assert_eq!((again.status, &again.text), (201, &first.text));
        assert_eq!(again.header("location"), first.header("location"));
    }
    assert_eq!(stored(&service).await, first.ids());
    let other = post(&service, "K", TWO).await;
    assert_ne!(other.ids(), first.ids(), "another case is another key");
}

#[tokio::test]
async fn other_messages_under_the_key_are_a_conflict_and_are_not_stored() {
    let service = Service::new();
    let first = post(&service, "k", TWO).await;
    let others = [
        r#"{"messages": [{"body": {"n": 1}}]}"#,
        r#"{"messages": [{"body": {"n": 1}}, {"body": 2, "ttl": 301, "delay": 0}]}"#,
        r#"{"messages": [{"body": {"n": 1}}, {"body": 2, "ttl": 300, "delay": 1}]}"#,
        r#"{"messages": [{"body": 2, "ttl": 300, "delay": 0}, {"body": {"n": 1}}]}"#,
    ];
    for other in others {
        let (status, _, text) = post(&service, "k", other).await.error();
        assert_eq!((status, text.as_str()), (409, CONFLICT), "{other}");
    }
    assert_eq!(stored(&service).await, first.ids());
    assert_eq!(post(&service, "k", TWO).await.ids(), first.ids());
}

#[tokio::test]
async fn a_key_holds_for_one_queue_of_one_project_as_long_as_it_is_there() {
    let service = Service::new();
    let first = post(&service, "k", TWO).await;
    let elsewhere = "POST /v2/queues/other/messages";
    let body = r#"{"messages": [{"body": "other"}]}"#;
    assert_eq!(service.call_with(elsewhere, &[(HEADER, "k")], body).await.status, 201);
    let project = [(HEADER, "k"), ("x-project-id", "another")];
    assert_eq!(service.call_with(LINE, &project, body).await.status, 201);
    assert_eq!(service.call("DELETE /v2/queues/q", "").await.status, 204);
    let anew = post(&service, "k", body).await;
    assert_eq!(anew.status, 201);
    assert_ne!(anew.ids(), first.ids());
    assert_eq!(stored(&service).await, anew.ids());
}

#[tokio::test]
async fn a_key_is_remembered_for_a_day_though_its_messages_are_gone() {
    let service = Service::new();
    let first = post(&service, "k", TWO).await;
    service.advance_s(86_399);
    assert!(stored(&service).await.is_empty());
    assert_eq!(post(&service, "k", TWO).await.ids(), first.ids());
    assert!(stored(&service).await.is_empty(), "a repeat brought messages back");
    service.advance_s(2);
    let anew = post(&service, "k", TWO).await;
    assert_ne!(anew.ids(), first.ids());
    assert_eq!(stored(&service).await, anew.ids());
}

#[tokio::test]
async fn a_queue_whose_defaults_changed_knows_the_repeat() {
    let service = Service::new();
    let first = post(&service, "k", TWO).await;
    let patch = r#"[{"op": "add", "path": "/metadata/_default_message_ttl", "value": 77},
        {"op": "add", "path": "/metadata/_default_message_delay", "value": 7}]"#;
    let media = "application/openstack-messaging-v2.0-json-patch";
    let changed = service.call_with("PATCH /v2/queues/q", &[("content-type", media)], patch).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(post(&service, "k", TWO).await.ids(), first.ids());
    assert_eq!(stored(&service).await, first.ids());
}

#[tokio::test]
async fn an_encrypted_queue_knows_the_repeat_though_no_two_ciphertexts_are_alike() {
    let mut engine = EngineConfig::default();
    let key = "k1:0123456789abcdef0123456789abcdef".to_owned();
    engine.encryption = EncryptionKeys::parse(&[key]).unwrap();
    let service = Service::with(RestConfig::default(), engine);
    let queue = r#"{"_enable_encrypt_messages": true}"#;
    assert_eq!(service.call("PUT /v2/queues/q", queue).await.status, 201);
    let first = post(&service, "k", TWO).await;
    assert_eq!(post(&service, "k", TWO).await.ids(), first.ids());
    let (status, _, text) = post(&service, "k", r#"{"messages": [{"body": 3}]}"#).await.error();
    assert_eq!((status, text.as_str()), (409, CONFLICT));
    assert_eq!(stored(&service).await, first.ids());
    // Encryption that is switched off meanwhile makes no other post of it either.
    let patch =
        r#"[{"op": "replace", "path": "/metadata/_enable_encrypt_messages", "value": false}]"#;
    let media = "application/openstack-messaging-v2.0-json-patch";
    let changed = service.call_with("PATCH /v2/queues/q", &[("content-type", media)], patch).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(post(&service, "k", TWO).await.ids(), first.ids());
    let shown = service.call("GET /v2/queues/q/messages?echo=true", "").await.json();
    assert_eq!(shown["messages"][0]["body"], json!({"n": 1}));
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_nothing_is_stored() {
    let service = Service::new();
    let longest = "x".repeat(255);
    let too_long = "x".repeat(256);
    let text = "The \"Idempotency-Key\" header must have 1 to 255 visible ASCII characters, \
                without spaces.";
    for bad in ["", " ", "a b", "\u{e9}", "a\tb", too_long.as_str()] {
        let refused = post(&service, bad, TWO).await.error();
        assert_eq!(refused, (400, "Invalid header value".into(), text.into()), "{bad:?}");
    }
    let doubled = [(HEADER, "k"), (HEADER, "k")];
    let (status, _, description) = service.call_with(LINE, &doubled, TWO).await.error();
    assert_eq!(
        (status, description.as_str()),
        (400, "The \"Idempotency-Key\" header must not be repeated.")
    );
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404);
    assert_eq!(post(&service, &longest, TWO).await.status, 201);
}
