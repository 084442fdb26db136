//! One store, one queue, and notifiers on it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use zaqar_conformance::reference::ReferenceStore;
use zaqar_core::{
    Body, Clock, DataDriver, ExhaustedDelivery, Incarnation, ManualClock, MessageId, NewMessage,
    NewSubscription, PageLimit, PostMessages, ProjectId, QueueKey, QueueName, QueueRef,
    Subscription, Ttl,
};
use zaqar_notify::webhook::{
    AddressRules, HostLimits, Ports, Webhook, WebhookConfig, WebhookSigner,
};
use zaqar_notify::{Notifier, NotifierBuilder, NotifierConfig};

/// Everything that is waited for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any test lets pass by the way: what is under way is not taken over.
pub(crate) const LEASE: Duration = Duration::from_secs(86_400);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) data: Arc<dyn DataDriver>,
    pub(crate) queue: QueueRef,
}

impl World {
    pub(crate) async fn new() -> Self {
        let clock = Arc::new(ManualClock::default());
        let data = ReferenceStore::new().data(Arc::clone(&clock) as Arc<dyn Clock>);
        let key = QueueKey::queue(ProjectId::new("p").unwrap(), QueueName::new("q").unwrap());
        let queue = key.incarnate(Incarnation::new(1).unwrap());
        data.heads().head_open(&queue).await.unwrap();
        Self { clock, data: Arc::new(data), queue }
    }

    pub(crate) async fn subscribe(&self, subscriber: &str, options: Value) -> Subscription {
        let subscription = NewSubscription::new(subscriber, Ttl::from_secs_clamped(864_000))
            .options(options.as_object().unwrap().clone());
        let subscriptions = self.data.subscriptions();
        subscriptions.subscription_create(&self.queue, subscription).await.unwrap().into_inner()
    }

    /// Posts each number as a message of its own.
    pub(crate) async fn post(&self, numbers: std::ops::Range<u32>) -> Vec<MessageId> {
        let message = |number: u32| NewMessage {
            body: Body::from_json(number.to_string()).unwrap(),
            ttl: Ttl::from_secs_clamped(3_600),
            delay: Ttl::ZERO,
            checksum: None,
        };
        let messages = numbers.map(message).collect();
        let options = PostMessages::new();
        let posted = self.data.messages().message_post(&self.queue, messages, options).await;
        posted.unwrap().ids
    }

    pub(crate) fn webhook(&self, change: impl FnOnce(&mut WebhookConfig)) -> Arc<Webhook> {
        let mut config = WebhookConfig {
            addresses: AddressRules {
                networks: vec!["127.0.0.0/8".parse().unwrap()],
                ports: Ports::Any,
            },
            signer: WebhookSigner::new(["secret"]).unwrap(),
            hosts: HostLimits::default(),
            ..WebhookConfig::default()
        };
        change(&mut config);
        Arc::new(Webhook::new(config, Arc::clone(&self.clock) as _).unwrap())
    }

    /// A notifier without channels.
    pub(crate) fn builder(&self) -> NotifierBuilder {
        let config =
            NotifierConfig::default().poll(Duration::from_millis(10)).grace(Duration::from_secs(1));
        let config = config.lease(Ttl::from_secs_clamped(LEASE.as_secs()));
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Notifier::builder(Arc::clone(&self.data), clock).config(config)
    }

    /// A notifier that delivers to webhooks.
    pub(crate) fn notifier(&self) -> Notifier {
        self.builder().channel("http", self.webhook(|_| {})).start()
    }

    pub(crate) async fn exhausted(&self) -> Vec<ExhaustedDelivery> {
        let limit = PageLimit::new(1_000).unwrap();
        let outbox = self.data.outbox();
        outbox.delivery_list_exhausted(&self.queue, None, limit).await.unwrap().items
    }

    pub(crate) async fn is_done(&self) -> bool {
        let backlog = self.data.outbox().outbox_backlog().await.unwrap();
        backlog.entries == 0 && backlog.retries == 0
    }

    /// Waits until everything was delivered or given up; meanwhile so much time passes at each look.
    pub(crate) async fn done(&self, step: Duration) {
        until("nothing is left in the outbox", async || {
            self.clock.advance(step);
            self.is_done().await
        })
        .await;
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl AsyncFn() -> bool) {
    let mut looks = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !so().await {
            looks.tick().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "waited in vain until {what}");
}

/// One try at once, then none.
pub(crate) fn two_attempts() -> Value {
    json!({"_retry_policy": {
        "retries_with_no_delay": 1, "minimum_delay_retries": 0, "maximum_delay_retries": 0,
        "minimum_delay": 5, "maximum_delay": 5,
    }})
}
