//! Messages over WebSocket: posting, reading, removing.

use serde_json::{Value, json};
use zaqar_engine::EngineConfig;
use zaqar_server::websocket::WebSocketConfig;

use crate::client::{OTHER_CLIENT, members, strings};
use crate::world::{Store, World, everywhere};

fn in_queue(fields: Value) -> Value {
    let mut body = fields;
    body["queue_name"] = json!("q");
    body
}

#[tokio::test]
async fn a_message_is_shown_with_five_members() {
    everywhere(async |world, client| {
        let body = json!({"queue_name": "q", "messages": [{"body": {"a": [1, null]}}]});
        let made = client.call("message_post", body).await.expect(201);
        let ids = strings(&made["message_ids"]);
        assert_eq!(ids.len(), 1);
        world.advance_s(3);
        let shown = json!({
            "id": ids[0], "claim_id": null, "ttl": 3600, "age": 3, "body": {"a": [1, null]}
        });
        let get = in_queue(json!({"message_id": ids[0]}));
        assert_eq!(client.call("message_get", get).await.expect(200), json!({"messages": shown}));
        let many = in_queue(json!({"message_ids": [ids[0], "none", "0"]}));
        let found = client.call("message_get_many", many).await.expect(200);
        assert_eq!(found, json!({"messages": [shown]}));
        let list = client.call("message_list", in_queue(json!({"echo": true}))).await.expect(200);
        assert_eq!(list["messages"], json!([shown]));
    })
    .await;
}

#[tokio::test]
async fn what_is_not_there_is_404_or_left_out() {
    everywhere(async |_, client| {
        let id = client.post("q", &[json!(1)]).await.remove(0);
        for wrong in ["none", "000000000000000000000000"] {
            let get = in_queue(json!({"message_id": wrong}));
            assert_eq!(client.call("message_get", get).await.status, 404, "{wrong}");
        }
        let none = in_queue(json!({"message_ids": ["none"]}));
        let found = client.call("message_get_many", none).await.expect(200);
        assert_eq!(found, json!({"messages": []}));
        client.project = "another".to_owned();
        let get = in_queue(json!({"message_id": id}));
        assert_eq!(client.call("message_get", get).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn posts_are_checked() {
    everywhere(async |_, client| {
        let ttl = "The TTL for a message may not exceed 1209600 seconds, and must be at least 60 \
                   seconds long.";
        let size = "Message collection size is too large. Max size 262144";
        let rows = [
            (json!([]), "No messages to enqueu."),
            (json!([{"ttl": 60}]), "Bad request. Missing \"body\" field."),
            (
                json!([{"body": 1, "ttl": "60"}]),
                "Bad request. The value of the \"ttl\" field must be a int.",
            ),
            (
                json!([{"body": 1, "delay": null}]),
                "Bad request. The value of the \"delay\" field must be a int.",
            ),
            (json!([5]), "Bad request. Document type not supported."),
            (json!([{"body": 1, "ttl": -1}]), ttl),
            (json!([{"body": 1, "ttl": 59}]), ttl),
            (json!([{"body": 1, "ttl": 1_209_601}]), ttl),
            (json!([{"body": "x".repeat(262_144)}]), size),
        ];
        for (messages, text) in rows {
            let reply = client.call("message_post", in_queue(json!({"messages": messages}))).await;
            assert_eq!(reply.error(), (400, text));
        }
        let reply = client.call("message_post", in_queue(json!({"messages": {"body": 1}}))).await;
        assert_eq!(reply.error(), (400, "Schema validation failed."));
        // What was refused has made no queue.
        client.call("queue_get_stats", json!({"queue_name": "q"})).await.expect(404);
    })
    .await;
}

#[tokio::test]
async fn client_ids_are_checked_where_they_matter() {
    everywhere(async |_, client| {
        for id in ["", "0xdeadbeef", "3381af92-2b9e-11e3-b191-7186130073"] {
            client.id = id.to_owned();
            let post = in_queue(json!({"messages": [{"body": 1}]}));
            let text = "Malformed hexadecimal UUID.";
            assert_eq!(client.call("message_post", post).await.error(), (400, text), "{id}");
            let reply = client.call("message_list", in_queue(json!({}))).await;
            assert_eq!(reply.error(), (400, text), "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_delay_is_honoured() {
    everywhere(async |world, client| {
        let messages = json!([{"body": "late", "delay": 30}, {"body": "now"}]);
        client.call("message_post", in_queue(json!({"messages": messages}))).await.expect(201);
        let list = |fields| in_queue(fields);
        let echo = json!({"echo": true});
        let seen = client.call("message_list", list(echo.clone())).await.expect(200);
        assert_eq!(members(&seen["messages"], "body"), ["now"]);
        let all = json!({"echo": true, "include_delayed": true});
        let seen = client.call("message_list", list(all)).await.expect(200);
        assert_eq!(members(&seen["messages"], "body"), ["late", "now"]);
        world.advance_s(30);
        let seen = client.call("message_list", list(echo)).await.expect(200);
        assert_eq!(members(&seen["messages"], "body"), ["late", "now"]);
    })
    .await;
}

#[tokio::test]
async fn messages_are_listed_page_by_page() {
    everywhere(async |_, client| {
        let bodies: Vec<Value> = (0..7).map(|n| json!(n)).collect();
        client.post("q", &bodies).await;
        let mut seen = Vec::new();
        let mut marker = Value::Null;
        loop {
            let mut body = in_queue(json!({"limit": 3, "echo": true}));
            if !marker.is_null() {
                body["marker"] = marker;
            }
            let page = client.call("message_list", body).await.expect(200);
            seen.extend(members(&page["messages"], "body"));
            marker = page["marker"].clone();
            if marker.is_null() {
                break;
            }
        }
        assert_eq!(seen, bodies);
        let end = in_queue(json!({"marker": "nonsense", "echo": true}));
        assert_eq!(client.call("message_list", end).await.expect(200), json!({"messages": []}));
        let missing = client.call("message_list", json!({"queue_name": "none"})).await.expect(200);
        assert_eq!(missing, json!({"messages": []}));
        for limit in [-1, 0, 21] {
            let reply = client.call("message_list", in_queue(json!({"limit": limit}))).await;
            let text = "Limit must be at least 1 and may not be greater than 20.";
            assert_eq!(reply.error(), (400, text), "{limit}");
        }
        for count in [0, 21] {
            let ids = vec!["x"; count];
            let reply =
                client.call("message_get_many", in_queue(json!({"message_ids": ids}))).await;
            assert_eq!(reply.status, 400, "{count}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_client_does_not_see_its_own_messages_unless_it_wants_to() {
    everywhere(async |_, client| {
        client.post("q", &[json!("mine")]).await;
        let list = client.call("message_list", in_queue(json!({}))).await.expect(200);
        assert_eq!(list, json!({"messages": []}));
        client.id = OTHER_CLIENT.to_owned();
        let list = client.call("message_list", in_queue(json!({}))).await.expect(200);
        assert_eq!(members(&list["messages"], "body"), ["mine"]);
    })
    .await;
}

#[tokio::test]
async fn messages_are_removed_once_and_again() {
    everywhere(async |_, client| {
        let ids = client.post("q", &[json!(1), json!(2), json!(3)]).await;
        let one = in_queue(json!({"message_id": ids[0]}));
        let rest = in_queue(json!({"message_ids": [ids[1], ids[2]]}));
        for _ in 0..2 {
            assert_eq!(client.call("message_delete", one.clone()).await.expect(204), json!({}));
            let many = client.call("message_delete_many", rest.clone()).await;
            assert_eq!(many.expect(204), json!({}));
        }
        let stats = client.call("queue_get_stats", json!({"queue_name": "q"})).await.expect(200);
        assert_eq!(stats["messages"]["total"], 0);
        client.call("queue_delete", json!({"queue_name": "q"})).await.expect(204);
        client.call("message_delete", one).await.expect(204);
        client.call("message_delete_many", rest).await.expect(204);
        client.call("message_delete", in_queue(json!({"message_id": "none"}))).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_pop_takes_the_oldest() {
    everywhere(async |_, client| {
        let bodies: Vec<Value> = (0..5).map(|n| json!(n)).collect();
        client.post("q", &bodies).await;
        let popped =
            client.call("message_delete_many", in_queue(json!({"pop": 2}))).await.expect(200);
        assert_eq!(members(&popped["messages"], "body"), [json!(0), json!(1)]);
        let names: Vec<&String> = popped["messages"][0].as_object().unwrap().keys().collect();
        assert_eq!(names, ["id", "age", "ttl", "claim_count", "body", "claim_id"]);
        for fields in [
            json!({}),
            json!({"pop": 1, "message_ids": ["x"]}),
            json!({"pop": 0}),
            json!({"pop": 21}),
            json!({"message_ids": []}),
        ] {
            let reply = client.call("message_delete_many", in_queue(fields.clone())).await;
            assert_eq!(reply.status, 400, "{fields}");
        }
    })
    .await;
}

#[tokio::test]
async fn claims_must_be_named_where_the_operator_says_so() {
    let mut config = WebSocketConfig::default();
    config.message_delete_with_claim_id = true;
    let world = World::with(Store::Sqlite, config, EngineConfig::default()).await;
    let mut client = world.client().await;
    let id = client.post("q", &[json!(1)]).await.remove(0);
    let claim = client.call("claim_create", in_queue(json!({}))).await.expect(201);
    for claims in [None, Some(json!([])), Some(json!(["none"]))] {
        let mut body = in_queue(json!({"message_ids": [id]}));
        if let Some(claims) = claims {
            body["claim_ids"] = claims;
        }
        assert_eq!(client.call("message_delete_many", body).await.status, 400);
    }
    let body = in_queue(json!({"message_ids": [id], "claim_ids": [claim["claim_id"]]}));
    client.call("message_delete_many", body).await.expect(204);
}

#[tokio::test]
async fn a_post_that_is_repeated_under_its_key_is_stored_once() {
    everywhere(async |_, client| {
        let post = |key: Value, body: u64| {
            in_queue(json!({"messages": [{"body": body}], "idempotency_key": key}))
        };
        let first = client.call("message_post", post(json!("k"), 1)).await.expect(201);
        let again = client.call("message_post", post(json!("k"), 1)).await.expect(201);
        assert_eq!(again, first);
        let conflict = client.call("message_post", post(json!("k"), 2)).await;
        let text = "the idempotency key was used for other messages";
        assert_eq!(conflict.error(), (409, text));
        for bad in ["", "a b", "\u{e9}", "x".repeat(256).as_str()] {
            let text = "The \"idempotency_key\" field must have 1 to 255 visible ASCII characters, \
                        without spaces.";
            let refused = client.call("message_post", post(json!(bad), 3)).await;
            assert_eq!(refused.error(), (400, text), "{bad:?}");
        }
        let refused = client.call("message_post", post(json!(5), 4)).await;
        assert_eq!(refused.error(), (400, "Schema validation failed."));
        let listed = client.call("message_list", in_queue(json!({"echo": true}))).await;
        let listed = listed.expect(200);
        assert_eq!(members(&listed["messages"], "id"), strings(&first["message_ids"]));
    })
    .await;
}
