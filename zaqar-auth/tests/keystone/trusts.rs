//! Trusts that callers give the service.

use zaqar_auth::keystone::AuthError;
use zaqar_core::Timestamp;

use crate::stub::Mood;
use crate::world::{World, token};

/// Seconds after the clock's beginning.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(2_000_000_000_000 + seconds * 1_000)
}

#[tokio::test]
async fn a_caller_gives_a_trust_for_its_project_and_roles_until_a_moment() {
    let world = World::new();
    world.stub.issue("t", "p", &["member", "reader"], 3_600);
    let caller = world.keystone.authenticate(&token("t")).await.unwrap();
    let trust = world.keystone.make_trust(&token("t"), &caller, at(7_200)).await.unwrap();
    assert_eq!(trust, "trust-0");
    let given = world.stub.told.trusts.lock().unwrap()[0].clone();
    assert_eq!(given["expires_at"], "2033-05-18T05:33:20Z");
    assert_eq!(given["allow_redelegation"], false);
    assert_eq!(given["roles"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_token_for_a_trust_is_remembered_until_it_ends_and_refused_when_the_trust_has_ended() {
    let world = World::new();
    world.stub.issue("t", "p", &["member"], 86_400);
    let caller = world.keystone.authenticate(&token("t")).await.unwrap();
    let trust = world.keystone.make_trust(&token("t"), &caller, at(7_000)).await.unwrap();
    let first = world.keystone.trust_token(&trust).await.unwrap().header();
    assert!(first.is_sensitive());
    world.advance_s(3_500);
    assert_eq!(world.keystone.trust_token(&trust).await.unwrap().header(), first);
    world.advance_s(50);
    assert_ne!(world.keystone.trust_token(&trust).await.unwrap().header(), first);
    world.advance_s(3_550);
    let refused = world.keystone.trust_token(&trust).await;
    assert_eq!(refused.unwrap_err(), AuthError::Refused);
    // The service's own login has nothing to do with it.
    world.keystone.authenticate(&token("t")).await.unwrap();
}

#[tokio::test]
async fn whoever_may_give_no_trust_is_told_apart_from_a_keystone_that_is_away() {
    let world = World::new();
    world.stub.issue("t", "p", &["member"], 86_400);
    let caller = world.keystone.authenticate(&token("t")).await.unwrap();
    let other = world.keystone.make_trust(&token("other"), &caller, at(100)).await;
    assert_eq!(other.unwrap_err(), AuthError::Refused);
    for id in ["", "unknown", "../tokens", "trust-0"] {
        let refused = world.keystone.trust_token(id).await;
        assert_eq!(refused.unwrap_err(), AuthError::Refused, "{id}");
    }
    for mood in [Mood::Status(500), Mood::Nonsense("null".to_owned()), Mood::Status(204)] {
        world.stub.be(mood);
        let made = world.keystone.make_trust(&token("t"), &caller, at(100)).await;
        assert_eq!(made.unwrap_err(), AuthError::Unavailable);
        let token = world.keystone.trust_token("trust-0").await;
        assert_eq!(token.unwrap_err(), AuthError::Unavailable);
    }
    assert!(world.stub.told.trusts.lock().unwrap().is_empty());
}
