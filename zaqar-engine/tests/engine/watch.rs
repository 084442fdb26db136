//! What a look at the stores changes.

use std::sync::Arc;

use zaqar_core::{
    DisciplinedClock, Effect, GcOptions, Health, ListMessages, Retry, Timestamp, Ttl,
};
use zaqar_engine::{ClaimRequest, Engine, EngineConfig};

use crate::world::{World, one, queue};

fn downgraded() -> Health {
    let mut health = Health::good(Timestamp::default());
    health.safe = false;
    health.warnings.push("appendonly is no".to_owned());
    health
}

#[tokio::test]
async fn posts_are_refused_while_the_store_is_unsafe_and_nothing_is_stored() {
    let world = World::new();
    let key = queue("q");
    world.post(&key, "1").await;
    world.script.claim_health(Some(downgraded()));
    let health = world.engine.watch().await;
    assert_eq!((health.data.safe, health.data.warnings), (false, vec!["appendonly is no".into()]));

    let refusal = world.engine.message_post(&key, one("2")).await.unwrap_err();
    assert_eq!((refusal.effect(), refusal.retry()), (Effect::None, Retry::Later), "{refusal:?}");
    let page = world.engine.message_list(&key, ListMessages::new()).await.unwrap();
    assert_eq!(page.items.len(), 1, "what was accepted stays readable, the refused is not there");
    assert!(world.engine.claim_create(&key, ClaimRequest::new()).await.unwrap().is_some());

    world.script.claim_health(None);
    world.engine.watch().await;
    world.post(&key, "3").await;
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_no_reason_to_refuse_posts_for_it() {
    let world = World::new();
    world.script.fail_before("data_health");
    assert!(!world.engine.watch().await.data.reachable);
    world.post(&queue("q"), "1").await;
}

#[tokio::test]
async fn an_unsafe_store_that_was_accepted_takes_posts_and_is_cleaned() {
    let mut config = EngineConfig::default();
    config.unreliable = true;
    let world = World::with(config);
    let key = queue("q");
    world.post(&key, "1").await;
    world.script.claim_health(Some(downgraded()));
    world.engine.watch().await;
    world.post(&key, "2").await;
    world.pass_s(3_600 + 300);
    assert!(world.engine.claim_create(&key, ClaimRequest::new()).await.unwrap().is_none());
    assert!(world.engine.gc(GcOptions::new()).await.unwrap().rows >= 1);
}

#[tokio::test]
async fn the_clock_follows_the_store_until_the_store_jumps_and_then_nothing_is_removed() {
    let world = World::new();
    let clock = Arc::new(DisciplinedClock::from_system());
    let engine = Engine::builder(world.stores(), Arc::clone(&clock) as _)
        .disciplines(Arc::clone(&clock))
        .build();
    let say = |moment: Timestamp| {
        let mut health = Health::good(moment);
        health.backend_now = Some(moment);
        world.script.claim_health(Some(health));
    };
    let hour = Ttl::from_secs_clamped(3_600);
    let ahead = zaqar_core::Clock::now(&*clock).after(hour);
    say(ahead);
    engine.watch().await;
    assert!(zaqar_core::Clock::now(&*clock) >= ahead, "the first sample sets the clock");

    say(ahead.after(hour));
    engine.watch().await;
    assert!(zaqar_core::Clock::now(&*clock) < ahead.after(hour), "a jump is not followed");
    world.script.forget();
    engine.gc(GcOptions::new()).await.unwrap();
    assert_eq!(world.script.count("gc"), 0, "nothing is removed while the time is in doubt");

    say(zaqar_core::Clock::now(&*clock));
    engine.watch().await;
    engine.gc(GcOptions::new()).await.unwrap();
    assert_eq!(world.script.count("gc"), 1, "it agrees again");
}
