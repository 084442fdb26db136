//! Queues over WebSocket.

use serde_json::{Value, json};
use zaqar_engine::EngineConfig;
use zaqar_server::websocket::WebSocketConfig;

use crate::client::{Client, Format, members};
use crate::world::{Store, World, everywhere};

#[tokio::test]
async fn a_queue_lives_from_its_creation_to_its_removal() {
    everywhere(async |_, client| {
        let queue = json!({"queue_name": "q"});
        let zero = json!({"messages": {"claimed": 0, "free": 0, "total": 0}});
        assert_eq!(client.call("queue_get_stats", queue.clone()).await.expect(404), zero);
        assert_eq!(client.call("queue_get", queue.clone()).await.expect(200), json!({}));

        let metadata = json!({"key": {"b": 2, "a": [1.5, null]}, "_default_message_ttl": 300});
        let create = json!({"queue_name": "q", "metadata": metadata});
        let created = client.call("queue_create", create.clone()).await;
        assert_eq!(created.expect(201), json!("Queue q created."));
        assert_eq!(
            client.call("queue_create", create).await.expect(204),
            json!("Queue q created.")
        );
        assert_eq!(client.call("queue_get", queue.clone()).await.expect(200), metadata);
        assert_eq!(client.call("queue_get_stats", queue.clone()).await.expect(200), zero);

        for _ in 0..2 {
            let removed = client.call("queue_delete", queue.clone()).await.expect(204);
            assert_eq!(removed, json!("Queue q removed."));
        }
        assert_eq!(client.call("queue_get_stats", queue).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn names_and_metadata_are_checked() {
    everywhere(async |_, client| {
        for name in ["", "Nice-Bo@t", "\u{fc}", "a b", &"x".repeat(65)] {
            let reply = client.call("queue_create", json!({"queue_name": name})).await;
            let text = "The format of the submitted queue name or project id is not valid.";
            assert_eq!(reply.error(), (400, text), "{name}");
        }
        client.queue(&"x".repeat(64)).await;
        let large = json!({"queue_name": "q", "metadata": {"key": "x".repeat(65_536)}});
        let text = "Queue metadata is too large. Max size: 65536";
        assert_eq!(client.call("queue_create", large).await.error(), (400, text));
        let reserved = json!({"queue_name": "q", "metadata": {"_default_message_ttl": "x"}});
        assert_eq!(client.call("queue_create", reserved).await.status, 400);
        assert_eq!(client.call("queue_get_stats", json!({"queue_name": "q"})).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn queues_are_listed_page_by_page_each_project_its_own() {
    everywhere(async |_, client| {
        assert_eq!(client.call("queue_list", json!({})).await.expect(200), json!({"queues": []}));
        for name in ["a", "b", "c"] {
            let body = json!({"queue_name": name, "metadata": {"of": name}});
            client.call("queue_create", body).await.expect(201);
        }
        client.project = "another".to_owned();
        client.queue("z").await;
        client.project = crate::client::PROJECT.to_owned();

        let first = client.call("queue_list", json!({"limit": 2})).await.expect(200);
        assert_eq!(first, json!({"queues": [{"name": "a"}, {"name": "b"}], "marker": "b"}));
        let next = json!({"limit": 2, "marker": "b", "detailed": true});
        let second = client.call("queue_list", next).await.expect(200);
        assert_eq!(second["queues"], json!([{"name": "c", "metadata": {"of": "c"}}]));
        let end = client.call("queue_list", json!({"marker": "c"})).await.expect(200);
        assert_eq!(end, json!({"queues": []}));
        let all = client.call("queue_list", json!({"marker": ""})).await.expect(200);
        assert_eq!(members(&all["queues"], "name"), ["a", "b", "c"]);
        let end = client.call("queue_list", json!({"marker": "zzz"})).await.expect(200);
        assert_eq!(end, json!({"queues": []}));

        for limit in [-1, 0, 21] {
            let text = "Limit must be at least 1 and no greater than 20.";
            let reply = client.call("queue_list", json!({"limit": limit})).await;
            assert_eq!(reply.error(), (400, text), "{limit}");
        }
    })
    .await;
}

#[tokio::test]
async fn statistics_name_the_oldest_and_the_newest_message() {
    everywhere(async |world, client| {
        let ids = client.post("q", &[json!(1), json!(2)]).await;
        world.advance_s(5);
        let stats = client.call("queue_get_stats", json!({"queue_name": "q"})).await.expect(200);
        let messages = &stats["messages"];
        assert_eq!((&messages["free"], &messages["total"]), (&json!(2), &json!(2)));
        for (edge, id) in [("oldest", &ids[0]), ("newest", &ids[1])] {
            let names: Vec<&String> = messages[edge].as_object().unwrap().keys().collect();
            assert_eq!(names, ["id", "age", "created"]);
            assert_eq!(messages[edge]["id"], json!(id));
            assert_eq!(messages[edge]["age"], 5);
        }
    })
    .await;
}

#[tokio::test]
async fn a_purge_removes_what_it_is_told_to() {
    everywhere(async |_, client| {
        let id = client.post("q", &[json!(1)]).await.remove(0);
        let get = json!({"queue_name": "q", "message_id": id});
        for types in [json!(["subscriptions"]), json!(["unknown"]), json!([])] {
            let body = json!({"queue_name": "q", "resource_types": types});
            assert_eq!(client.call("queue_purge", body).await.expect(204), json!({}));
            client.call("message_get", get.clone()).await.expect(200);
        }
        client.call("queue_purge", json!({"queue_name": "q"})).await.expect(204);
        client.call("message_get", get).await.expect(404);
        client.call("queue_purge", json!({"queue_name": "missing"})).await.expect(204);
    })
    .await;
}

#[tokio::test]
async fn a_store_that_fails_is_a_503_that_says_nothing_of_it() {
    let world =
        World::with(Store::Sqlite, WebSocketConfig::default(), EngineConfig::default()).await;
    let mut client = Client::open(world.address, Format::Json).await;
    world.engine.shutdown().await;
    let list = client.call("queue_list", json!({})).await;
    assert_eq!(list.status, 503, "{}", list.body);
    assert_eq!(list.body["error"], "Queues could not be listed.");
    let made = client.call("queue_create", json!({"queue_name": "q"})).await;
    assert_eq!((made.status, &made.body["stored"]), (503, &json!(false)), "{}", made.body);
    assert_eq!(made.body["error"], "Queue q could not be created.");
    for body in [&list.body, &made.body] {
        assert!(!body.to_string().to_lowercase().contains("sqlite"), "{body}");
    }
    assert_ne!(list.body["exception"], Value::Null);
}
