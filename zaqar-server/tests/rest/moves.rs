//! Moves of queues between pools, as an administrator's client begins and sees them.

use serde_json::{Value, json};

use crate::pools::{admin, pool, service};
use crate::support::{PROJECT, Service};

/// A service with two pools, and queues `a` to `c` in the first of them, a message in each.
async fn two_pools() -> Service {
    let service = service();
    pool(&service, "east").await;
    for queue in ["a", "b", "c"] {
        assert_eq!(service.call(&format!("PUT /v2/queues/{queue}"), "").await.status, 201);
        let body = json!({"messages": [{"body": queue}]}).to_string();
        let posted = service.call(&format!("POST /v2/queues/{queue}/messages"), body).await;
        assert_eq!(posted.status, 201, "{}", posted.text);
    }
    pool(&service, "west").await;
    service
}

async fn bodies(service: &Service, queue: &str) -> Value {
    let read = service.call(&format!("GET /v2/queues/{queue}/messages?echo=true"), "").await;
    let messages = read.json()["messages"].clone();
    messages.as_array().unwrap().iter().map(|message| message["body"].clone()).collect()
}

#[tokio::test]
async fn a_queue_is_moved_and_the_move_is_listed_until_it_has_ended() {
    let service = two_pools().await;
    let none = admin(&service, "GET /v2/moves", Value::Null).await;
    assert_eq!((none.status, none.json()), (200, json!({"links": [], "moves": []})));

    let wanted = json!({"queue": "a", "to": "west"});
    let shown = json!({
        "project": PROJECT, "queue": "a", "topic": false,
        "pool": "west", "from": "east", "left": 1,
    });
    for _ in 0..2 {
        let begun = admin(&service, "POST /v2/moves", wanted.clone()).await;
        assert_eq!((begun.status, begun.json()), (202, shown.clone()));
    }
    let listed = admin(&service, "GET /v2/moves", Value::Null).await;
    assert_eq!(listed.json()["moves"], json!([shown]));
    assert_eq!(bodies(&service, "a").await, json!(["a"]));

    service.carry_moves_on().await;
    let listed = admin(&service, "GET /v2/moves", Value::Null).await;
    assert_eq!(listed.json()["moves"], json!([]));
    assert_eq!(bodies(&service, "a").await, json!(["a"]));
    let there = admin(&service, "POST /v2/moves", wanted).await;
    assert_eq!(
        (there.status, &there.json()["from"], &there.json()["left"]),
        (202, &Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn a_pool_is_emptied_in_steps_and_gets_no_more_queues() {
    let service = two_pools().await;
    let wanted = json!({"from": "east", "limit": 2});
    let begun = admin(&service, "POST /v2/moves", wanted.clone()).await;
    assert_eq!((begun.status, begun.json()), (202, json!({"begun": 2, "more": true})));
    let page = admin(&service, "GET /v2/moves?limit=1", Value::Null).await.json();
    assert_eq!(page["moves"].as_array().map(Vec::len), Some(1));
    let next = page["links"][0]["href"].as_str().unwrap().to_owned();
    let page = admin(&service, &format!("GET {next}"), Value::Null).await.json();
    assert_eq!(page["moves"].as_array().map(Vec::len), Some(1));

    service.carry_moves_on().await;
    let begun = admin(&service, "POST /v2/moves", wanted.clone()).await;
    assert_eq!(begun.json(), json!({"begun": 1, "more": true}));
    service.carry_moves_on().await;
    let begun = admin(&service, "POST /v2/moves", wanted).await;
    assert_eq!(begun.json(), json!({"begun": 0, "more": false}));
    let east = admin(&service, "GET /v2/pools/east", Value::Null).await;
    assert_eq!(east.json()["weight"], 0);
    assert_eq!(admin(&service, "DELETE /v2/pools/east", Value::Null).await.status, 204);
    for queue in ["a", "b", "c"] {
        assert_eq!(bodies(&service, queue).await, json!([queue]));
    }
}

#[tokio::test]
async fn what_cannot_be_moved_is_refused_and_nothing_begins() {
    let service = two_pools().await;
    for (body, status, word) in [
        (json!({}), 400, "`queue`"),
        (json!({"queue": "a"}), 400, "`to`"),
        (json!({"queue": "a", "to": "west", "from": "east"}), 400, "`from`"),
        (json!({"queue": "a", "to": "west", "surplus": 1}), 400, "surplus"),
        (json!({"queue": 1, "to": "west"}), 400, "string"),
        (json!({"queue": "a b", "to": "west"}), 400, "queue"),
        (json!({"queue": "a", "to": "w st"}), 400, "to"),
        (json!({"from": "east", "limit": 0}), 400, "limit"),
        (json!({"from": "east", "limit": 1_000_000}), 400, "limit"),
        (json!({"queue": "a", "to": "none"}), 404, "none"),
        (json!({"queue": "none", "to": "west"}), 404, "none"),
        (json!({"queue": "a", "to": "west", "project": "another"}), 404, "Queue a"),
        (json!({"queue": "a", "to": "west", "topic": true}), 404, "Queue a"),
        (json!({"from": "none"}), 404, "none"),
    ] {
        let refused = admin(&service, "POST /v2/moves", body.clone()).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.text);
        assert!(refused.text.contains(word), "{body}: {}", refused.text);
    }
    // What is on its way to one pool is not sent to another.
    pool(&service, "north").await;
    let wanted = |to: &str| json!({"queue": "a", "to": to});
    assert_eq!(admin(&service, "POST /v2/moves", wanted("west")).await.status, 202);
    let refused = admin(&service, "POST /v2/moves", wanted("north")).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("being moved to pool west"), "{}", refused.text);
}
