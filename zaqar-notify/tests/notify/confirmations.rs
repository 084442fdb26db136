//! Confirmations, sent in the background.

use std::time::Duration;

use serde_json::json;
use zaqar_notify::{Confirmation, ConfirmationKind};

use crate::receiver::{Answer, Receiver};
use crate::world::{World, until};

async fn confirmation(world: &World, subscriber: &str) -> Confirmation {
    Confirmation {
        kind: ConfirmationKind::Subscribe,
        queue: world.queue.key.clone(),
        subscription: world.subscribe(subscriber, json!({})).await,
        path: "/v2/queues/q/subscriptions/1/confirm".into(),
        method: "PUT".into(),
        expires: "2033-05-18T04:33:20".into(),
        signature: "signature".into(),
        url: None,
        websocket_url: None,
    }
}

#[tokio::test]
async fn a_confirmation_that_fails_is_sent_again_with_the_same_id() {
    let world = World::new().await;
    let receiver = Receiver::new(|_, before| match before {
        0..3 => Answer::Status(500),
        _ => Answer::Status(200),
    })
    .await;
    let notifier = world.notifier();
    notifier.confirmations().send(confirmation(&world, &receiver.url()).await);
    until("it was taken", async || receiver.count() == 4).await;
    notifier.stop().await;
    let received = receiver.received();
    assert!(received.iter().all(|request| request.id() == received[0].id()));
    assert_eq!(received[0].json()["Message_Type"], "SubscriptionConfirmation");
    assert_eq!(received[0].json()["URL-Signature"], "signature");
}

#[tokio::test]
async fn stopping_does_not_wait_for_confirmations_that_cannot_be_sent() {
    let world = World::new().await;
    let receiver = Receiver::new(|_, _| Answer::Hang).await;
    let notifier = world.notifier();
    notifier.confirmations().send(confirmation(&world, &receiver.url()).await);
    until("it is being sent", async || receiver.count() == 1).await;
    let stopped = tokio::time::timeout(Duration::from_secs(20), notifier.stop()).await;
    assert!(stopped.is_ok());
}
