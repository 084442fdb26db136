//! Notifications pushed to connections, through the channel that the notifier uses.

use serde_json::{Value, json};
use zaqar_core::{Body, OutboxMessage, Timestamp, Ttl};
use zaqar_notify::{Notification, Verdict};

use crate::client::{Client, Format, soon};
use crate::world::{World, key};

/// Subscribes a connection and returns its subscription as the notifier gets it.
async fn subscribe(world: &World, client: &mut Client, queue: &str) -> Notification {
    let made = client.call("subscription_create", json!({"queue_name": queue})).await.expect(201);
    let id = made["subscription_id"].as_str().unwrap().parse().unwrap();
    let subscription = world.engine.subscription_get(&key(queue), id).await.unwrap();
    let message = OutboxMessage {
        id: "000000000100000000000001".parse().unwrap(),
        body: Body::from_json("1").unwrap(),
        ttl: Ttl::from_secs(60).unwrap(),
        delay: Ttl::ZERO,
        posted_at: Timestamp::from_millis(0),
        attempts: 0,
    };
    Notification { queue: key(queue), subscription, message }
}

/// The same for another message.
fn saying(notification: &Notification, number: u32, body: &Value) -> Notification {
    let mut notification = notification.clone();
    notification.message.id = format!("0000000001{number:014x}").parse().unwrap();
    notification.message.body = Body::from_json(body.to_string()).unwrap();
    notification
}

#[tokio::test]
async fn a_notification_is_a_map_without_envelope() {
    for format in [Format::Json, Format::MessagePack] {
        let world = World::new().await;
        let mut client = Client::open(world.address, format).await;
        let template = subscribe(&world, &mut client, "q").await;
        let channel = world.sockets.channel();
        for (number, body) in [json!({"a": [1, "ü"]}), json!(2)].into_iter().enumerate() {
            let notification = saying(&template, u32::try_from(number).unwrap(), &body);
            assert_eq!(soon(channel.deliver(&notification)).await, Verdict::Delivered);
            let (pushed_in, pushed) = client.receive().await;
            assert_eq!(pushed_in, format);
            assert_eq!(
                pushed,
                json!({
                    "ttl": 60, "body": body, "Message_Type": "Notification", "queue_name": "q",
                    "message_id": notification.message.id.to_string(),
                    "subscription_id": notification.subscription.id.to_string(), "attempt": 1
                })
            );
        }
    }
}

#[tokio::test]
async fn the_last_subscription_that_was_made_sets_the_encoding_for_all() {
    let world = World::new().await;
    let mut client = Client::open(world.address, Format::MessagePack).await;
    let first = subscribe(&world, &mut client, "a").await;
    let channel = world.sockets.channel();
    client.format = Format::Json;
    client.call("queue_list", json!({})).await.expect(200);
    // A subscription that was not made sets nothing.
    client.call("subscription_create", json!({"queue_name": "a"})).await.expect(409);
    assert_eq!(soon(channel.deliver(&first)).await, Verdict::Delivered);
    assert_eq!(client.receive().await.0, Format::MessagePack);
    let second = subscribe(&world, &mut client, "b").await;
    for notification in [first, second] {
        assert_eq!(soon(channel.deliver(&notification)).await, Verdict::Delivered);
        assert_eq!(client.receive().await.0, Format::Json);
    }
}

#[tokio::test]
async fn whoever_has_gone_is_gone() {
    let world = World::new().await;
    let mut client = world.client().await;
    let notification = subscribe(&world, &mut client, "q").await;
    client.close().await;
    let channel = world.sockets.channel();
    while soon(channel.deliver(&notification)).await != Verdict::Gone {
        tokio::task::yield_now().await;
    }
    let mut stranger = notification;
    stranger.subscription.subscriber = "http://example.org/hook".to_owned();
    assert_eq!(channel.deliver(&stranger).await, Verdict::Gone);
}

#[tokio::test]
async fn who_does_not_read_holds_up_nobody_and_gets_everything_in_the_end() {
    let world = World::new().await;
    let mut slow = world.client().await;
    let mut quick = world.client().await;
    let to_slow = subscribe(&world, &mut slow, "q").await;
    let to_quick = subscribe(&world, &mut quick, "q").await;
    let channel = world.sockets.channel();

    // As the notifier does: each message is offered until it is taken; what is not stays outside.
    let body = json!("x".repeat(200_000));
    let mut taken = 0;
    while soon(channel.deliver(&saying(&to_slow, taken, &body))).await == Verdict::Delivered {
        taken += 1;
    }
    for number in 0..20 {
        let notification = saying(&to_quick, number, &json!(number));
        assert_eq!(soon(channel.deliver(&notification)).await, Verdict::Delivered);
        assert_eq!(quick.receive().await.1["body"], number);
    }

    let total = taken + 10;
    let offering = tokio::spawn(async move {
        for number in taken..total {
            let notification = saying(&to_slow, number, &body);
            while channel.deliver(&notification).await == Verdict::Busy {
                tokio::task::yield_now().await;
            }
        }
    });
    for number in 0..total {
        let id = format!("0000000001{number:014x}");
        assert_eq!(slow.receive().await.1["message_id"], json!(id));
    }
    soon(offering).await.unwrap();
    slow.call("queue_list", json!({})).await.expect(200);
}

#[tokio::test]
async fn a_request_is_answered_between_two_notifications() {
    let world = World::new().await;
    let mut client = world.client().await;
    let template = subscribe(&world, &mut client, "q").await;
    let channel = world.sockets.channel();
    let pushing = tokio::spawn(async move {
        for number in 0..50 {
            let notification = saying(&template, number, &json!(number));
            assert_eq!(channel.deliver(&notification).await, Verdict::Delivered);
        }
    });
    let headers = json!({"Client-ID": crate::client::CLIENT, "X-Project-ID": "p"});
    for _ in 0..10 {
        client.send("queue_list", json!({}), headers.clone()).await;
    }
    let (mut pushed, mut answered) = (Vec::new(), 0);
    while pushed.len() < 50 || answered < 10 {
        let (_, value) = client.receive().await;
        match value.get("Message_Type") {
            Some(_) => pushed.push(value["body"].clone()),
            None => answered += 1,
        }
    }
    assert_eq!(pushed, (0..50).map(|n| json!(n)).collect::<Vec<_>>());
    soon(pushing).await.unwrap();
}
