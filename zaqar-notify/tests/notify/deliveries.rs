//! What goes well.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zaqar_notify::webhook::WebhookSigner;

use crate::receiver::{Answer, Receiver};
use crate::world::{World, until};

#[tokio::test]
async fn messages_arrive_once_in_order_with_all_that_a_receiver_needs() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    let subscription = world.subscribe(&receiver.url(), json!({})).await;
    let ids = world.post(0..40).await;
    let notifier = world.notifier();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    let expected: Vec<Value> = (0..40).map(Value::from).collect();
    assert_eq!(receiver.bodies(), expected);
    let first = &receiver.received()[0];
    assert_eq!(first.path, "/hook");
    assert_eq!(first.headers["content-type"], "application/json");
    assert_eq!(first.id(), format!("msg_{}_{}", ids[0], subscription.id));
    assert_eq!(first.headers["webhook-timestamp"], "2000000000");
    assert!(first.headers["webhook-signature"].starts_with("v1,"));
    let body = first.json();
    assert_eq!(body["Message_Type"], "Notification");
    assert_eq!(body["queue_name"], "q");
    assert_eq!(body["message_id"], ids[0].to_string());
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    world.subscribe(&receiver.url(), json!({})).await;
    world.post(0..1).await;
    let webhook = world.webhook(|config| config.signer = WebhookSigner::default());
    let notifier = world.builder().channel("http", webhook).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert!(!receiver.received()[0].headers.contains_key("webhook-signature"));
}

#[tokio::test]
async fn every_one_of_many_subscribers_gets_every_message() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    for number in 0..25 {
        world.subscribe(&format!("{}/{number}", receiver.url()), json!({})).await;
    }
    world.post(0..20).await;
    let notifier = world.notifier();
    world.done(Duration::from_millis(100)).await;
    notifier.stop().await;
    let received = receiver.received();
    for number in 0..25 {
        let path = format!("/hook/{number}");
        let bodies = received.iter().filter(|request| request.path == path).map(|r| r.body());
        assert_eq!(bodies.collect::<Vec<_>>(), (0..20).map(Value::from).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_post_wakes_the_notifier() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    world.subscribe(&receiver.url(), json!({})).await;
    let posted = Arc::new(tokio::sync::Notify::new());
    let config = zaqar_notify::NotifierConfig::default().poll(Duration::from_secs(3_600));
    let builder = world.builder().config(config).posted(Arc::clone(&posted));
    let notifier = builder.channel("http", world.webhook(|_| {})).start();
    for number in 0..5 {
        world.post(number..number + 1).await;
        posted.notify_one();
        until("it was delivered", async || receiver.bodies().contains(&number.into())).await;
    }
    notifier.stop().await;
}

#[tokio::test]
async fn a_template_takes_the_place_of_the_message_and_may_hold_it() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    let template = r#"{"alert": "$zaqar_message$", "again": "$zaqar_message$"}"#;
    let options = json!({"post_data": template, "post_headers": {"X-Mine": "yes"}});
    world.subscribe(&receiver.url(), options).await;
    world.post(7..8).await;
    let notifier = world.notifier();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    let received = &receiver.received()[0];
    assert_eq!(received.json()["alert"]["body"], 7);
    assert_eq!(received.json()["again"]["queue_name"], "q");
    assert_eq!(received.headers["x-mine"], "yes");
}

#[tokio::test]
async fn a_subscriber_that_is_gone_is_removed() {
    let world = World::new().await;
    let receiver = Receiver::new(|_, _| Answer::Status(410)).await;
    let subscription = world.subscribe(&receiver.url(), json!({})).await;
    world.post(0..3).await;
    let notifier = world.notifier();
    until("the subscription is removed", async || {
        let subscriptions = world.data.subscriptions();
        subscriptions.subscription_get(&world.queue, subscription.id).await.is_err()
    })
    .await;
    notifier.stop().await;
    assert_eq!(receiver.count(), 1);
    assert!(world.exhausted().await.is_empty());
}
