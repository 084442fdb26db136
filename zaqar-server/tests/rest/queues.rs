//! Queues: making, showing, deleting, statistics, purging.

use serde_json::{Value, json};

use crate::support::Service;

const API: &str = "Invalid API request";
const BODY: &str = "Invalid request body";

fn defaults() -> Value {
    json!({
        "_max_messages_post_size": 262_144,
        "_default_message_ttl": 3600,
        "_default_message_delay": 0,
        "_dead_letter_queue": null,
        "_dead_letter_queue_messages_ttl": null,
        "_max_claim_count": null,
        "_enable_encrypt_messages": false,
    })
}

#[tokio::test]
async fn metadata_is_kept_and_shown_with_the_defaults() {
    let service = Service::new();
    let metadata = r#"{"name": "Q", "a.b": {"deep": [1, 2.5, "ü"]}, "": null, "$x": true,
        "third": 0.3333333333333333, "_default_message_ttl": 300, "_max_claim_count": 0}"#;
    let reply = service.call("PUT /v2/queues/q", metadata).await;
    assert_eq!((reply.status, reply.header("location")), (201, "/v2/queues/q"));
    let mut expected = defaults();
    for (key, value) in [
        ("name", json!("Q")),
        ("a.b", json!({"deep": [1, 2.5, "ü"]})),
        ("", Value::Null),
        ("$x", json!(true)),
        ("third", json!(0.333_333_333_333_333_3)),
        ("_default_message_ttl", json!(300)),
    ] {
        expected[key] = value;
    }
    let shown = service.call("GET /v2/queues/q", "").await;
    assert_eq!((shown.status, shown.json()), (200, expected.clone()));
    assert!(shown.text.contains("\"third\": 0.3333333333333333"), "{}", shown.text);
    let listed = service.call("GET /v2/queues?detailed=true", "").await.json();
    assert_eq!(listed["queues"][0]["metadata"], expected);
}

#[tokio::test]
async fn making_a_queue_again_checks_and_ignores_the_metadata() {
    let service = Service::new();
    service.call("PUT /v2/queues/q", r#"{"a": 1}"#).await;
    let again = service.call("PUT /v2/queues/q", r#"{"a": 2}"#).await;
    assert_eq!((again.status, again.header("location")), (204, "/v2/queues/q"));
    assert_eq!(service.call("GET /v2/queues/q", "").await.json()["a"], 1);
    let refused = service.call("PUT /v2/queues/q", r#"{"_default_message_ttl": 59}"#).await;
    assert_eq!(refused.status, 400);
}

#[tokio::test]
async fn a_missing_queue_shows_defaults_and_head_tells_it_apart() {
    let service = Service::new();
    let reply = service.call("GET /v2/queues/q", "").await;
    assert_eq!((reply.status, reply.json()), (200, defaults()));
    let head = service.call("HEAD /v2/queues/q", "").await;
    assert_eq!((head.status, head.text.as_str()), (404, ""));
    service.call("PUT /v2/queues/q", "").await;
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 204);
}

#[tokio::test]
async fn metadata_that_no_queue_may_have_is_refused_and_makes_no_queue() {
    let unparsable = "Request body could not be parsed.";
    let line = "PUT /v2/queues/q";
    let service = Service::new();
    service
        .refuses(&[
            (line, "{", 400, BODY, unparsable),
            (line, ".", 400, BODY, unparsable),
            (line, "  ", 400, BODY, unparsable),
            (line, "5", 400, BODY, unparsable),
            (line, "{} {}", 400, BODY, unparsable),
            (line, "[]", 400, BODY, "Document type not supported."),
            (
                line,
                r#"{"a": [9223372036854775808]}"#,
                400,
                BODY,
                "JSON contains integer that is too large.",
            ),
            (
                line,
                r#"{"_default_message_ttl": "60"}"#,
                400,
                API,
                "_default_message_ttl must be integer.",
            ),
            (
                line,
                r#"{"_default_message_ttl": 59}"#,
                400,
                API,
                "_default_message_ttl can not exceed 1209600 seconds, and must be at least 60 \
                 seconds long.",
            ),
            (
                line,
                r#"{"_max_messages_post_size": 0}"#,
                400,
                API,
                "_max_messages_post_size can not exceed 262144,  and must be at least greater than \
                 0.",
            ),
            (
                line,
                r#"{"_max_messages_post_size": 262145}"#,
                400,
                API,
                "_max_messages_post_size can not exceed 262144,  and must be at least greater than \
                 0.",
            ),
            (
                line,
                r#"{"_default_message_delay": 901}"#,
                400,
                API,
                "The TTL can not exceed 900 seconds, and must be at least 0 seconds long.",
            ),
            (line, r#"{"_max_claim_count": "2"}"#, 400, API, "_max_claim_count must be integer."),
            (
                line,
                r#"{"_dead_letter_queue_messages_ttl": 1209601}"#,
                400,
                API,
                "The TTL for a message may not exceed 1209600 seconds, and must be at least 60 \
                 seconds long.",
            ),
            (
                line,
                r#"{"_enable_encrypt_messages": "yes"}"#,
                400,
                API,
                "_enable_encrypt_messages must be boolean.",
            ),
            (line, r#"{"_retry_policy": 5}"#, 400, API, "retry_policy must be a dict."),
        ])
        .await;
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404);
}

#[tokio::test]
async fn metadata_may_be_as_large_as_the_cap_and_no_larger() {
    let service = Service::new();
    let of_length = |length: usize| format!(r#"{{"a": "{}"}}"#, "x".repeat(length - 9));
    assert_eq!(of_length(65_536).len(), 65_536);
    assert_eq!(service.call("PUT /v2/queues/q", of_length(65_536)).await.status, 201);
    let reply = service.call("PUT /v2/queues/r", of_length(65_537)).await;
    let text = "Queue metadata is too large. Max size: 65536";
    assert_eq!(reply.error(), (400, API.into(), text.into()));
}

#[tokio::test]
async fn deleting_is_idempotent_and_a_new_queue_of_that_name_is_empty() {
    let service = Service::new();
    assert_eq!(service.call("DELETE /v2/queues/q", "").await.status, 204);
    let id = service.post("q", &["1"]).await.remove(0);
    assert_eq!(service.call("DELETE /v2/queues/q", "").await.status, 204);
    assert_eq!(service.call("GET /v2/queues/q/messages?echo=true", "").await.next(), None);
    service.call("PUT /v2/queues/q", "").await;
    let reply = service.call("GET /v2/queues/q/messages?echo=true", "").await;
    assert!(reply.message_ids().is_empty());
    let line = format!("DELETE /v2/queues/q/messages/{id}");
    assert_eq!(service.call(&line, "").await.status, 204);
}

#[tokio::test]
async fn statistics_count_and_name_the_ends_of_a_queue() {
    let service = Service::new();
    let nothing = json!({"messages": {"claimed": 0, "free": 0, "total": 0}});
    let reply = service.call("GET /v2/queues/q/stats", "").await;
    assert_eq!((reply.status, reply.json()), (200, nothing.clone()));
    service.call("PUT /v2/queues/q", "").await;
    assert_eq!(service.call("GET /v2/queues/q/stats", "").await.json(), nothing);

    let first = service.post("q", &["1"]).await.remove(0);
    service.advance_s(5);
    let last = service.post("q", &["2", "3"]).await.remove(1);
    service.call("POST /v2/queues/q/claims?limit=1", "").await;
    service.advance_s(2);
    let stats = service.call("GET /v2/queues/q/stats", "").await.json();
    let edge = |id: &str, age: u64, created: &str| json!({"age": age, "created": created, "href": format!("/v2/queues/q/messages/{id}")});
    assert_eq!(
        stats,
        json!({"messages": {
            "claimed": 1,
            "free": 2,
            "total": 3,
            "oldest": edge(&first, 7, "2033-05-18T03:33:20Z"),
            "newest": edge(&last, 2, "2033-05-18T03:33:25Z"),
        }})
    );
}

#[tokio::test]
async fn statistics_of_delayed_messages_alone_are_answered() {
    let service = Service::new();
    let body = r#"{"messages": [{"body": 1, "delay": 100}]}"#;
    service.call("POST /v2/queues/q/messages", body).await;
    let reply = service.call("GET /v2/queues/q/stats", "").await;
    assert_eq!((reply.status, &reply.json()["messages"]["free"]), (200, &json!(1)));
}

#[tokio::test]
async fn purging_removes_every_message_claimed_ones_too() {
    let service = Service::new();
    for body in ["", r#"{"resource_types": ["messages"]}"#] {
        service.post("q", &["1", "2", "3"]).await;
        service.call("POST /v2/queues/q/claims?limit=2", "").await;
        assert_eq!(service.call("POST /v2/queues/q/purge", body).await.status, 204);
        let line = "GET /v2/queues/q/messages?echo=true&include_claimed=true";
        assert!(service.call(line, "").await.message_ids().is_empty());
    }
    service.post("q", &["1"]).await;
    for body in [r#"{"resource_types": []}"#, r#"{"resource_types": ["subscriptions"], "x": 1}"#] {
        assert_eq!(service.call("POST /v2/queues/q/purge", body).await.status, 204);
    }
    let kept = service.call("GET /v2/queues/q/messages?echo=true", "").await;
    assert_eq!(kept.message_ids().len(), 1);
    assert_eq!(service.call("POST /v2/queues/missing/purge", "").await.status, 204);
}

#[tokio::test]
async fn purging_anything_else_is_refused() {
    let line = "POST /v2/queues/q/purge";
    let missing = "Post body must contain key \"resource_types\".";
    let unknown = "Resource types must be a sub set of {'messages', 'subscriptions'}.";
    Service::new()
        .refuses(&[
            (line, "{}", 400, API, missing),
            (line, "[]", 400, API, missing),
            (line, r#"["resource_types"]"#, 400, API, missing),
            (line, r#"{"resource_types": ["claims"]}"#, 400, API, unknown),
            (line, r#"{"resource_types": [["messages"]]}"#, 400, API, unknown),
            (line, r#"{"resource_types": 5}"#, 400, API, unknown),
            (line, r#"{"resource_types": null}"#, 400, API, unknown),
            (line, "nope", 400, BODY, "Request body could not be parsed."),
        ])
        .await;
}
