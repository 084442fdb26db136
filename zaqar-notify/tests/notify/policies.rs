//! Queues whose policies cannot be read for a while, and projects that want too much.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use zaqar_core::{
    Body, DataDriver, Incarnation, JsonObject, NewMessage, NewSubscription, PostMessages,
    ProjectId, QueueKey, QueueName, QueueRef, Ttl,
};
use zaqar_notify::{NotifierConfig, PolicySource, PolicyUnreadable};

use crate::receiver::{Answer, Receiver};
use crate::world::{World, two_attempts, until};

/// One policy for all queues, that can be told or not.
#[derive(Debug)]
struct Source {
    policy: Arc<JsonObject>,
    is_readable: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl PolicySource for Source {
    async fn queue_policy(
        &self,
        _queue: &QueueKey,
    ) -> Result<Option<Arc<JsonObject>>, PolicyUnreadable> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let is_readable = self.is_readable.load(Ordering::SeqCst);
        if is_readable { Ok(Some(Arc::clone(&self.policy))) } else { Err(PolicyUnreadable) }
    }
}

#[tokio::test]
async fn a_retry_waits_while_the_queues_policy_cannot_be_read_and_then_follows_it() {
    let world = World::new().await;
    let receiver = Receiver::new(|request, _| match request.body() == 0 {
        true => Answer::Status(500),
        false => Answer::Status(200),
    })
    .await;
    world.subscribe(&receiver.url(), json!({})).await;
    world.post(0..1).await;
    let policy = two_attempts()["_retry_policy"].as_object().unwrap().clone();
    let source = Arc::new(Source {
        policy: Arc::new(policy),
        is_readable: AtomicBool::new(false),
        asked: AtomicUsize::new(0),
    });
    let webhook = world.webhook(|_| {});
    let builder = world.builder().policies(Arc::clone(&source) as _).channel("http", webhook);
    let notifier = builder.start();
    // By the default policy there would be fifteen attempts within these looks.
    until("the policy was asked for again and again", async || {
        world.clock.advance(Duration::from_secs(1));
        source.asked.load(Ordering::SeqCst) > 20
    })
    .await;
    assert_eq!(receiver.count(), 1);
    world.post(1..2).await;
    until("the next message is not held back", async || {
        world.clock.advance(Duration::from_secs(1));
        receiver.count() == 2
    })
    .await;
    source.is_readable.store(true, Ordering::SeqCst);
    world.done(Duration::from_secs(1)).await;
    notifier.stop().await;
    assert_eq!(receiver.bodies(), [0, 1, 0]);
    let exhausted = world.exhausted().await;
    assert_eq!((exhausted.len(), exhausted[0].attempts), (1, 2));
}

/// Another project's queue in the same store.
async fn neighbour(world: &World) -> QueueRef {
    let key = QueueKey::queue(ProjectId::new("other").unwrap(), QueueName::new("q").unwrap());
    let queue = key.incarnate(Incarnation::new(2).unwrap());
    world.data.heads().head_open(&queue).await.unwrap();
    queue
}

async fn subscribe_and_post(data: &dyn DataDriver, queue: &QueueRef, subscriber: &str, posts: u32) {
    let new = NewSubscription::new(subscriber, Ttl::from_secs_clamped(864_000));
    data.subscriptions().subscription_create(queue, new).await.unwrap();
    for number in 0..posts {
        let body = Body::from_json(number.to_string()).unwrap();
        let message = NewMessage::new(body, Ttl::from_secs_clamped(3_600));
        data.messages().message_post(queue, vec![message], PostMessages::new()).await.unwrap();
    }
}

#[tokio::test]
async fn one_projects_hung_hosts_starve_no_other_project() {
    let (world, healthy) = (World::new().await, Receiver::ok().await);
    let mut hung = Vec::new();
    // More hosts than there are workers: no limit by host keeps them from taking all.
    for _ in 0..24 {
        let receiver = Receiver::new(|_, _| Answer::Hang).await;
        world.subscribe(&receiver.url(), json!({})).await;
        hung.push(receiver);
    }
    world.post(0..3).await;
    let webhook = world.webhook(|config| config.request_timeout = Duration::from_secs(3_600));
    let config = NotifierConfig::default()
        .workers_max(8)
        .per_project_max(6)
        .poll(Duration::from_millis(10))
        .grace(Duration::ZERO);
    let notifier = world.builder().config(config).channel("http", webhook).start();
    let hanging = || hung.iter().map(Receiver::count).sum::<usize>();
    until("the project has as many under way as it may", async || hanging() == 6).await;
    let other = neighbour(&world).await;
    subscribe_and_post(&*world.data, &other, &healthy.url(), 10).await;
    until("the other project's went out", async || {
        world.clock.advance(Duration::from_millis(5));
        healthy.count() == 10
    })
    .await;
    assert_eq!(hanging(), 6);
    notifier.stop().await;
}
