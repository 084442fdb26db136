//! Stores that fail: what the client is told, and what it is not.

use std::sync::Arc;

use serde_json::{Value, json};
use zaqar_core::DataDriver;
use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;

use crate::broken::{Broken, Mishap};
use crate::support::{Reply, Service};

const ID: &str = "000000000100000000000001";
const SUBSCRIBE: &str = r#"{"subscriber": "http://a.example"}"#;
const POST: &str = r#"{"messages": [{"body": 1}]}"#;

async fn broken(mishap: Mishap) -> Service {
    let wrap = |inner| -> Arc<dyn DataDriver> { Arc::new(Broken { inner, mishap }) };
    let service = Service::over(RestConfig::default(), EngineConfig::default(), wrap);
    assert_eq!(service.call("PUT /v2/queues/q", "").await.status, 201);
    service
}

fn keeps_secrets(reply: &Reply) {
    assert!(!reply.text.contains("secret") && !reply.text.contains("mongodb"), "{}", reply.text);
    assert!(reply.header("x-openstack-request-id").starts_with("req-"));
    assert_eq!(reply.header("content-type"), "application/json");
}

/// Operations on messages: the request, what could not be done, and whether it changes anything.
fn operations() -> Vec<(String, &'static str, &'static str, bool)> {
    let path = "/v2/queues/q/messages";
    vec![
        (format!("POST {path}"), POST, "Messages could not be enqueued.", true),
        (format!("GET {path}"), "", "Messages could not be listed.", false),
        (format!("GET {path}?ids={ID}"), "", "Message could not be retrieved.", false),
        (format!("GET {path}/{ID}"), "", "Message could not be retrieved.", false),
        (format!("DELETE {path}/{ID}"), "", "Message could not be deleted.", true),
        (format!("DELETE {path}?ids={ID}"), "", "Messages could not be deleted.", true),
        (format!("DELETE {path}?pop=1"), "", "Messages could not be popped.", true),
        ("GET /v2/queues/q/stats".into(), "", "Queue stats could not be read.", false),
        ("POST /v2/queues/q/purge".into(), "", "Queue could not be purged.", true),
    ]
}

#[tokio::test]
async fn a_silent_backend_is_unavailable_and_a_write_may_have_been_done() {
    let service = broken(Mishap::Silence).await;
    for (line, body, stem, writes) in operations() {
        let reply = service.call(&line, body).await;
        let text = format!("{stem} Please try again in a few seconds.");
        let expected = (503, "Service temporarily unavailable".into(), text);
        assert_eq!(reply.error(), expected, "{line}");
        let stored = if writes { json!("unknown") } else { Value::Null };
        assert_eq!(reply.json().get("stored").unwrap_or(&Value::Null), &stored, "{line}");
        keeps_secrets(&reply);
    }
}

#[tokio::test]
async fn an_overloaded_store_says_that_nothing_was_stored() {
    let service = broken(Mishap::Overload).await;
    for (line, body, _, writes) in operations() {
        let reply = service.call(&line, body).await;
        assert_eq!(reply.status, 503, "{line}");
        let stored = if writes { json!(false) } else { Value::Null };
        assert_eq!(reply.json().get("stored").unwrap_or(&Value::Null), &stored, "{line}");
    }
}

#[tokio::test]
async fn a_defect_is_an_internal_error_that_gives_nothing_away() {
    for mishap in [Mishap::Nonsense, Mishap::Panic] {
        let service = broken(mishap).await;
        for (line, body, ..) in operations() {
            let reply = service.call(&line, body).await;
            assert_eq!((reply.status, reply.error().1.as_str()), (500, "Internal server error"));
            keeps_secrets(&reply);
        }
        assert_eq!(service.call("GET /v2/queues", "").await.status, 200);
    }
}

#[tokio::test]
async fn a_closed_store_is_unavailable_to_every_operation() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    service.data.close().await;
    service.control.close().await;
    let claim = "/v2/queues/q/claims/0123456789abcdef0123456789abcdef";
    let subscriptions = "/v2/queues/q/subscriptions";
    let patch = r#"[{"op": "add", "path": "/metadata/a", "value": 1}]"#;
    let media = [("content-type", "application/openstack-messaging-v2.0-json-patch")];
    let rows = [
        ("GET /v2/queues".to_owned(), "", "Queues could not be listed."),
        ("GET /v2/queues/q".into(), "", "Queue metadata could not be retrieved."),
        ("PUT /v2/queues/r".into(), "", "Queue could not be created."),
        ("DELETE /v2/queues/q".into(), "", "Queue could not be deleted."),
        ("PATCH /v2/queues/q".into(), patch, "Queue could not be updated."),
        ("POST /v2/queues/q/claims".into(), "", "Claim could not be created."),
        (format!("GET {claim}"), "", "Claim could not be queried."),
        (format!("PATCH {claim}"), "{}", "Claim could not be updated."),
        (format!("DELETE {claim}"), "", "Claim could not be deleted."),
        ("POST /v2/queues/q/messages".into(), POST, "Messages could not be enqueued."),
        (format!("GET {subscriptions}"), "", "Subscriptions could not be listed."),
        (format!("POST {subscriptions}"), SUBSCRIBE, "Subscription could not be created."),
        (format!("GET {subscriptions}/{ID}"), "", "Subscription could not be retrieved."),
        (format!("PATCH {subscriptions}/{ID}"), SUBSCRIBE, "Subscription could not be updated."),
        (format!("DELETE {subscriptions}/{ID}"), "", "Subscription could not be deleted."),
        (
            format!("PUT {subscriptions}/{ID}/confirm"),
            r#"{"confirmed": true}"#,
            "Subscription could not be confirmed.",
        ),
    ];
    for (line, body, stem) in rows {
        let reply = service.call_with(&line, &media, body).await;
        let text = format!("{stem} Please try again in a few seconds.");
        let expected = (503, "Service temporarily unavailable".into(), text);
        assert_eq!(reply.error(), expected, "{line}");
        if !line.starts_with("GET") {
            assert_eq!(reply.json()["stored"], false, "{line}");
        }
    }
    assert_eq!(service.call("GET /", "").await.status, 300);
    assert_eq!(service.call("GET /v2/", "").await.status, 200);
}
