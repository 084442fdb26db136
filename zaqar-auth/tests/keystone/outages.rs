//! A Keystone that is not there, is slow, or answers nonsense.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpSocket;
use zaqar_auth::keystone::{AuthError, Keystone};
use zaqar_core::ManualClock;

use crate::stub::{Mood, config};
use crate::world::{World, token};

#[tokio::test]
async fn known_tokens_serve_within_their_life_while_keystone_is_gone_and_others_do_not() {
    let mut world = World::new();
    world.stub.issue("known", "p", &[], 3_600);
    world.stub.issue("other", "p", &[], 3_600);
    world.keystone.authenticate(&token("known")).await.unwrap();
    world.stub.end();
    world.keystone.authenticate(&token("known")).await.unwrap();
    let other = world.keystone.authenticate(&token("other")).await;
    assert_eq!(other.unwrap_err(), AuthError::Unavailable);
    world.advance_s(300);
    let known = world.keystone.authenticate(&token("known")).await;
    assert_eq!(known.unwrap_err(), AuthError::Unavailable);
}

#[tokio::test]
async fn nobody_waits_longer_than_may_be_for_a_keystone_that_does_not_answer() {
    let world = World::with(|config| config.request_timeout = Duration::from_millis(200));
    world.stub.be(Mood::Hanging);
    let asked = (0..50).map(|n| {
        let (keystone, token) = (world.keystone.clone(), token(&format!("t{n}")));
        async move { keystone.authenticate(&token).await }
    });
    for asked in join_all(asked).await {
        assert_eq!(asked.unwrap_err(), AuthError::Unavailable);
    }
    world.stub.be(Mood::Well);
    world.stub.issue("t0", "p", &[], 3_600);
    // Its time is short, so that on a busy machine an answer may come too late.
    while let Err(error) = world.keystone.authenticate(&token("t0")).await {
        assert_eq!(error, AuthError::Unavailable);
    }
}

#[tokio::test]
async fn nonsense_is_no_identity_and_is_not_remembered() {
    let world = World::new();
    world.stub.issue("t", "p", &["admin"], 3_600);
    assert!(world.keystone.check().await);
    let oversized = format!(r#"{{"token": {{"padding": "{}"}}}}"#, "x".repeat(1_000_000));
    let nobody = r#"{"token": {"expires_at": "2099-01-01T00:00:00Z"}}"#;
    for text in ["", "null", "<html>", r#"{"token": {}}"#, nobody, &oversized] {
        world.stub.be(Mood::Nonsense(text.to_owned()));
        let asked = world.keystone.authenticate(&token("t")).await;
        assert_eq!(asked.unwrap_err(), AuthError::Unavailable);
    }
    for status in [204, 301, 400, 403, 409, 429, 500, 503] {
        world.stub.be(Mood::Status(status));
        let asked = world.keystone.authenticate(&token("t")).await;
        assert_eq!(asked.unwrap_err(), AuthError::Unavailable, "{status}");
    }
    world.stub.be(Mood::Well);
    let found = world.keystone.authenticate(&token("t")).await.unwrap();
    assert!(found.identity.has_role("admin"));
}

#[tokio::test]
async fn nonsense_is_no_login() {
    let world = World::new();
    for mood in [
        Mood::Nonsense(r#"{"token": {"expires_at": "2099-01-01T00:00:00Z"}}"#.to_owned()),
        Mood::Status(201),
        Mood::Status(404),
        Mood::Status(500),
    ] {
        world.stub.be(mood);
        assert!(!world.keystone.check().await);
        let asked = world.keystone.authenticate(&token("t")).await;
        assert_eq!(asked.unwrap_err(), AuthError::Unavailable);
    }
    world.stub.be(Mood::Well);
    assert!(world.keystone.check().await);
}

#[tokio::test]
async fn a_keystone_that_was_never_there_is_unavailable() {
    // Taken, so that nobody listens there.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    let clock = std::sync::Arc::new(ManualClock::default());
    let keystone = Keystone::new(config(&url), clock).unwrap();
    assert!(!keystone.check().await);
    let asked = keystone.authenticate(&token("t")).await;
    assert_eq!(asked.unwrap_err(), AuthError::Unavailable);
}
