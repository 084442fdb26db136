//! Moves of queues between pools, as an administrator begins them and heads carry them on.

use std::time::Duration;

use serde_json::json;
use zaqar_core::{Error, IdempotencyKey, JsonObject, ListMessages, PageLimit, QueueKey};
use zaqar_engine::{ChangePool, ClaimRequest, Engine, EngineConfig, EngineError, MovesReport};

use crate::pools::{Installation, bodies, flavor, name, pool, with_pools};
use crate::world::{object, one, project, queue};

/// Carries moves on until they have ended.
async fn carry_on(engine: &Engine) -> MovesReport {
    let mut all = MovesReport::default();
    loop {
        let report = engine.moves_carry_on().await.unwrap();
        all.messages += report.messages;
        assert_eq!(report.failed, 0, "{report:?}");
        if report.going_on == 0 {
            return all;
        }
        tokio::task::yield_now().await;
    }
}

async fn fill(engine: &Engine, key: &QueueKey, messages: usize) {
    for number in 0..messages {
        engine.message_post(key, one(&number.to_string())).await.unwrap();
    }
}

/// The bodies that [`fill`] posts.
fn numbers(messages: usize) -> Vec<String> {
    (0..messages).map(|number| number.to_string()).collect()
}

async fn all_bodies(engine: &Engine, key: &QueueKey) -> Vec<String> {
    let options = ListMessages::new().include_claimed(true).limit(PageLimit::new(20).unwrap());
    let page = engine.message_list(key, options).await.unwrap();
    page.items.iter().map(|message| message.body.as_str().to_owned()).collect()
}

#[tokio::test]
async fn a_moved_queue_is_whole_and_its_source_is_empty() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 0)]).await;
    let key = queue("q");
    fill(&engine, &key, 7).await;
    let claimed = engine.claim_create(&key, ClaimRequest::new().limit(2)).await.unwrap().unwrap();
    let place = engine.queue_move(&key, &name("b")).await.unwrap();
    assert_eq!((place.pool, place.source), (Some(name("b")), Some(name("a"))));
    assert_eq!((place.moves, place.left), (1, Some(7)));
    assert_eq!(carry_on(&engine).await.messages, 7);
    let place = engine.queue_place(&key).await.unwrap().unwrap();
    assert_eq!((place.pool, place.source, place.left), (Some(name("b")), None, None));
    let found = installation.incarnation(&key).await;
    assert!(!installation.holds("memory://a", &found).await);
    assert_eq!(all_bodies(&engine, &key).await, numbers(7));
    // The claim is as good as it was.
    let messages = claimed.messages;
    engine.message_delete(&key, messages[0].id, Some(claimed.id)).await.unwrap();
    assert_eq!(all_bodies(&installation.head(false), &key).await, numbers(7)[1..]);
    engine.pool_delete(&name("a")).await.unwrap();
}

#[tokio::test]
async fn another_head_carries_on_what_its_beginner_left() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 0)]).await;
    let key = queue("q");
    fill(&engine, &key, 5).await;
    engine.queue_move(&key, &name("b")).await.unwrap();
    drop(engine);
    let mut config = EngineConfig::default();
    config.moves.takeover_after = Duration::ZERO;
    config.moves.messages_per_part = 2;
    let other = installation.head_with(config);
    assert_eq!(carry_on(&other).await.messages, 5);
    assert_eq!(bodies(&other, &key).await, numbers(5));
}

#[tokio::test]
async fn a_head_leaves_alone_what_another_carries_on() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 0)]).await;
    let key = queue("q");
    fill(&engine, &key, 5).await;
    engine.queue_move(&key, &name("b")).await.unwrap();
    let other = installation.head(false);
    let report = other.moves_carry_on().await.unwrap();
    assert_eq!((report.messages, report.going_on), (0, 1), "it was begun a moment ago");
    assert_eq!(carry_on(&engine).await.messages, 5);
}

#[tokio::test]
async fn a_queue_goes_on_while_it_is_moved_and_comes_back() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 0)]).await;
    let other = installation.head(false);
    let key = queue("q");
    fill(&engine, &key, 3).await;
    assert_eq!(bodies(&other, &key).await, numbers(3), "the other head knows where it is");
    for (number, target) in ["b", "a", "b", "a"].into_iter().enumerate() {
        engine.queue_move(&key, &name(target)).await.unwrap();
        other.message_post(&key, one(&(3 + number).to_string())).await.unwrap();
        assert_eq!(bodies(&engine, &key).await, numbers(4 + number));
        carry_on(&engine).await;
        assert_eq!(bodies(&other, &key).await, numbers(4 + number));
        // What it left is collected before it comes back.
        engine.gc(zaqar_core::GcOptions::new()).await.unwrap();
    }
    assert_eq!(engine.queue_place(&key).await.unwrap().unwrap().moves, 4);
}

#[tokio::test]
async fn a_move_that_cannot_be_is_refused() {
    let (_installation, engine) = with_pools(&[("a", 1), ("b", 0), ("c", 0)]).await;
    let key = queue("q");
    fill(&engine, &key, 1).await;
    let nowhere = engine.queue_move(&key, &name("x")).await.unwrap_err();
    assert!(matches!(nowhere, EngineError::Store(Error::PoolNotFound { .. })), "{nowhere:?}");
    let nothing = engine.queue_move(&queue("none"), &name("b")).await.unwrap_err();
    assert!(matches!(nothing, EngineError::Store(Error::QueueNotFound { .. })), "{nothing:?}");
    assert!(engine.queue_place(&queue("none")).await.unwrap().is_none());
    engine.flavor_put(&project(), &flavor("gold"), vec![name("c")]).await.unwrap();
    let other_flavor = engine.queue_move(&key, &name("c")).await.unwrap_err();
    assert_eq!(other_flavor.to_string(), "Pool c is not of the flavor of pool a.");
    // Where it is already, or on its way to.
    assert_eq!(engine.queue_move(&key, &name("a")).await.unwrap().source, None);
    engine.queue_move(&key, &name("b")).await.unwrap();
    engine.queue_move(&key, &name("b")).await.unwrap();
    let twice = engine.queue_move(&key, &name("a")).await.unwrap_err();
    assert_eq!(twice.to_string(), "The queue is being moved to pool b.");
    let held = engine.pool_delete(&name("a")).await.unwrap_err();
    assert!(matches!(held, EngineError::PoolHoldsQueues { .. }), "{held:?}");
    carry_on(&engine).await;
    assert_eq!(bodies(&engine, &key).await, numbers(1));
}

#[tokio::test]
async fn a_pool_is_drained_into_the_others_and_gets_no_more() {
    let (installation, engine) = with_pools(&[("a", 1)]).await;
    for number in 0..12 {
        fill(&engine, &queue(&format!("q{number}")), number).await;
        engine.queue_create(&queue(&format!("q{number}")), JsonObject::new()).await.unwrap();
    }
    let alone = engine.pool_drain(&name("a"), PageLimit::default()).await.unwrap_err();
    assert_eq!(alone.to_string(), "There is no other pool for the queues of pool a.");
    engine.pool_put(pool("b", 1)).await.unwrap();
    engine.pool_put(pool("c", 0)).await.unwrap();
    let mut begun = 0;
    loop {
        let report = engine.pool_drain(&name("a"), PageLimit::new(5).unwrap()).await.unwrap();
        begun += report.begun;
        if !report.more {
            break;
        }
        carry_on(&engine).await;
    }
    assert_eq!(begun, 12);
    for number in 0..12 {
        let key = queue(&format!("q{number}"));
        let found = installation.incarnation(&key).await;
        assert!(installation.holds("memory://b", &found).await);
        assert_eq!(bodies(&engine, &key).await, numbers(number)[..number.min(10)]);
    }
    engine.message_post(&queue("new"), one("1")).await.unwrap();
    let found = installation.incarnation(&queue("new")).await;
    assert!(installation.holds("memory://b", &found).await);
    engine.pool_delete(&name("a")).await.unwrap();
}

#[tokio::test]
async fn a_queue_leaves_the_engines_own_store_if_that_is_a_pool_too() {
    let installation = Installation::new();
    let engine = installation.head(true);
    let key = queue("q");
    fill(&engine, &key, 3).await;
    assert_eq!(engine.queue_place(&key).await.unwrap().unwrap().pool, None);
    engine.pool_put(pool("b", 1)).await.unwrap();
    let nowhere = engine.queue_move(&key, &name("b")).await.unwrap_err();
    let text = "The queue lives in the server's own data store, which is none of the pools.";
    assert_eq!(nowhere.to_string(), text);
    installation.shelve_home("memory://home");
    engine.pool_put(pool("home", 0)).await.unwrap();
    engine.queue_move(&key, &name("b")).await.unwrap();
    carry_on(&engine).await;
    let found = installation.incarnation(&key).await;
    assert!(!installation.home_holds(&found).await);
    assert_eq!(bodies(&installation.head(true), &key).await, numbers(3));
}

#[tokio::test]
async fn a_queue_that_is_deleted_on_its_way_is_gone_from_both_pools() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 0)]).await;
    let mut config = EngineConfig::default();
    config.moves.takeover_after = Duration::ZERO;
    for steps in 0..12 {
        let key = queue("q");
        fill(&engine, &key, 5).await;
        let found = installation.incarnation(&key).await;
        engine.queue_move(&key, &name("b")).await.unwrap();
        installation.steps(&found, steps).await;
        engine.queue_delete(&key).await.unwrap();
        for uri in ["memory://a", "memory://b"] {
            assert!(!installation.holds(uri, &found).await, "{uri} after {steps} steps");
        }
        assert_eq!(carry_on(&installation.head_with(config.clone())).await.messages, 0);
        fill(&engine, &key, 1).await;
        assert_eq!(bodies(&engine, &key).await, numbers(1));
        engine.queue_delete(&key).await.unwrap();
    }
    let weightless = ChangePool { weight: Some(0), ..ChangePool::default() };
    engine.pool_update(&name("a"), weightless).await.unwrap();
    engine.pool_delete(&name("a")).await.unwrap();
}

#[tokio::test]
async fn a_key_used_before_a_move_is_known_after_it() {
    let (_installation, engine) = with_pools(&[("a", 1), ("b", 0)]).await;
    let key = queue("q");
    let post = |text: &str| one(text).idempotency_key(IdempotencyKey::new("k").unwrap());
    let posted = engine.message_post(&key, post("1")).await.unwrap();
    engine.queue_move(&key, &name("b")).await.unwrap();
    assert_eq!(engine.message_post(&key, post("1")).await.unwrap().ids, posted.ids);
    carry_on(&engine).await;
    assert_eq!(engine.message_post(&key, post("1")).await.unwrap().ids, posted.ids);
    let other = engine.message_post(&key, post("2")).await.unwrap_err();
    assert!(matches!(other, EngineError::Store(Error::IdempotencyConflict)), "{other:?}");
    assert_eq!(bodies(&engine, &key).await, ["1"]);
}

#[tokio::test]
async fn dead_letters_find_a_queue_that_is_moved() {
    let (installation, engine) = with_pools(&[("a", 1), ("b", 0)]).await;
    let policy = json!({"_dead_letter_queue": "dead", "_max_claim_count": 1});
    engine.queue_create(&queue("q"), object(policy)).await.unwrap();
    engine.message_post(&queue("q"), one("\"late\"")).await.unwrap();
    engine.message_post(&queue("dead"), one("\"before\"")).await.unwrap();
    engine.claim_create(&queue("q"), ClaimRequest::new().ttl(60)).await.unwrap();
    installation.clock.advance(Duration::from_secs(61));
    for key in ["q", "dead"] {
        engine.queue_move(&queue(key), &name("b")).await.unwrap();
    }
    engine.claim_create(&queue("q"), ClaimRequest::new().ttl(60)).await.unwrap();
    assert_eq!(bodies(&engine, &queue("dead")).await, ["\"before\"", "\"late\""]);
    carry_on(&engine).await;
    assert_eq!(bodies(&engine, &queue("dead")).await, ["\"before\"", "\"late\""]);
    assert!(all_bodies(&engine, &queue("q")).await.is_empty());
}
