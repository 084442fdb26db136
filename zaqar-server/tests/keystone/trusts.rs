//! Subscribers that are given tokens: who may subscribe them, and on which trust.

use serde_json::{Value, json};

use crate::stub::Mood;
use crate::world::World;

const COLLECTION: &str = "POST /v2/queues/q/subscriptions";
const NEW: &str = r#"{"subscriber": "trust+https://mistral.example/v2", "ttl": 600,
                      "options": {"post_headers": {"X-Mine": "yes"}}}"#;

fn trusts(world: &World) -> Vec<Value> {
    world.stub.told.trusts.lock().unwrap().clone()
}

#[tokio::test]
async fn whoever_subscribes_with_a_token_gives_a_trust_that_lives_as_long_as_the_subscription() {
    let world = World::new().await;
    world.stub.issue("t", "p", &["member"], 3_600);
    let made = world.ask(COLLECTION, "t", NEW).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let id = made.json()["subscription_id"].as_str().unwrap().to_owned();
    let given = trusts(&world);
    assert_eq!((given.len(), &given[0]["project_id"]), (1, &json!("p")));
    assert_eq!(given[0]["expires_at"], "2033-05-18T03:43:20Z");
    let line = format!("GET /v2/queues/q/subscriptions/{id}");
    let options = world.ask(&line, "t", "").await.json()["options"].clone();
    assert_eq!(options, json!({"post_headers": {"X-Mine": "yes"}, "trust_id": "trust-0"}));
    // Once more is the same subscription, on the same trust.
    let again = world.ask(COLLECTION, "t", NEW).await;
    assert_eq!((again.status, &again.json()["subscription_id"]), (201, &json!(id)));
    assert_eq!(trusts(&world).len(), 1);
    // Its options are the client's to change, its trust is not.
    let patch = format!("PATCH /v2/queues/q/subscriptions/{id}");
    let changed = world.ask(&patch, "t", r#"{"options": {"post_data": "x"}}"#).await;
    assert_eq!(changed.status, 204, "{}", changed.text);
    let options = world.ask(&line, "t", "").await.json()["options"].clone();
    assert_eq!(options, json!({"post_data": "x", "trust_id": "trust-0"}));
    for body in [
        r#"{"options": {"trust_id": "trust-9"}}"#,
        r#"{"subscriber": "trust+https://other.example/"}"#,
    ] {
        assert_eq!(world.ask(&patch, "t", body).await.status, 400, "{body}");
    }
}

#[tokio::test]
async fn without_a_trust_there_is_no_such_subscription() {
    let world = World::new().await;
    world.stub.issue("t", "p", &["member"], 86_400);
    let named = r#"{"subscriber": "trust+https://a.example/", "options": {"trust_id": "trust-0"}}"#;
    assert_eq!(world.ask(COLLECTION, "t", named).await.status, 400);
    let short = r#"{"subscriber": "trust+https://a.example/", "ttl": 1}"#;
    assert_eq!(world.ask(COLLECTION, "t", short).await.status, 400);
    assert_eq!(world.ask("GET /v2/queues", "t", "").await.status, 200);
    for mood in [Mood::Status(500), Mood::Nonsense("{}".to_owned())] {
        world.stub.be(mood);
        let away = world.ask(COLLECTION, "t", NEW).await;
        assert_eq!((away.status, away.header("retry-after")), (503, "5"), "{}", away.text);
    }
    world.stub.be(Mood::Well);
    // It holds here for as long as it is remembered, but Keystone takes no trust from it.
    world.stub.revoke("t");
    let refused = world.ask(COLLECTION, "t", NEW).await;
    assert_eq!(refused.status, 403, "{}", refused.text);
    assert!(refused.text.contains("trust"), "{}", refused.text);
    assert!(trusts(&world).is_empty());
    world.stub.issue("t", "p", &["member"], 3_600);
    let listed = world.ask("GET /v2/queues/q/subscriptions", "t", "").await.json();
    assert_eq!(listed["subscriptions"], json!([]));
}

#[tokio::test]
async fn over_websocket_the_connection_s_token_gives_the_trust() {
    let world = World::new().await;
    world.stub.issue("t", "p", &["member"], 3_600);
    let mut socket = world.socket().await;
    assert_eq!(socket.authenticate("p", "t").await.0, 200);
    let body = json!({"queue_name": "q", "subscriber": "trust+http://a.example/", "ttl": 600});
    let (status, made) = socket.call("subscription_create", "p", &[], body.clone()).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(trusts(&world).len(), 1);
    let id = made["subscription_id"].clone();
    let named = json!({"queue_name": "q", "subscription_id": id});
    let (_, found) = socket.call("subscription_get", "p", &[], named).await;
    assert_eq!(found["options"], json!({"trust_id": "trust-0"}));
    world.stub.be(Mood::Status(500));
    let mut other = body;
    other["subscriber"] = json!("trust+http://b.example/");
    let (status, away) = socket.call("subscription_create", "p", &[], other).await;
    assert_eq!(status, 503, "{away}");
}
