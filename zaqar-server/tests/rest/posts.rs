//! Posting messages.

use serde_json::{Value, json};
use zaqar_engine::EngineConfig;
use zaqar_server::rest::RestConfig;

use crate::support::{Service, request};

const LINE: &str = "POST /v2/queues/q/messages";
const API: &str = "Invalid API request";
const BODY: &str = "Invalid request body";
const TTL: &str =
    "The TTL for a message may not exceed 1209600 seconds, and must be at least 60 seconds long.";
const DELAY: &str =
    "The Delay TTL for a message may not exceed 900 seconds,and must be at least 0 seconds long.";

async fn listed(service: &Service) -> Vec<Value> {
    let line = "GET /v2/queues/q/messages?echo=true&include_delayed=true&limit=20";
    service.call(line, "").await.json()["messages"].as_array().unwrap().clone()
}

#[tokio::test]
async fn every_kind_of_body_comes_back_as_it_was_sent() {
    let service = Service::new();
    let bodies = [
        r#"{"b": 1,  "a": [1e2, -0.0, 1.10]}"#,
        "\"\u{fc}\\u00fc\\\"\\/\"",
        "null",
        "false",
        "[]",
        "9223372036854775807",
        r#"{"k": 1, "k": 2}"#,
    ];
    let ids = service.post("q", &bodies).await;
    for (id, body) in ids.iter().zip(bodies) {
        let reply = service.call(&format!("GET /v2/queues/q/messages/{id}"), "").await;
        let href = format!("/v2/queues/q/messages/{id}");
        let expected = format!(
            "{{\"id\": \"{id}\", \"href\": \"{href}\", \"ttl\": 300, \"age\": 0, \"body\": {body}}}"
        );
        assert_eq!(reply.text, expected);
    }
}

#[tokio::test]
async fn the_answer_names_every_message_in_the_order_of_posting() {
    let service = Service::new();
    let bodies: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    let messages: Vec<String> = bodies.iter().map(|b| format!(r#"{{"body": {b}}}"#)).collect();
    let document = format!(r#"{{"messages": [{}]}}"#, messages.join(","));
    let reply = service.call(LINE, document).await;
    let ids = reply.ids();
    assert_eq!(reply.status, 201);
    assert_eq!(reply.json().as_object().unwrap().keys().collect::<Vec<_>>(), ["resources"]);
    let location = reply.header("location").to_owned();
    assert_eq!(location, format!("/v2/queues/q/messages?ids={}", ids.join(",")));
    let followed = service.call(&format!("GET {location}"), "").await;
    assert_eq!(followed.message_ids(), ids);
    let followed = followed.json();
    let shown = followed["messages"].as_array().unwrap().iter().map(|m| m["body"].to_string());
    assert_eq!(shown.collect::<Vec<_>>(), bodies);
}

#[tokio::test]
async fn life_and_delay_come_from_the_message_the_queue_or_the_configuration() {
    let service = Service::new();
    let body =
        r#"{"messages": [{"body": 1}, {"body": 2, "ttl": 60}, {"body": 3, "ttl": 1209600}]}"#;
    assert_eq!(service.call(LINE, body).await.status, 201);
    let ttls: Vec<Value> = listed(&service).await.iter().map(|m| m["ttl"].clone()).collect();
    assert_eq!(ttls, [json!(3600), json!(60), json!(1_209_600)]);

    let service = Service::new();
    let metadata = r#"{"_default_message_ttl": 100, "_default_message_delay": 50}"#;
    service.call("PUT /v2/queues/q", metadata).await;
    let body = r#"{"messages": [{"body": 1}, {"body": 2, "delay": 0, "ttl": 70}]}"#;
    assert_eq!(service.call(LINE, body).await.status, 201);
    let shown = service.call("GET /v2/queues/q/messages?echo=true", "").await.json();
    assert_eq!(
        (&shown["messages"][0]["body"], &shown["messages"][0]["ttl"]),
        (&json!(2), &json!(70))
    );
    assert_eq!(listed(&service).await[0]["ttl"], 100);
}

#[tokio::test]
async fn a_delayed_message_is_hidden_until_its_delay_is_over() {
    let service = Service::new();
    service.call(LINE, r#"{"messages": [{"body": 1, "delay": 30}]}"#).await;
    let visible = "GET /v2/queues/q/messages?echo=true";
    assert!(service.call(visible, "").await.message_ids().is_empty());
    assert_eq!(service.call("POST /v2/queues/q/claims", "").await.status, 204);
    assert_eq!(listed(&service).await.len(), 1);
    service.advance_s(30);
    assert_eq!(service.call(visible, "").await.message_ids().len(), 1);
    assert_eq!(service.call("POST /v2/queues/q/claims", "").await.status, 201);
}

#[tokio::test]
async fn a_message_is_gone_when_its_life_is_over() {
    let service = Service::new();
    service.call(LINE, r#"{"messages": [{"body": 1, "ttl": 60}]}"#).await;
    service.advance_s(59);
    assert_eq!(listed(&service).await[0]["age"], 59);
    service.advance_s(1);
    assert!(listed(&service).await.is_empty());
}

#[tokio::test]
async fn each_fault_of_a_post_has_its_text_and_stores_nothing() {
    let service = Service::new();
    let unparsable = "Request body could not be parsed.";
    let none = "No messages were found in the request body.";
    let doctype = "Document type not supported.";
    let good = r#"{"body": "good"}"#;
    let batch = |bad: &str| format!(r#"{{"messages": [{good}, {bad}]}}"#);
    let rows = [
        (String::new(), BODY, "Request body can not be empty"),
        ("[".into(), BODY, unparsable),
        (".".into(), BODY, unparsable),
        ("123".into(), BODY, unparsable),
        ("  ".into(), BODY, unparsable),
        (batch("{\"body\": NaN}"), BODY, unparsable),
        (batch("{\"body\": 1e400}"), BODY, unparsable),
        (batch("{\"body\": \"\\ud800\"}"), BODY, unparsable),
        (
            batch("{\"body\": 18446744073709551616}"),
            BODY,
            "JSON contains integer that is too large.",
        ),
        (
            batch("{\"ttl\": 92233720368547758080}"),
            BODY,
            "JSON contains integer that is too large.",
        ),
        ("[]".into(), API, none),
        ("{}".into(), API, none),
        (r#"["messages"]"#.into(), API, none),
        (r#"{"messages": null}"#.into(), BODY, doctype),
        (r#"{"messages": {"body": 1}}"#.into(), BODY, doctype),
        (r#"{"messages": []}"#.into(), API, "No messages to enqueu."),
        (batch("5"), BODY, doctype),
        (batch("[]"), BODY, doctype),
        (batch("\"\""), BODY, doctype),
        (batch("{}"), BODY, "Missing \"body\" field."),
        (
            batch(r#"{"body": 1, "ttl": null}"#),
            BODY,
            "The value of the \"ttl\" field must be a int.",
        ),
        (
            batch(r#"{"body": 1, "ttl": 60.0}"#),
            BODY,
            "The value of the \"ttl\" field must be a int.",
        ),
        (
            batch(r#"{"body": 1, "ttl": "60"}"#),
            BODY,
            "The value of the \"ttl\" field must be a int.",
        ),
        (
            batch(r#"{"body": 1, "delay": []}"#),
            BODY,
            "The value of the \"delay\" field must be a int.",
        ),
        (batch(r#"{"body": 1, "ttl": -1}"#), API, TTL),
        (batch(r#"{"body": 1, "ttl": 59}"#), API, TTL),
        (batch(r#"{"body": 1, "ttl": true}"#), API, TTL),
        (batch(r#"{"body": 1, "ttl": 1209601}"#), API, TTL),
        (batch(r#"{"body": 1, "delay": -1}"#), API, DELAY),
        (batch(r#"{"body": 1, "delay": 901}"#), API, DELAY),
    ];
    for (body, title, description) in &rows {
        service.refuses(&[(LINE, body, 400, title, description)]).await;
    }
    // Not even the queue was made.
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 404);
    service.call("PUT /v2/queues/q", "").await;
    for (body, ..) in rows {
        service.call(LINE, body).await;
    }
    assert!(listed(&service).await.is_empty());
}

#[tokio::test]
async fn a_declared_empty_body_is_no_json() {
    let reply = Service::new().call_with(LINE, &[("content-length", "0")], "").await;
    let text = "Request body could not be parsed.";
    assert_eq!(reply.error(), (400, BODY.into(), text.into()));
}

#[tokio::test]
async fn at_most_a_thousand_messages_are_taken_at_once() {
    let service = Service::new();
    let of =
        |count: usize| format!(r#"{{"messages": [{}]}}"#, vec![r#"{"body":0}"#; count].join(","));
    let reply = service.call(LINE, of(1_001)).await;
    let text = "The number of messages may not exceed 1000.";
    assert_eq!(reply.error(), (400, API.into(), text.into()));
    assert_eq!(service.call(LINE, of(20_000)).await.error().2, text);
    assert_eq!(service.call(LINE, of(1_000)).await.ids().len(), 1_000);
}

#[tokio::test]
async fn a_post_may_be_as_large_as_the_bound_of_service_or_queue() {
    let service = Service::new();
    let of_length = |length: usize| {
        let frame = r#"{"messages": [{"body": ""}]}"#.len();
        format!(r#"{{"messages": [{{"body": "{}"}}]}}"#, "x".repeat(length - frame))
    };
    assert_eq!(service.call(LINE, of_length(262_144)).await.status, 201);
    let reply = service.call(LINE, of_length(262_145)).await;
    let text = "Message collection size is too large. Max size 262144";
    assert_eq!(reply.error(), (400, API.into(), text.into()));

    service.call("PUT /v2/queues/small", r#"{"_max_messages_post_size": 100}"#).await;
    let line = "POST /v2/queues/small/messages";
    assert_eq!(service.call(line, of_length(100)).await.status, 201);
    let reply = service.call(line, of_length(101)).await;
    let text = "Message collection size is too large. The max size for current queue is 100. It is \
                calculated by max size = min(max_messages_post_size_config: 262144, \
                max_messages_post_size_queue: 100).";
    assert_eq!(reply.error(), (400, API.into(), text.into()));
}

#[tokio::test]
async fn the_queue_is_made_by_the_first_good_post() {
    let service = Service::new();
    service.post("q", &["1"]).await;
    assert_eq!(service.call("HEAD /v2/queues/q", "").await.status, 204);
}

#[tokio::test]
async fn checksums_are_shown_where_they_are_on_but_not_for_null() {
    let mut engine = EngineConfig::default();
    engine.enable_checksum = true;
    let service = Service::with(RestConfig::default(), engine);
    service.post("q", &[r#"{"a": 1}"#, "\"str\"", "[1, 2]", "1", "null"]).await;
    let shown: Vec<Value> = listed(&service).await.iter().map(|m| m["checksum"].clone()).collect();
    assert_eq!(
        shown,
        [
            json!("MD5:42b7b4f2921788ea14dac5566e6f06d0"),
            json!("MD5:767e2d7912ebefdfe18495ed53635fc8"),
            json!("MD5:04cd0e0151f352e7fd414d694a604136"),
            json!("MD5:c4ca4238a0b923820dcc509a6f75849b"),
            Value::Null,
        ]
    );
    let popped = service.send(request("DELETE /v2/queues/q/messages?pop=1", &[], "")).await;
    assert_eq!(popped.json()["messages"][0].get("checksum"), None);
}
