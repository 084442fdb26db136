//! Subscriptions over WebSocket: of addresses, and of the connection itself.

use std::sync::{Arc, Mutex};

use serde_json::json;
use zaqar_core::SubscriptionId;
use zaqar_engine::EngineConfig;
use zaqar_server::rest::{ConfirmationKind, ConfirmationRequest, Confirmations};
use zaqar_server::signed_url::UrlSigner;
use zaqar_server::websocket::WebSocketConfig;

use crate::client::{Client, PROJECT, members};
use crate::world::{Store, World, everywhere, key};

#[tokio::test]
async fn an_address_is_subscribed_shown_listed_and_removed() {
    everywhere(async |world, client| {
        let hook = "http://example.org/hook";
        let create = json!({
            "queue_name": "q", "subscriber": hook, "ttl": 600, "options": {"a": [1]}
        });
        let made = client.call("subscription_create", create.clone()).await.expect(201);
        assert_eq!(made["message"], "Subscription q created.");
        let id = made["subscription_id"].clone();
        world.advance_s(7);
        let named = json!({"queue_name": "q", "subscription_id": id});
        let shown = client.call("subscription_get", named.clone()).await.expect(200);
        let expected = json!({
            "id": id, "source": "q", "subscriber": hook, "ttl": 600, "age": 7,
            "options": {"a": [1]}, "confirmed": false
        });
        assert_eq!(shown, expected);
        let list = client.call("subscription_list", json!({"queue_name": "q"})).await.expect(200);
        assert_eq!(list, json!({"subscriptions": [expected], "marker": id}));
        // Who has not confirmed may ask again.
        let again = client.call("subscription_create", create).await.expect(201);
        assert_eq!(again["subscription_id"], id);

        for _ in 0..2 {
            let removed = client.call("subscription_delete", named.clone()).await.expect(204);
            let id = id.as_str().unwrap();
            assert_eq!(removed, json!(format!("Subscription {id} removed.")));
        }
        let missing = client.call("subscription_get", named).await;
        let text = format!("Subscription {} for queue q does not exist.", id.as_str().unwrap());
        assert_eq!((missing.status, &missing.body["error"]), (404, &json!(text)));
        let none = json!({"queue_name": "q", "subscription_id": "none"});
        assert_eq!(client.call("subscription_get", none).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn subscriptions_are_checked_and_paged() {
    everywhere(async |_, client| {
        let url = "http://example.org/";
        for (fields, status) in [
            (json!({"subscriber": "ftp://x"}), 400),
            (json!({"subscriber": "nonsense"}), 400),
            (json!({"subscriber": url, "ttl": 59}), 400),
            (json!({"subscriber": url, "ttl": -1}), 400),
            (json!({"subscriber": url, "ttl": "600"}), 400),
            (json!({"subscriber": url, "options": []}), 400),
            (json!({"subscriber": url, "options": {"_retry_policy": 5}}), 400),
            (json!({"ttl": 59}), 400),
        ] {
            let mut body = fields.clone();
            body["queue_name"] = json!("q");
            let reply = client.call("subscription_create", body).await;
            assert_eq!(reply.status, status, "{fields}: {}", reply.body);
        }
        for n in 0..3 {
            let body = json!({"queue_name": "q", "subscriber": format!("{url}{n}")});
            client.call("subscription_create", body).await.expect(201);
        }
        let body = json!({"queue_name": "q", "limit": 2});
        let first = client.call("subscription_list", body).await.expect(200);
        let body = json!({"queue_name": "q", "limit": 2, "marker": first["marker"]});
        let second = client.call("subscription_list", body).await.expect(200);
        let mut seen = members(&first["subscriptions"], "subscriber");
        seen.extend(members(&second["subscriptions"], "subscriber"));
        seen.sort_by_key(ToString::to_string);
        assert_eq!(seen, [0, 1, 2].map(|n| json!(format!("{url}{n}"))));
        let body = json!({"queue_name": "q", "limit": 21});
        assert_eq!(client.call("subscription_list", body).await.status, 400);
    })
    .await;
}

#[tokio::test]
async fn a_connection_subscribes_itself_once_to_a_queue() {
    everywhere(async |world, client| {
        let subscribe = json!({"queue_name": "q", "ttl": 600});
        let made = client.call("subscription_create", subscribe.clone()).await.expect(201);
        let named = json!({"queue_name": "q", "subscription_id": made["subscription_id"]});
        let shown = client.call("subscription_get", named).await.expect(200);
        let start = format!("http://{}/", world.address);
        let subscriber = shown["subscriber"].as_str().unwrap();
        let id = subscriber.strip_prefix(&start).unwrap();
        assert!(uuid::Uuid::parse_str(id).is_ok(), "{subscriber}");

        let again = client.call("subscription_create", subscribe).await;
        assert_eq!(
            (again.status, &again.body["error"]),
            (409, &json!("Subscription q not created."))
        );
        let other = json!({"queue_name": "other", "subscriber": ""});
        client.call("subscription_create", other).await.expect(201);

        let stored = world.engine.subscription_find(&key("q"), subscriber).await.unwrap().unwrap();
        assert_eq!(stored.owner.as_deref(), Some(world.sockets.owner()));
        assert!(stored.is_active());
    })
    .await;
}

/// How many subscriptions a queue has.
async fn count(world: &World, queue: &str) -> usize {
    let limit = zaqar_core::PageLimit::default();
    world.engine.subscription_list(&key(queue), None, limit).await.unwrap().items.len()
}

async fn until_none(world: &World, queue: &str) {
    while count(world, queue).await > 0 {
        tokio::task::yield_now().await;
    }
}

async fn subscribed(world: &World, queues: &[&str]) -> Client {
    let mut client = world.client().await;
    for queue in queues {
        let body = json!({"queue_name": queue});
        client.call("subscription_create", body).await.expect(201);
    }
    client
}

#[tokio::test]
async fn subscriptions_of_a_connection_end_with_it_and_others_stay() {
    let world = World::new().await;
    let mut client = subscribed(&world, &["a", "b"]).await;
    let hook = json!({"queue_name": "a", "subscriber": "http://example.org/"});
    client.call("subscription_create", hook).await.expect(201);
    let _other = subscribed(&world, &["b"]).await;
    assert_eq!((count(&world, "a").await, count(&world, "b").await), (2, 2));
    client.close().await;
    while count(&world, "a").await > 1 || count(&world, "b").await > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!((count(&world, "a").await, count(&world, "b").await), (1, 1));
}

#[tokio::test]
async fn a_connection_that_breaks_off_leaves_no_subscription() {
    let world = World::new().await;
    drop(subscribed(&world, &["q"]).await);
    until_none(&world, "q").await;
}

#[tokio::test]
async fn a_server_that_stops_ends_the_subscriptions_of_its_connections() {
    let world = World::new().await;
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(subscribed(&world, &["q"]).await);
    }
    assert_eq!(count(&world, "q").await, 5);
    assert!(world.sockets.shut_down(std::time::Duration::from_secs(120)).await);
    assert_eq!(count(&world, "q").await, 0);
    for mut client in clients {
        let said = client.read_to_close().await.unwrap();
        assert_eq!(u16::from(said.code), 1001);
    }
}

/// Keeps what subscribers are to be told.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<ConfirmationRequest>>);

impl Confirmations for Asked {
    fn send(&self, request: ConfirmationRequest) {
        self.0.lock().unwrap().push(request);
    }
}

#[tokio::test]
async fn an_address_is_asked_to_confirm_and_the_connection_itself_is_not() {
    let mut config = WebSocketConfig::default();
    config.url_signer = UrlSigner::new(["secret"]);
    let mut engine = EngineConfig::default();
    engine.subscribers.require_confirmation = true;
    let world = World::with(Store::Reference, config, engine).await;
    let asked = Arc::new(Asked::default());
    world.sockets.confirm_by(Arc::<Asked>::clone(&asked));
    let mut client = world.client().await;

    let own = client.call("subscription_create", json!({"queue_name": "q"})).await.expect(201);
    assert!(asked.0.lock().unwrap().is_empty());
    let own = own["subscription_id"].as_str().unwrap().parse().unwrap();
    assert!(world.engine.subscription_get(&key("q"), own).await.unwrap().is_active());

    let hook = json!({"queue_name": "q", "subscriber": "http://a.example/", "ttl": 600});
    let made = client.call("subscription_create", hook.clone()).await.expect(201);
    let id: SubscriptionId = made["subscription_id"].as_str().unwrap().parse().unwrap();
    // Who has not confirmed and asks again is asked again.
    client.call("subscription_create", hook.clone()).await.expect(201);
    let requests = std::mem::take(&mut *asked.0.lock().unwrap());
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.kind, ConfirmationKind::Subscribe);
        assert_eq!((request.subscription.id, &request.queue), (id, &key("q")));
        assert_eq!(
            (request.grant.project(), request.grant.methods()),
            (PROJECT, &["PUT".into()][..])
        );
        let path = format!("/v2/queues/q/subscriptions/{id}/confirm");
        assert_eq!(request.grant.paths(), [path]);
        assert!(!request.signature.is_empty());
    }
    world.engine.subscription_confirm(&key("q"), id, true).await.unwrap();
    client.call("subscription_create", hook).await.expect(409);
    assert!(asked.0.lock().unwrap().is_empty());
}
