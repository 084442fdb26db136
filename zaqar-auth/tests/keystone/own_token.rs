//! The service's own login.

use futures_util::future::join_all;
use secrecy::SecretString;
use zaqar_auth::keystone::AuthError;

use crate::stub::Mood;
use crate::world::{World, token};

#[tokio::test]
async fn an_own_token_that_has_ended_is_renewed_once_however_many_notice() {
    let world = World::new();
    for n in 0..40 {
        world.stub.issue(&format!("t{n}"), "p", &[], 3_600);
    }
    let all = |range: std::ops::Range<u32>| {
        let world = &world;
        join_all(range.map(move |n| async move {
            world.keystone.authenticate(&token(&format!("t{n}"))).await.unwrap();
        }))
    };
    all(0..20).await;
    assert_eq!(world.stub.logins(), 1);
    world.stub.end_own_token();
    all(20..40).await;
    assert_eq!(world.stub.logins(), 2);
}

#[tokio::test]
async fn an_own_token_is_renewed_before_its_end() {
    let world = World::new();
    for (n, logins) in [(0, 1), (1, 1), (2, 2)] {
        let name = format!("t{n}");
        world.stub.issue(&name, "p", &[], 3_600);
        world.keystone.authenticate(&token(&name)).await.unwrap();
        assert_eq!((world.stub.logins(), world.stub.validations()), (logins, n + 1));
        world.advance_s(1_780);
    }
}

#[tokio::test]
async fn an_own_token_that_never_holds_is_tried_twice_and_then_given_up() {
    let world = World::new();
    world.stub.issue("t", "p", &[], 3_600);
    world.keystone.authenticate(&token("t")).await.unwrap();
    world.stub.be(Mood::Forgetful);
    let asked = world.keystone.authenticate(&token("u")).await;
    assert_eq!(asked.unwrap_err(), AuthError::Unavailable);
    assert_eq!((world.stub.logins(), world.stub.validations()), (2, 3));
}

#[tokio::test]
async fn a_wrong_password_is_not_tried_with_every_request() {
    let world = World::with(|config| config.credentials.password = SecretString::from("wrong"));
    world.stub.issue("t", "p", &[], 3_600);
    for _ in 0..5 {
        let asked = world.keystone.authenticate(&token("t")).await;
        assert_eq!(asked.unwrap_err(), AuthError::Unavailable);
    }
    assert_eq!((world.stub.logins(), world.stub.validations()), (1, 0));
    world.advance_s(11);
    assert!(!world.keystone.check().await);
    assert_eq!(world.stub.logins(), 2);
}
