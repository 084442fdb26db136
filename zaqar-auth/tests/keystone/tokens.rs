//! Tokens that hold, and those that do not.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use zaqar_auth::Identity;
use zaqar_auth::keystone::AuthError;
use zaqar_core::ProjectId;

use crate::world::{World, token};

#[tokio::test]
async fn a_valid_token_says_who_asks() {
    let world = World::new();
    world.stub.issue("t", "p1", &["member", "Reader"], 3_600);
    let found = world.keystone.authenticate(&token("t")).await.unwrap();
    let mut expected = Identity::of_project(ProjectId::new("p1").unwrap());
    expected.user = Some("alice".to_owned());
    expected.user_domain = Some("default".to_owned());
    expected.project_domain = Some("default".to_owned());
    expected.roles = vec!["member".to_owned(), "Reader".to_owned()];
    assert_eq!(*found.identity, expected);
    assert_eq!(found.expires_at.as_millis(), 2_000_003_600_000);
}

#[tokio::test]
async fn an_unknown_token_is_refused_and_soon_asked_about_again() {
    let world = World::new();
    for _ in 0..3 {
        let refused = world.keystone.authenticate(&token("t")).await;
        assert_eq!(refused.unwrap_err(), AuthError::Refused);
    }
    assert_eq!(world.stub.validations(), 1);
    world.stub.issue("t", "p", &[], 3_600);
    world.advance_s(11);
    world.keystone.authenticate(&token("t")).await.unwrap();
    assert_eq!(world.stub.validations(), 2);
}

#[tokio::test]
async fn a_token_for_no_project_is_refused_as_that() {
    let world = World::new();
    world.stub.issue_unscoped("t", 3_600);
    for _ in 0..2 {
        let refused = world.keystone.authenticate(&token("t")).await;
        assert_eq!(refused.unwrap_err(), AuthError::Unscoped);
    }
    assert_eq!(world.stub.validations(), 1);
}

#[tokio::test]
async fn a_token_is_asked_about_once_until_the_cache_time_is_over() {
    let world = World::new();
    world.stub.issue("t", "p", &[], 86_400);
    for _ in 0..5 {
        world.keystone.authenticate(&token("t")).await.unwrap();
        world.advance_s(59);
    }
    assert_eq!(world.stub.validations(), 1);
    world.advance_s(5);
    world.keystone.authenticate(&token("t")).await.unwrap();
    assert_eq!(world.stub.validations(), 2);
}

#[tokio::test]
async fn a_token_that_ends_is_refused_from_then_on_however_long_answers_are_believed() {
    let world = World::with(|config| config.token_cache_time = Duration::from_secs(7_200));
    world.stub.issue("t", "p", &[], 3_600);
    world.keystone.authenticate(&token("t")).await.unwrap();
    world.advance_s(3_599);
    world.keystone.authenticate(&token("t")).await.unwrap();
    assert_eq!(world.stub.validations(), 1);
    world.advance_s(1);
    let refused = world.keystone.authenticate(&token("t")).await;
    assert_eq!(refused.unwrap_err(), AuthError::Refused);
}

#[tokio::test]
async fn a_revoked_token_serves_no_longer_than_the_cache_time() {
    let world = World::new();
    world.stub.issue("t", "p", &[], 86_400);
    world.keystone.authenticate(&token("t")).await.unwrap();
    world.stub.revoke("t");
    world.advance_s(299);
    world.keystone.authenticate(&token("t")).await.unwrap();
    world.advance_s(1);
    let refused = world.keystone.authenticate(&token("t")).await;
    assert_eq!(refused.unwrap_err(), AuthError::Refused);
}

#[tokio::test]
async fn without_a_cache_every_request_asks() {
    let world = World::with(|config| config.token_cache_time = Duration::ZERO);
    world.stub.issue("t", "p", &[], 3_600);
    for _ in 0..3 {
        world.keystone.authenticate(&token("t")).await.unwrap();
    }
    assert_eq!(world.stub.validations(), 3);
    world.stub.revoke("t");
    for _ in 0..2 {
        let refused = world.keystone.authenticate(&token("t")).await;
        assert_eq!(refused.unwrap_err(), AuthError::Refused);
    }
    assert_eq!(world.stub.validations(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_requests_at_a_time_ask_about_a_token_once_and_once_more_when_it_is_stale() {
    let world = Arc::new(World::new());
    world.stub.issue("t", "p", &[], 86_400);
    for round in 1..=3 {
        let one = || {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.keystone.authenticate(&token("t")).await })
        };
        let all: Vec<_> = (0..100).map(|_| one()).collect();
        for found in join_all(all).await {
            assert_eq!(found.unwrap().unwrap().identity.project.as_str(), "p");
        }
        assert_eq!(world.stub.validations(), round);
        world.advance_s(300);
    }
    assert_eq!(world.stub.logins(), 1);
}

#[tokio::test]
async fn whoever_leaves_while_a_token_is_asked_about_does_not_leave_the_others_behind() {
    let world = Arc::new(World::new());
    world.stub.issue("t", "p", &[], 3_600);
    world.stub.be(crate::stub::Mood::Hanging);
    let ask = || {
        let world = Arc::clone(&world);
        tokio::spawn(async move { world.keystone.authenticate(&token("t")).await })
    };
    let first = ask();
    while world.stub.logins() == 0 {
        tokio::task::yield_now().await;
    }
    let second = ask();
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    world.stub.be(crate::stub::Mood::Well);
    second.await.unwrap().unwrap();
}
