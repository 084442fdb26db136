//! What goes wrong, and what it must not touch.

use std::time::Duration;

use serde_json::{Value, json};

use crate::receiver::{Answer, Received, Receiver};
use crate::world::{World, two_attempts, until};

fn is_first(request: &Received) -> bool {
    request.body() == 0
}

#[tokio::test]
async fn a_message_in_retry_keeps_its_id_and_does_not_hold_back_the_next() {
    let world = World::new().await;
    let receiver = Receiver::new(|request, before| match is_first(request) && before < 5 {
        true => Answer::Status(500),
        false => Answer::Status(204),
    })
    .await;
    world.subscribe(&receiver.url(), json!({})).await;
    world.post(0..10).await;
    let notifier = world.notifier();
    until("the others were delivered", async || receiver.bodies().contains(&9.into())).await;
    world.done(Duration::from_secs(1)).await;
    notifier.stop().await;
    let received = receiver.received();
    let firsts: Vec<_> = received.iter().filter(|request| is_first(request)).collect();
    assert!(firsts.len() > 1);
    assert!(firsts.iter().all(|request| request.id() == firsts[0].id()));
    assert!(firsts.iter().all(|request| request.text == firsts[0].text));
    let attempts: Vec<_> = firsts.iter().map(|r| r.headers["zaqar-attempt"].clone()).collect();
    assert_eq!(attempts, (1..=firsts.len()).map(|n| n.to_string()).collect::<Vec<_>>());
    let others = received.iter().filter(|request| !is_first(request)).map(Received::body);
    assert_eq!(others.collect::<Vec<_>>(), (1..10).map(Value::from).collect::<Vec<_>>());
    assert!(world.exhausted().await.is_empty());
}

#[tokio::test]
async fn a_delivery_that_never_succeeds_is_given_up_after_fifteen_attempts_and_recorded() {
    let world = World::new().await;
    let receiver = Receiver::new(|_, _| Answer::Status(503)).await;
    world.subscribe(&receiver.url(), json!({})).await;
    let ids = world.post(0..1).await;
    let notifier = world.notifier();
    world.done(Duration::from_secs(5)).await;
    notifier.stop().await;
    assert_eq!(receiver.count(), 15);
    let records = world.exhausted().await;
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.message, record.attempts), (ids[0], 15));
    assert_eq!(record.reason, "status 503");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (world, target) = (World::new().await, Receiver::ok().await);
    let location = target.url();
    let receiver = Receiver::new(move |_, before| {
        Answer::With([302, 307][before % 2], "location", location.clone())
    })
    .await;
    world.subscribe(&receiver.url(), two_attempts()).await;
    world.post(0..1).await;
    let notifier = world.notifier();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!((receiver.count(), target.count()), (2, 0));
    assert_eq!(world.exhausted().await[0].reason, "status 307");
}

#[tokio::test]
async fn a_receiver_puts_the_next_attempt_off() {
    let world = World::new().await;
    let receiver = Receiver::new(|_, before| match before {
        0 => Answer::With(429, "retry-after", "120".into()),
        _ => Answer::Status(200),
    })
    .await;
    world.subscribe(&receiver.url(), json!({})).await;
    world.post(0..1).await;
    let notifier = world.notifier();
    until("the retry is recorded", async || {
        world.data.outbox().outbox_backlog().await.unwrap().retries == 1
    })
    .await;
    world.clock.advance(Duration::from_secs(119));
    notifier.stop().await;
    let notifier = world.notifier();
    world.post(1..2).await;
    until("the next one came", async || receiver.bodies().contains(&1.into())).await;
    assert_eq!(receiver.count(), 2, "the first one came too early");
    world.clock.advance(Duration::from_secs(1));
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!(receiver.bodies(), [0, 1, 0]);
}

#[tokio::test]
async fn hung_hosts_starve_no_other() {
    let (world, healthy) = (World::new().await, Receiver::ok().await);
    let mut hung = Vec::new();
    for _ in 0..10 {
        let receiver = Receiver::new(|_, _| Answer::Hang).await;
        for number in 0..4 {
            world.subscribe(&format!("{}/{number}", receiver.url()), json!({})).await;
        }
        hung.push(receiver);
    }
    world.subscribe(&healthy.url(), json!({})).await;
    world.post(0..20).await;
    // As many workers as hang at the limit of one for each host, and one more.
    let webhook = world.webhook(|config| {
        config.hosts.at_a_time = 1;
        config.request_timeout = Duration::from_secs(3_600);
    });
    let config = zaqar_notify::NotifierConfig::default()
        .workers_max(11)
        .poll(Duration::from_millis(10))
        .grace(Duration::ZERO);
    let notifier = world.builder().config(config).channel("http", webhook).start();
    until("the healthy one got everything", async || {
        world.clock.advance(Duration::from_millis(5));
        healthy.count() == 20
    })
    .await;
    assert!(hung.iter().all(|receiver| receiver.count() == 1));
    notifier.stop().await;
}

#[tokio::test]
async fn a_host_that_lets_everything_time_out_is_left_alone_and_its_messages_come_to_an_end() {
    let world = World::new().await;
    let receiver = Receiver::new(|_, _| Answer::Hang).await;
    world.subscribe(&receiver.url(), two_attempts()).await;
    world.post(0..100).await;
    let webhook = world.webhook(|config| {
        config.request_timeout = Duration::from_millis(200);
        config.hosts.timeouts_max = 3;
        config.hosts.pause = Duration::from_secs(3_600);
    });
    let notifier = world.builder().channel("http", webhook).start();
    world.done(Duration::from_secs(60)).await;
    notifier.stop().await;
    assert!(receiver.count() <= 3, "{} requests", receiver.count());
    assert_eq!(world.exhausted().await.len(), 100);
}

#[tokio::test]
async fn by_default_nothing_in_the_operators_network_is_reached() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    let port = receiver.port();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433"] {
        world.subscribe(&format!("http://{host}:{port}/"), two_attempts()).await;
    }
    world.post(0..1).await;
    let webhook = world.webhook(|config| config.addresses.networks.clear());
    let notifier = world.builder().channel("http", webhook).start();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!(receiver.count(), 0);
    assert_eq!(world.exhausted().await.len(), 5);
}

#[tokio::test]
async fn a_subscriber_that_nothing_here_serves_is_given_up_at_once() {
    let world = World::new().await;
    world.subscribe("trust+http://receiver.example/", json!({})).await;
    world.post(0..1).await;
    let notifier = world.notifier();
    world.done(Duration::ZERO).await;
    notifier.stop().await;
    assert_eq!(world.exhausted().await[0].attempts, 1);
}
