//! What the unit tests deliver.

use zaqar_core::{
    Body, OutboxMessage, ProjectId, QueueKey, QueueName, Subscription, Timestamp, Ttl,
};

use crate::channel::Notification;
use crate::confirmation::{Confirmation, ConfirmationKind};

pub(crate) fn queue() -> QueueKey {
    QueueKey::queue(ProjectId::new("p").unwrap(), QueueName::new("q").unwrap())
}

pub(crate) fn subscription(subscriber: &str) -> Subscription {
    Subscription {
        id: "000000000100000000000002".parse().unwrap(),
        subscriber: subscriber.to_owned(),
        ttl: Ttl::from_secs_clamped(60),
        age_s: 0,
        expires_at: Timestamp::MAX,
        options: zaqar_core::JsonObject::new(),
        confirmed: false,
        needs_confirmation: false,
        since: 1,
        owner: None,
    }
}

pub(crate) fn notification(body: &str, delay_s: u64) -> Notification {
    Notification {
        queue: queue(),
        subscription: subscription("http://receiver.example/"),
        message: OutboxMessage {
            id: "000000000100000000000001".parse().unwrap(),
            body: Body::from_json(body).unwrap(),
            ttl: Ttl::from_secs_clamped(60),
            delay: Ttl::from_secs_clamped(delay_s),
            posted_at: Timestamp::from_millis(2_000_000_000_000),
            attempts: 0,
        },
    }
}

pub(crate) fn confirmation(kind: ConfirmationKind) -> Confirmation {
    Confirmation {
        kind,
        queue: queue(),
        subscription: subscription("mailto:someone@example.org"),
        path: "/v2/queues/q/subscriptions/000000000100000000000002/confirm".into(),
        method: "PUT".into(),
        expires: "2033-05-18T04:33:20".into(),
        signature: "ab".repeat(32),
        url: Some("https://queues.example/v2/queues/q/confirm".into()),
        websocket_url: None,
    }
}
