//! Limits of projects over HTTP: what who is over one is told, and that nobody else notices.

use serde_json::json;
use zaqar_engine::EngineConfig;
use zaqar_server::limits::{ProjectRates, Rate, RateSettings};
use zaqar_server::signed_url::{Expiry, Grant, UrlSigner};

use crate::support::{PROJECT, Reply, Service};

const ONE: &str = r#"{"messages": [{"body": "0123456789", "ttl": 300}]}"#;
const THREE: &str = r#"{"messages": [{"body": 1}, {"body": 2}, {"body": 3}]}"#;

fn rates(requests: Option<Rate>, messages: Option<Rate>) -> RateSettings {
    let mut settings = RateSettings::default();
    settings.all = ProjectRates::new(requests, messages);
    settings
}

fn quotas(change: impl FnOnce(&mut zaqar_engine::Quota)) -> Service {
    let mut engine = EngineConfig::default();
    change(&mut engine.quotas.all);
    Service::limited(RateSettings::default(), engine)
}

#[track_caller]
fn limited(reply: &Reply, seconds: &str, text: &str) {
    let body = json!({"title": "Rate limit reached", "description": text, "stored": false});
    assert_eq!((reply.status, reply.json()), (503, body));
    assert_eq!(reply.header("retry-after"), seconds);
    assert_eq!(reply.header("content-type"), "application/json");
}

#[track_caller]
fn exceeded(reply: &Reply, text: &str) {
    let body = json!({"title": "Quota exceeded", "description": text});
    assert_eq!((reply.status, reply.json()), (403, body));
    assert_eq!(reply.header("retry-after"), "");
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_back_whatever_it_asks() {
    let service = Service::limited(rates(Rate::new(2, 4), None), EngineConfig::default());
    let text = "This project may send at most 2 requests per second. Please try again in 1 s.";
    for _ in 0..4 {
        assert_eq!(service.call("GET /v2/queues", "").await.status, 200);
    }
    for line in [
        "GET /v2/",
        "GET /v2/queues",
        "PUT /v2/queues/q",
        "GET /v2/queues/q/messages",
        "POST /v2/queues/q/claims",
        "DELETE /v2/topics/q",
        "POST /v2/queues/~/messages",
    ] {
        limited(&service.call(line, "").await, "1", text);
    }
    let head = service.call("HEAD /v2/queues/q", "").await;
    assert_eq!((head.status, head.header("retry-after")), (503, "1"));
    let probe = service.call("GET /v2/ping", "").await;
    let expected = (503, "1", "");
    assert_eq!((probe.status, probe.header("retry-after"), probe.text.as_str()), expected);
    service.advance_s(1);
    assert_eq!(service.call("PUT /v2/queues/q", "").await.status, 201);
    assert_eq!(service.call("GET /v2/queues/q", "").await.status, 200);
    limited(&service.call("GET /v2/queues/q", "").await, "1", text);
}

#[tokio::test]
async fn what_was_refused_was_not_done_and_its_body_not_looked_at() {
    let service = Service::limited(rates(Rate::new(1, 1), None), EngineConfig::default());
    service.post("q", &["1"]).await;
    for body in [ONE, "no JSON", ""] {
        assert_eq!(service.call("POST /v2/queues/q/messages", body).await.status, 503, "{body}");
    }
    service.advance_s(1);
    let listed = service.call("GET /v2/queues/q/messages?echo=true", "").await;
    assert_eq!(listed.message_ids().len(), 1);
}

#[tokio::test]
async fn who_is_not_known_uses_up_nothing_and_learns_what_is_wrong_first() {
    let service = Service::limited(rates(Rate::new(1, 1), None), EngineConfig::default());
    for _ in 0..5 {
        let reply = service.call_with("GET /v2/queues", &[("client-id", "-")], "").await;
        assert_eq!(reply.status, 400);
        assert_eq!(service.call("GET /v2/nothing", "").await.status, 404);
        assert_eq!(service.call_with("GET /", &[("x-project-id", "-")], "").await.status, 300);
    }
    assert_eq!(service.call("GET /v2/queues", "").await.status, 200);
    assert_eq!(service.call("GET /v2/queues", "").await.status, 503);
    assert_eq!(service.call("GET /v2/nothing", "").await.status, 404);
}

#[tokio::test]
async fn a_signed_request_counts_for_the_project_that_signed_and_a_wrong_one_for_nobody() {
    let signer = UrlSigner::new(["secret"]);
    let expiry = Expiry::parse("2100-01-01T00:00:00").unwrap();
    let lists = (vec!["/v2/queues/q".to_owned()], vec!["GET".to_owned()]);
    let grant = Grant::new(lists.0, lists.1, PROJECT, expiry);
    let signature = signer.sign(&grant).unwrap();
    let service = Service::limited_and(rates(Rate::new(1, 2), None), |rest| {
        rest.url_signer = signer;
    });
    let get = async |signature: &str| {
        let headers = [
            ("url-signature", signature),
            ("url-expires", "2100-01-01T00:00:00"),
            ("url-methods", "GET"),
            ("url-paths", "/v2/queues/q"),
        ];
        service.call_with("GET /v2/queues/q", &headers, "").await.status
    };
    for _ in 0..5 {
        assert_eq!(get("wrong").await, 404);
    }
    assert_eq!(get(&signature).await, 200);
    assert_eq!(service.call("GET /v2/queues", "").await.status, 200);
    assert_eq!(get(&signature).await, 503);
    assert_eq!(service.call("GET /v2/queues", "").await.status, 503);
}

#[tokio::test]
async fn posted_messages_have_a_rate_of_their_own() {
    let service = Service::limited(rates(None, Rate::new(1, 4)), EngineConfig::default());
    let post = "POST /v2/queues/q/messages";
    assert_eq!(service.call(post, THREE).await.status, 201);
    let text = "This project may post at most 1 messages per second. Please try again in 2 s.";
    limited(&service.call(post, THREE).await, "2", text);
    assert_eq!(service.call("POST /v2/topics/q/messages", ONE).await.status, 201);
    assert_eq!(
        service.call("GET /v2/queues/q/messages?echo=true", "").await.message_ids().len(),
        3
    );
    // What no post may hold is wrong, not too much at the moment.
    let many = vec!["{\"body\": 1}"; 1_001].join(",");
    let reply = service.call(post, format!(r#"{{"messages": [{many}]}}"#)).await;
    assert_eq!(reply.status, 400, "{}", reply.text);
    service.advance_s(3);
    assert_eq!(service.call(post, THREE).await.status, 201);
}

#[tokio::test]
async fn a_post_beyond_a_quota_is_403_and_stores_nothing() {
    let service = quotas(|quota| (quota.messages, quota.bytes) = (Some(4), Some(40)));
    let post = "POST /v2/queues/q/messages";
    assert_eq!(service.call(post, THREE).await.status, 201);
    let text = "This project may hold at most 4 messages.";
    exceeded(&service.call(post, THREE).await, text);
    exceeded(&service.call("POST /v2/topics/t/messages", THREE).await, text);
    assert_eq!(service.call("HEAD /v2/topics/t", "").await.status, 404);
    let stats = service.call("GET /v2/queues/q/stats", "").await.json();
    assert_eq!(stats["messages"]["total"], json!(3));
    // Wrong posts are told what is wrong with them, as ever.
    assert_eq!(service.call(post, r#"{"messages": [{"body": 1, "ttl": 1}]}"#).await.status, 400);

    let heavy = format!(r#"{{"messages": [{{"body": "{}"}}]}}"#, "x".repeat(36));
    let text = "This project may hold at most 40 bytes of messages.";
    exceeded(&service.call(post, heavy).await, text);
    assert_eq!(service.call(post, ONE).await.status, 201);
    assert_eq!(service.call("POST /v2/queues/q/purge", "").await.status, 204);
    service.advance_s(2);
    assert_eq!(service.call(post, THREE).await.status, 201);
}

#[tokio::test]
async fn a_queue_beyond_the_quota_is_403_however_it_would_be_made() {
    let service = quotas(|quota| (quota.queues, quota.topics) = (Some(1), Some(1)));
    assert_eq!(service.call("PUT /v2/queues/a", "").await.status, 201);
    let text = "This project may have at most 1 queues.";
    let subscription = r#"{"subscriber": "http://a.example"}"#;
    for (line, body) in [
        ("PUT /v2/queues/b", ""),
        ("POST /v2/queues/b/messages", ONE),
        ("POST /v2/queues/b/subscriptions", subscription),
    ] {
        exceeded(&service.call(line, body).await, text);
    }
    assert_eq!(service.call("PUT /v2/queues/a", "").await.status, 204);
    assert_eq!(service.call("POST /v2/queues/a/messages", ONE).await.status, 201);
    assert_eq!(service.call("POST /v2/topics/a/messages", ONE).await.status, 201);
    let text = "This project may have at most 1 topics.";
    exceeded(&service.call("PUT /v2/topics/b", "").await, text);
    assert_eq!(service.call("DELETE /v2/queues/a", "").await.status, 204);
    assert_eq!(service.call("PUT /v2/queues/b", "").await.status, 201);
}

#[tokio::test]
async fn a_project_over_its_limits_leaves_others_alone() {
    let mut engine = EngineConfig::default();
    engine.quotas.all.messages = Some(4);
    engine.quotas.all.queues = Some(1);
    let service = Service::limited(rates(Rate::new(5, 0), None), engine);
    let other = [("x-project-id", "other")];
    let post = "POST /v2/queues/q/messages";
    assert_eq!(service.call(post, THREE).await.status, 201);
    assert_eq!(service.call(post, THREE).await.status, 403);
    assert_eq!(service.call("PUT /v2/queues/r", "").await.status, 403);
    assert_eq!(service.call(post, ONE).await.status, 201);
    for _ in 0..100 {
        service.call(post, ONE).await;
    }
    assert_eq!(service.call(post, ONE).await.status, 503);
    assert_eq!(service.call_with("PUT /v2/queues/r", &other, "").await.status, 201);
    for _ in 0..2 {
        assert_eq!(service.call_with("POST /v2/queues/r/messages", &other, ONE).await.status, 201);
    }
    let stats = service.call_with("GET /v2/queues/r/stats", &other, "").await.json();
    assert_eq!(stats["messages"]["total"], json!(2));
}
