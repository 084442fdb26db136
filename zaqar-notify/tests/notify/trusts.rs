//! Subscribers that are given a token with each message.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::HeaderValue;
use serde_json::json;
use zaqar_notify::webhook::{TrustRules, TrustTokens, Webhook};

use crate::receiver::{Answer, Receiver};
use crate::world::{World, two_attempts};

/// Has a token for each trust but one.
#[derive(Debug)]
struct Tokens;

#[async_trait]
impl TrustTokens for Tokens {
    async fn token(&self, trust: &str) -> Option<HeaderValue> {
        (trust != "over").then(|| HeaderValue::from_str(&format!("token-on-{trust}")).unwrap())
    }
}

fn webhook(world: &World, hosts: &[&str], plain_http: bool) -> Arc<Webhook> {
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let webhook = Arc::into_inner(world.webhook(|_| {})).unwrap();
    Arc::new(webhook.trusts(TrustRules { hosts, plain_http }, Arc::new(Tokens)))
}

/// Posts one message to a subscriber with these options, and waits until it is delivered or given up.
async fn deliver(world: &World, webhook: Arc<Webhook>) {
    world.post(0..1).await;
    let notifier = world
        .builder()
        .channel("trust+http", Arc::clone(&webhook) as _)
        .channel("http", webhook)
        .start();
    world.done(Duration::from_secs(1)).await;
    notifier.stop().await;
}

#[tokio::test]
async fn the_token_of_its_trust_comes_with_each_message_to_an_allowed_host() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    let options =
        json!({"trust_id": "t1", "post_headers": {"X-Auth-Token": "mine", "X-Mine": "1"}});
    world.subscribe(&format!("trust+{}", receiver.url()), options).await;
    world.subscribe(&receiver.url(), json!({"trust_id": "t2"})).await;
    deliver(&world, webhook(&world, &[&format!("127.0.0.1:{}", receiver.port())], true)).await;
    let mut tokens: Vec<_> = receiver.received().iter().map(|r| r.headers.clone()).collect();
    tokens.sort_by_key(|headers| headers.contains_key("x-auth-token"));
    assert_eq!(tokens.len(), 2);
    // Only who asked for it by its type gets one.
    assert!(!tokens[0].contains_key("x-auth-token"));
    assert_eq!(tokens[1]["x-auth-token"], "token-on-t1");
    assert_eq!(tokens[1]["x-mine"], "1");
}

#[tokio::test]
async fn nothing_goes_to_a_host_that_is_not_allowed_or_in_plain_text_or_without_a_trust() {
    for (hosts, plain_http, options) in [
        (&["other.example"][..], true, json!({"trust_id": "t"})),
        (&[][..], true, json!({"trust_id": "t"})),
        (&["127.0.0.1"][..], false, json!({"trust_id": "t"})),
        (&["127.0.0.1"][..], true, json!({})),
        (&["127.0.0.1"][..], true, json!({"trust_id": 7})),
    ] {
        let (world, receiver) = (World::new().await, Receiver::ok().await);
        world.subscribe(&format!("trust+{}", receiver.url()), options).await;
        deliver(&world, webhook(&world, hosts, plain_http)).await;
        assert_eq!(receiver.count(), 0);
        assert_eq!(world.exhausted().await[0].attempts, 1);
    }
}

#[tokio::test]
async fn a_token_is_not_taken_along_to_another_place() {
    let (world, target) = (World::new().await, Receiver::ok().await);
    let elsewhere = target.url();
    let receiver =
        Receiver::new(move |_, _| Answer::With(307, "location", elsewhere.clone())).await;
    let mut options = two_attempts();
    options["trust_id"] = json!("t");
    world.subscribe(&format!("trust+{}", receiver.url()), options).await;
    deliver(&world, webhook(&world, &["127.0.0.1"], true)).await;
    assert_eq!((receiver.count(), target.count()), (2, 0));
}

#[tokio::test]
async fn while_no_token_can_be_had_the_delivery_is_tried_again() {
    let (world, receiver) = (World::new().await, Receiver::ok().await);
    let mut options = two_attempts();
    options["trust_id"] = json!("over");
    world.subscribe(&format!("trust+{}", receiver.url()), options).await;
    deliver(&world, webhook(&world, &["127.0.0.1"], true)).await;
    assert_eq!(receiver.count(), 0);
    assert_eq!(world.exhausted().await[0].attempts, 2);
}
