//! Limits of projects over WebSocket: the same as over HTTP, and one account for both.

use axum::Router;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use zaqar_engine::EngineConfig;
use zaqar_server::limits::{ProjectRates, Rate, RateLimits, RateSettings};
use zaqar_server::rest::{self, RestConfig};

use crate::client::{CLIENT, Client, PROJECT};
use crate::world::World;

const FULL: &str = "This project may hold at most 4 messages.";

fn rates(requests: Option<Rate>, messages: Option<Rate>) -> RateSettings {
    let mut settings = RateSettings::default();
    settings.all = ProjectRates::new(requests, messages);
    settings
}

/// The REST service beside the WebSocket service of a world.
fn rest_beside(world: &World, rates: RateLimits) -> Router {
    let mut config = RestConfig::default();
    config.rates = rates;
    rest::router(world.engine.clone(), config, None)
}

async fn over_http(router: &Router, line: &str, project: &str, body: &str) -> u16 {
    let (method, path) = line.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(path);
    let request = request.header("client-id", CLIENT).header("x-project-id", project);
    let request = request.body(Body::from(body.to_owned())).unwrap();
    router.clone().oneshot(request).await.unwrap().status().as_u16()
}

fn three() -> Value {
    json!({"queue_name": "q", "messages": [{"body": 1}, {"body": 2}, {"body": 3}]})
}

fn list() -> Value {
    json!({"queue_name": "q", "echo": true})
}

#[tokio::test]
async fn who_asks_too_often_is_answered_503_with_the_text_that_http_has() {
    let (world, _) = World::limited(rates(Rate::new(2, 0), None), EngineConfig::default()).await;
    let mut client = world.client().await;
    for _ in 0..2 {
        client.call("queue_list", json!({})).await.expect(200);
    }
    let text = "This project may send at most 2 requests per second. Please try again in 1 s.";
    for (action, body) in [
        ("queue_list", json!({})),
        ("queue_create", json!({"queue_name": "q"})),
        ("message_post", three()),
        ("message_post", json!({"queue_name": "~", "messages": []})),
    ] {
        let refused = client.call(action, body).await.expect(503);
        assert_eq!(refused, json!({"exception": text, "error": text, "stored": false}));
    }
    // What is no request of the project costs it nothing.
    client.call("no_action", json!({})).await.expect(400);
    client.call("message_post", json!({})).await.expect(400);
    world.advance_s(1);
    client.call("queue_create", json!({"queue_name": "q"})).await.expect(201);
    client.call("message_list", list()).await.expect(200);
    client.call("message_list", list()).await.expect(503);
}

#[tokio::test]
async fn posted_messages_have_a_rate_of_their_own() {
    let (world, _) = World::limited(rates(None, Rate::new(1, 4)), EngineConfig::default()).await;
    let mut client = world.client().await;
    client.call("message_post", three()).await.expect(201);
    let text = "This project may post at most 1 messages per second. Please try again in 2 s.";
    let refused = client.call("message_post", three()).await.expect(503);
    assert_eq!(refused, json!({"exception": text, "error": text, "stored": false}));
    let listed = client.call("message_list", list()).await.expect(200);
    assert_eq!(listed["messages"].as_array().unwrap().len(), 3);
    world.advance_s(2);
    client.call("message_post", three()).await.expect(201);
}

#[tokio::test]
async fn what_a_quota_does_not_allow_is_403_and_names_it() {
    let mut engine = EngineConfig::default();
    engine.quotas.all.messages = Some(4);
    engine.quotas.all.queues = Some(1);
    let (world, _) = World::limited(RateSettings::default(), engine).await;
    let mut client = world.client().await;
    client.call("message_post", three()).await.expect(201);
    let refused = client.call("message_post", three()).await.expect(403);
    let error = "No messages could be enqueued.";
    assert_eq!(refused, json!({"exception": FULL, "error": error}));
    let refused = client.call("queue_create", json!({"queue_name": "r"})).await.expect(403);
    let text = "This project may have at most 1 queues.";
    assert_eq!(refused, json!({"exception": text, "error": "Queue r could not be created."}));
    let body = json!({"queue_name": "r", "messages": [{"body": 1}]});
    let refused = client.call("message_post", body).await.expect(403);
    assert_eq!(refused, json!({"exception": text, "error": error}));
    let subscription = json!({"queue_name": "r", "ttl": 300});
    let refused = client.call("subscription_create", subscription).await;
    assert_eq!(refused.error(), (403, text));
    let stats = client.call("queue_get_stats", json!({"queue_name": "q"})).await.expect(200);
    assert_eq!(stats["messages"]["total"], json!(3));
}

#[tokio::test]
async fn both_transports_count_into_one_account_and_other_projects_have_their_own() {
    let mut engine = EngineConfig::default();
    engine.quotas.all.messages = Some(4);
    let (world, limits) = World::limited(rates(Rate::new(6, 0), None), engine).await;
    let router = rest_beside(&world, limits);
    let mut client = world.client().await;
    let mut other = Client::over(
        crate::client::connect(world.address, "/", &[]).await.unwrap(),
        crate::client::Format::MessagePack,
    );
    other.project = "other".to_owned();

    client.call("message_post", three()).await.expect(201);
    let post = "POST /v2/queues/q/messages";
    let body = r#"{"messages": [{"body": 1}, {"body": 2}]}"#;
    assert_eq!(over_http(&router, post, PROJECT, body).await, 403);
    assert_eq!(over_http(&router, post, PROJECT, r#"{"messages": [{"body": 4}]}"#).await, 201);
    let one = json!({"queue_name": "q", "messages": [{"body": 5}]});
    client.call("message_post", one.clone()).await.expect(403);
    for status in [200, 200, 503, 503] {
        assert_eq!(over_http(&router, "GET /v2/queues", PROJECT, "").await, status);
    }
    client.call("queue_list", json!({})).await.expect(503);

    other.call("message_post", three()).await.expect(201);
    other.call("message_post", one.clone()).await.expect(201);
    other.call("message_post", one).await.expect(403);
    for status in [200, 200, 200, 503] {
        assert_eq!(over_http(&router, "GET /v2/queues", "other", "").await, status);
    }
}
