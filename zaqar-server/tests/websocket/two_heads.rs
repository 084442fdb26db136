//! Two servers on one store behave as one.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{Body, Clock, ManualClock};
use zaqar_engine::{Engine, EngineConfig, PostMessage, PostRequest, Stores};
use zaqar_testbed::Service;

use crate::client::{Client, Format, members, strings};
use crate::heads::{Head, Rest, Way, fresh_queue};
use crate::stores::Store;
use crate::world::key;

const BODIES: i64 = 5;

fn posts(queue: &str) -> String {
    format!("/v2/queues/{queue}/messages")
}

async fn subscribe(client: &mut Client, queue: &str) {
    let body = json!({"queue_name": queue, "ttl": 3_600});
    client.call("subscription_create", body).await.expect(201);
}

/// What is posted through `there` is pushed to a client that subscribes through `here`.
async fn pushed(here: &Head, there: &mut Rest) {
    for way in [Way::OwnPort, Way::ApiPort] {
        for format in [Format::Json, Format::MessagePack] {
            let queue = fresh_queue();
            let mut client = here.socket(way, format).await;
            subscribe(&mut client, &queue).await;
            there.post(&queue, (0..BODIES).map(|n| json!({"n": n, "text": "grüße"}))).await;
            for n in 0..BODIES {
                let (encoded, pushed) = client.receive().await;
                assert_eq!(encoded, format, "{way:?}");
                assert_eq!(pushed["body"], json!({"n": n, "text": "grüße"}), "{way:?} {format:?}");
                assert_eq!(pushed["queue_name"], json!(queue));
            }
            client.close().await;
        }
    }
}

/// What is claimed through `here` is held for `there`, until it is given back through `here`.
async fn claimed(here: &Head, there: &mut Rest) {
    let queue = fresh_queue();
    let path = posts(&queue);
    there.post(&queue, [json!("a"), json!("b")]).await;
    let mut client = here.socket(Way::OwnPort, Format::Json).await;
    let create = json!({"queue_name": queue, "ttl": 600, "grace": 600, "limit": 2});
    let claim = client.call("claim_create", create).await.expect(201);
    let ids = strings(&json!(members(&claim["messages"], "id")));
    assert_eq!(ids.len(), 2);

    let claims = format!("/v2/queues/{queue}/claims");
    let terms = json!({"ttl": 600, "grace": 600});
    assert_eq!(there.call(Method::POST, &claims, &terms).await.0, StatusCode::NO_CONTENT);
    let (_, listed) = there.get(&format!("{path}?echo=true")).await;
    assert_eq!(listed["messages"], json!([]));
    for id in &ids {
        let (status, ..) = there.call(Method::DELETE, &format!("{path}/{id}"), &Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    // Who knows the claim may use it through either.
    let held = format!("{path}/{}?claim_id={}", ids[0], claim["claim_id"].as_str().unwrap());
    assert_eq!(there.call(Method::DELETE, &held, &Value::Null).await.0, StatusCode::NO_CONTENT);
    let free = json!({"queue_name": queue, "claim_id": claim["claim_id"]});
    client.call("claim_delete", free).await.expect(204);
    let (status, again, location) = there.call(Method::POST, &claims, &terms).await;
    assert_eq!(status, StatusCode::CREATED, "{again}");
    assert_eq!(members(&again["messages"], "body"), [json!("b")]);
    let (status, shown) = there.get(&location.unwrap()).await;
    assert_eq!((status, members(&shown["messages"], "body")), (StatusCode::OK, vec![json!("b")]));
    client.close().await;
}

/// Whether a server lists that queue.
async fn is_listed(head: &mut Rest, queue: &str) -> bool {
    // Listing goes on after the marker, which here is the start of the name.
    let marker = &queue[..queue.len() - 1];
    let (_, list) = head.get(&format!("/v2/queues?limit=1&marker={marker}")).await;
    members(&list["queues"], "name") == [json!(queue)]
}

/// A queue deleted through `here` is gone for `there` from then on, which had just used it.
async fn deleted(here: &Head, there: &mut Rest, socket: &mut Client) {
    let queue = fresh_queue();
    let (named, path) = (json!({"queue_name": queue}), posts(&queue));
    let mut client = here.socket(Way::ApiPort, Format::Json).await;
    let with = json!({"queue_name": queue, "metadata": {"is": "first"}});
    client.call("queue_create", with).await.expect(201);
    there.post(&queue, [json!("old")]).await;
    assert_eq!(socket.call("queue_get", named.clone()).await.expect(200)["is"], "first");
    socket.call("queue_get_stats", named.clone()).await.expect(200);
    assert!(is_listed(there, &queue).await);

    client.call("queue_delete", named.clone()).await.expect(204);
    assert_eq!(socket.call("queue_get", named.clone()).await.expect(200), json!({}));
    let echo = json!({"queue_name": queue, "echo": true});
    assert_eq!(socket.call("message_list", echo).await.expect(200)["messages"], json!([]));
    socket.call("claim_create", json!({"queue_name": queue})).await.expect(204);
    assert_eq!(there.get(&format!("{path}?echo=true")).await.1["messages"], json!([]));
    assert!(!is_listed(there, &queue).await);
    // A count that was just made may be shown again for a moment.
    while socket.call("queue_get_stats", named.clone()).await.status != 404 {
        tokio::task::yield_now().await;
    }

    // Nor does it come back with another queue of its name, whoever makes that.
    client.call("queue_create", named.clone()).await.expect(201);
    there.post(&queue, [json!("new")]).await;
    let (_, listed) = there.get(&format!("{path}?echo=true")).await;
    assert_eq!(members(&listed["messages"], "body"), [json!("new")]);
    assert_eq!(socket.call("queue_get", named.clone()).await.expect(200)["is"], Value::Null);
    client.call("queue_delete", named).await.expect(204);
    client.close().await;
}

/// Runs a test with two servers on one store, if there is one.
async fn together(store: Store, test: impl AsyncFn(&Head, &Head)) {
    let folder = tempfile::tempdir().unwrap();
    let Some(uri) = store.uri(&folder) else { return };
    let (here, there) = (Head::start(&uri).await, Head::start(&uri).await);
    test(&here, &there).await;
    here.stop().await;
    there.stop().await;
}

macro_rules! two_heads {
    ($($(#[$condition:meta])* $name:ident: $store:expr;)*) => {$(
        $(#[$condition])*
        mod $name {
            use super::*;

            #[tokio::test]
            async fn what_is_posted_through_one_is_pushed_to_a_client_of_the_other() {
                together($store, async |here, there| {
                    pushed(here, &mut there.rest().await).await;
                })
                .await;
            }

            #[tokio::test]
            async fn a_claim_through_one_is_honoured_by_the_other() {
                together($store, async |here, there| {
                    claimed(here, &mut there.rest().await).await;
                })
                .await;
            }

            #[tokio::test]
            async fn a_queue_deleted_through_one_is_shown_by_the_other_no_more() {
                together($store, async |here, there| {
                    let mut socket = there.socket(Way::OwnPort, Format::MessagePack).await;
                    deleted(here, &mut there.rest().await, &mut socket).await;
                    socket.close().await;
                })
                .await;
            }
        }
    )*};
}

two_heads! {
    #[cfg(feature = "sqlite")]
    sqlite: Store::File;
    #[cfg(feature = "postgres")]
    postgres: Store::Shared(Service::Postgres);
    #[cfg(feature = "mysql")]
    mysql: Store::Shared(Service::Mysql);
    #[cfg(feature = "redis")]
    redis: Store::Shared(Service::Redis);
    #[cfg(feature = "redis")]
    redis_cluster: Store::Shared(Service::RedisCluster);
    #[cfg(feature = "mongo")]
    mongo: Store::Shared(Service::Mongo);
}

#[tokio::test]
async fn what_is_posted_over_rest_is_pushed_by_the_same_server_on_both_of_its_ports() {
    let folder = tempfile::tempdir().unwrap();
    let head = Head::start(&Store::File.uri(&folder).unwrap()).await;
    pushed(&head, &mut head.rest().await).await;
    head.stop().await;
}

#[tokio::test]
async fn a_count_shows_a_deleted_queue_for_a_second_at_most() {
    let (store, clock) = (ReferenceStore::new(), Arc::new(ManualClock::default()));
    let engine = || {
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        let control = Arc::new(store.control(Arc::clone(&time)));
        let stores = Stores::new(control, Arc::new(store.data(Arc::clone(&time))));
        Engine::new(stores, time, EngineConfig::default())
    };
    let (here, there) = (engine(), engine());
    let message = PostMessage::new(Body::from_json("1").unwrap());
    here.message_post(&key("q"), PostRequest::new(vec![message])).await.unwrap();
    assert_eq!(there.queue_stats(&key("q")).await.unwrap().free, 1);
    here.queue_delete(&key("q")).await.unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(there.queue_stats(&key("q")).await.unwrap().free, 0);
}
