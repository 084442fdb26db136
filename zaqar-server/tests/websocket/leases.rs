//! A connection's subscription is stored for a short while at a time, and kept alive.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use zaqar_core::{Subscription, SubscriptionId, Ttl, UpdateSubscription};
use zaqar_engine::EngineConfig;
use zaqar_server::websocket::WebSocketConfig;

use crate::client::{Client, soon};
use crate::world::{Store, World, key};

/// How long a subscription outlives its server.
const LEASE_S: u64 = 180;

/// A service that renews all the time.
async fn eager(store: Store) -> World {
    let mut config = WebSocketConfig::default();
    config.renewal_period = Duration::from_millis(10);
    World::with(store, config, EngineConfig::default()).await
}

async fn subscribe(client: &mut Client, ttl: u64) -> SubscriptionId {
    let body = json!({"queue_name": "q", "ttl": ttl, "options": {"a": [1]}});
    let made = client.call("subscription_create", body).await.expect(201);
    made["subscription_id"].as_str().unwrap().parse().unwrap()
}

/// The subscription as it is stored, once it is as wanted.
async fn stored_as(
    world: &World,
    id: SubscriptionId,
    wanted: impl Fn(&Subscription) -> bool,
) -> Subscription {
    soon(async {
        loop {
            let stored = world.engine.subscription_get(&key("q"), id).await.unwrap();
            if wanted(&stored) {
                return stored;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn shown(client: &mut Client, id: SubscriptionId) -> Value {
    let named = json!({"queue_name": "q", "subscription_id": id.to_string()});
    client.call("subscription_get", named).await.expect(200)
}

/// A client is shown the life and the options that were asked for.
async fn shows(client: &mut Client, id: SubscriptionId, ttl: u64, age: u64) {
    let shown = shown(client, id).await;
    assert_eq!((&shown["ttl"], &shown["age"]), (&json!(ttl), &json!(age)));
    assert_eq!(shown["options"], json!({"a": [1]}));
    let list = client.call("subscription_list", json!({"queue_name": "q"})).await.expect(200);
    assert_eq!(list["subscriptions"], json!([shown]));
}

#[tokio::test]
async fn it_lives_as_long_as_its_connection_wants_and_no_longer() {
    for store in [Store::Reference, Store::Sqlite] {
        let world = eager(store).await;
        let mut client = world.client().await;
        let begin = world.engine.clock().now();
        let id = subscribe(&mut client, 600).await;
        let end = begin.after(Ttl::from_secs_clamped(600));
        for age in [100, 200, 300, 400, 500] {
            world.advance_s(100);
            let lease = world.engine.clock().now().after(Ttl::from_secs_clamped(LEASE_S));
            stored_as(&world, id, |stored| stored.expires_at >= lease.min(end)).await;
            shows(&mut client, id, 600, age).await;
        }
        // A renewal that was under way while the time leapt may have added the leap.
        world.advance_s(200);
        let list = client.call("subscription_list", json!({"queue_name": "q"})).await.expect(200);
        assert_eq!(list["subscriptions"], json!([]));
    }
}

#[tokio::test]
async fn it_is_stored_for_a_short_while_and_a_short_life_whole() {
    let world = World::new().await;
    for (ttl, stored) in [(60, 60), (240, 240), (241, LEASE_S), (86_400, LEASE_S)] {
        let mut client = world.client().await;
        let id = subscribe(&mut client, ttl).await;
        let end = world.engine.clock().now().after(Ttl::from_secs_clamped(stored));
        let found = world.engine.subscription_get(&key("q"), id).await.unwrap();
        assert_eq!(found.expires_at, end, "{ttl}");
        shows(&mut client, id, ttl, 0).await;
        let named = json!({"queue_name": "q", "subscription_id": id.to_string()});
        client.call("subscription_delete", named).await.expect(204);
    }
}

#[tokio::test]
async fn a_connection_whose_subscription_lapsed_is_told_by_its_end() {
    let world = eager(Store::Reference).await;
    let mut client = world.client().await;
    subscribe(&mut client, 3_600).await;
    // As if the store had not answered for so long, or the server had stood still.
    world.advance_s(LEASE_S + 1);
    let said = client.read_to_close().await.unwrap();
    assert_eq!(said.code, CloseCode::Error);
}

#[tokio::test]
async fn one_that_was_removed_is_not_missed_and_a_new_one_is_kept_alive() {
    let world = eager(Store::Reference).await;
    let (mut client, mut other) = (world.client().await, world.client().await);
    for _ in 0..3 {
        let id = subscribe(&mut client, 3_600).await;
        world.advance_s(100);
        let lease = world.engine.clock().now().after(Ttl::from_secs_clamped(LEASE_S));
        stored_as(&world, id, |stored| stored.expires_at >= lease).await;
        let named = json!({"queue_name": "q", "subscription_id": id.to_string()});
        other.call("subscription_delete", named).await.expect(204);
    }
    other.call("queue_delete", json!({"queue_name": "q"})).await.expect(204);
    client.call("queue_list", json!({})).await.expect(200);
    subscribe(&mut client, 3_600).await;
}

#[tokio::test]
async fn another_life_that_it_is_given_is_kept_to() {
    let world = eager(Store::Sqlite).await;
    let mut client = world.client().await;
    let id = subscribe(&mut client, 3_600).await;
    for life in [7_200, 600] {
        let life_ttl = Ttl::from_secs_clamped(life);
        // A change that meets a renewal half-way may be lost, like one of two changes by clients.
        while shown(&mut client, id).await["ttl"] != life {
            let changes = UpdateSubscription::new().ttl(life_ttl);
            world.engine.subscription_update(&key("q"), id, changes).await.unwrap();
            let end = world.engine.clock().now().after(life_ttl);
            stored_as(&world, id, |stored| stored.expires_at < end).await;
        }
        assert_eq!(shown(&mut client, id).await["options"], json!({"a": [1]}));
    }
}

#[tokio::test]
async fn a_life_that_is_too_short_or_too_long_is_refused() {
    let world = World::new().await;
    let mut client = world.client().await;
    for ttl in [0, 59, i64::MAX] {
        let body = json!({"queue_name": "q", "ttl": ttl});
        assert_eq!(client.call("subscription_create", body).await.status, 400, "{ttl}");
    }
}
