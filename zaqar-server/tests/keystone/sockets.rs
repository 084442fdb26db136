//! WebSocket: a connection acts for the project of its token, as long as that holds.

use std::time::Duration;

use serde_json::{Value, json};

use crate::stub::Mood;
use crate::world::{Socket, World};

async fn list(socket: &mut Socket, project: &str) -> (u64, Value) {
    socket.call("queue_list", project, &[], json!({})).await
}

#[tokio::test]
async fn whoever_has_not_authenticated_may_do_nothing() {
    let world = World::new().await;
    let mut socket = world.socket().await;
    let refused = (403, json!({"error": "Not authentified."}));
    assert_eq!(list(&mut socket, "p").await, refused);
    let forged = [("X-Roles", json!("admin")), ("X-Identity-Status", json!("Confirmed"))];
    assert_eq!(socket.call("queue_list", "p", &forged, json!({})).await, refused);
    let token = [("X-Auth-Token", json!("t"))];
    world.stub.issue("t", "p", &[], 3_600);
    assert_eq!(socket.call("queue_list", "p", &token, json!({})).await, refused);
    assert_eq!(world.stub.validations(), 0);
}

#[tokio::test]
async fn a_connection_acts_for_the_project_of_its_token_and_for_no_other() {
    let world = World::new().await;
    world.stub.issue("t", "mine", &["member"], 3_600);
    world.stub.issue("other", "theirs", &["member"], 3_600);
    let mut socket = world.socket().await;
    let welcome = (200, json!({"message": "Authentified."}));
    assert_eq!(socket.authenticate("mine", "t").await, welcome);
    let queue = json!({"queue_name": "q"});
    assert_eq!(socket.call("queue_create", "mine", &[], queue).await.0, 201);
    let (status, listed) = list(&mut socket, "mine").await;
    assert_eq!((status, &listed["queues"]), (200, &json!([{"name": "q"}])));
    for project in ["theirs", "", "MINE"] {
        let refused = (403, json!({"error": "Not authenticated."}));
        assert_eq!(list(&mut socket, project).await, refused, "{project}");
    }
    // What it has subscribed to lives on, so it stays with its project.
    assert_eq!(socket.authenticate("theirs", "other").await.0, 403);
    assert_eq!(list(&mut socket, "theirs").await.0, 403);
    assert_eq!(list(&mut socket, "mine").await.0, 200);
    world.stub.issue("again", "mine", &["member"], 3_600);
    assert_eq!(socket.authenticate("mine", "again").await, welcome);
    assert_eq!(list(&mut socket, "mine").await.0, 200);
}

#[tokio::test]
async fn a_failed_attempt_says_so_and_the_next_one_may_succeed() {
    let world = World::new().await;
    world.stub.issue("t", "p", &[], 3_600);
    world.stub.issue_unscoped("unscoped", 3_600);
    let mut socket = world.socket().await;
    let failed = (401, json!({"error": "Authentication failed."}));
    let oversized = "x".repeat(8_193);
    for token in ["", " ", "unknown", &oversized] {
        assert_eq!(socket.authenticate("p", token).await, failed);
    }
    let unscoped = (400, json!({"error": "The token is scoped to no project."}));
    assert_eq!(socket.authenticate("p", "unscoped").await, unscoped);
    let schema = (400, json!({"error": "Schema validation failed."}));
    assert_eq!(socket.call("authenticate", "p", &[], json!({})).await, schema);
    let bad = [("X-Auth-Token", json!(["t"]))];
    assert_eq!(socket.call("authenticate", "p", &bad, json!({})).await, schema);
    assert_eq!(list(&mut socket, "p").await.0, 403);
    assert_eq!(socket.authenticate("p", "t").await.0, 200);
    assert_eq!(list(&mut socket, "p").await.0, 200);
}

#[tokio::test]
async fn signed_requests_need_no_token() {
    let world = World::new().await;
    world.stub.issue("t", "p", &[], 3_600);
    let mut socket = world.socket().await;
    assert_eq!(socket.authenticate("p", "t").await.0, 200);
    let body = json!({"queue_name": "q", "messages": [{"body": 1, "ttl": 300}]});
    assert_eq!(socket.call("message_post", "p", &[], body).await.0, 201);
    let shared = world.ask("POST /v2/queues/q/share", "t", "{}").await.json();
    let signed = [
        ("URL-Signature", shared["signature"].clone()),
        ("URL-Expires", shared["expires"].clone()),
        ("URL-Methods", shared["methods"].clone()),
        ("URL-Paths", shared["paths"].clone()),
    ];
    let mut stranger = world.socket().await;
    let read = json!({"queue_name": "q", "echo": true});
    let (status, body) = stranger.call("message_list", "p", &signed, read.clone()).await;
    assert_eq!((status, body["messages"].as_array().unwrap().len()), (200, 1));
    assert_eq!(stranger.call("message_list", "p2", &signed, read.clone()).await.0, 403);
    let empty = [("URL-Signature", json!(""))];
    assert_eq!(socket.call("message_list", "p", &empty, read).await.0, 403);
}

#[tokio::test]
async fn a_connection_is_closed_when_its_token_ends_unless_a_new_one_has_come() {
    let world = World::new().await;
    world.stub.issue("first", "p", &[], 100);
    world.stub.issue("second", "p", &[], 1_000);
    let mut socket = world.socket().await;
    let mut silent = world.socket().await;
    assert_eq!(silent.authenticate("p", "first").await.0, 200);
    assert_eq!(socket.authenticate("p", "first").await.0, 200);
    assert_eq!(socket.authenticate("p", "second").await.0, 200);
    world.advance_s(100);
    let expired = (4003, "Authentication expired.".to_owned());
    assert_eq!(silent.closed().await, expired);
    assert_eq!(list(&mut socket, "p").await.0, 200);
    world.advance_s(900);
    assert_eq!(socket.closed().await, expired);
}

#[tokio::test]
async fn a_connection_is_closed_when_its_token_was_revoked_within_the_time_of_the_cache() {
    let world = World::new().await;
    world.stub.issue("t", "p", &[], 86_400);
    let mut socket = world.socket().await;
    assert_eq!(socket.authenticate("p", "t").await.0, 200);
    world.stub.revoke("t");
    world.advance_s(299);
    assert_eq!(list(&mut socket, "p").await.0, 200);
    world.advance_s(1);
    assert_eq!(socket.closed().await, (4003, "Authentication expired.".to_owned()));
}

#[tokio::test]
async fn a_connection_is_served_from_memory_while_keystone_is_away_and_then_told_so() {
    let mut world = World::with(|config| config.request_timeout = Duration::from_secs(2)).await;
    world.stub.issue("t", "p", &[], 86_400);
    let mut socket = world.socket().await;
    while socket.authenticate("p", "t").await.0 != 200 {}
    for mood in [
        Mood::Hanging,
        Mood::Forgetful,
        Mood::Status(500),
        Mood::Nonsense("null".to_owned()),
        Mood::Well,
    ] {
        world.stub.be(mood.clone());
        if mood != Mood::Well {
            let (status, body) = world.socket().await.authenticate("p", "new").await;
            assert_eq!(status, 503, "{body}");
        }
        assert_eq!(list(&mut socket, "p").await.0, 200);
    }
    world.stub.end();
    assert_eq!(list(&mut socket, "p").await.0, 200);
    world.advance_s(300);
    assert_eq!(list(&mut socket, "p").await.0, 503);
}
