//! Claims and listings that wait.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use zaqar_core::{ClaimId, ListMessages, QueueKey};
use zaqar_engine::{ClaimRequest, ClaimedMessages, Engine, EngineConfig, PostRequest};

use crate::probe::until;
use crate::world::{World, message, one, queue};

type Waiting = JoinHandle<Option<ClaimedMessages>>;

fn claimer(engine: &Engine, key: &QueueKey, wait: u64) -> Waiting {
    let (engine, key) = (engine.clone(), key.clone());
    tokio::spawn(async move {
        let request = ClaimRequest::new().limit(1);
        engine.claim_create_waiting(&key, request, wait).await.unwrap()
    })
}

fn lister(engine: &Engine, key: &QueueKey, wait: u64) -> JoinHandle<usize> {
    let (engine, key) = (engine.clone(), key.clone());
    tokio::spawn(async move {
        let page = engine.message_list_waiting(&key, ListMessages::new(), wait).await.unwrap();
        page.items.len()
    })
}

/// A queue that is there and has nothing, and so many claims that wait for it.
async fn idle(world: &World, claims: usize) -> (QueueKey, Vec<Waiting>) {
    let key = queue("q");
    world.post(&key, "0").await;
    world.engine.message_pop(&key, 1).await.unwrap();
    world.script.forget();
    let waiting: Vec<_> = (0..claims).map(|_| claimer(&world.engine, &key, 20)).collect();
    world.script.reached("claim_create", claims).await;
    (key, waiting)
}

#[tokio::test(start_paused = true)]
async fn a_post_wakes_one_claim_and_each_message_one() {
    let world = World::new();
    let (key, waiting) = idle(&world, 5).await;
    world.post(&key, "1").await;
    until(|| waiting.iter().any(JoinHandle::is_finished)).await;
    assert_eq!(world.script.count("claim_create"), 6);
    let two = PostRequest::new(vec![message("2"), message("3")]);
    world.engine.message_post(&key, two).await.unwrap();
    until(|| waiting.iter().filter(|claim| claim.is_finished()).count() == 3).await;
    assert_eq!(world.script.count("claim_create"), 8);
    assert_eq!(world.script.count("message_available"), 0);
    world.engine.end_waiting();
    let mut found = 0;
    for claim in waiting {
        found += claim.await.unwrap().map_or(0, |claimed| claimed.messages.len());
    }
    assert_eq!(found, 3);
}

#[tokio::test(start_paused = true)]
async fn claims_are_served_in_the_order_of_their_arrival() {
    let world = World::new();
    let (key, mut waiting) = idle(&world, 3).await;
    for _ in 0..3 {
        world.post(&key, "1").await;
        until(|| waiting[0].is_finished()).await;
        assert!(waiting[1..].iter().all(|claim| !claim.is_finished()));
        waiting.remove(0).await.unwrap().unwrap();
        if waiting.is_empty() {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_wakes_every_listing() {
    let world = World::new();
    let key = queue("q");
    let listings: Vec<_> = (0..10).map(|_| lister(&world.engine, &key, 20)).collect();
    // The queue is missing, so the store is not asked at all.
    until(|| world.script.count("queue_find") > 0).await;
    tokio::task::yield_now().await;
    world.post(&key, "1").await;
    for listing in listings {
        assert_eq!(listing.await.unwrap(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn two_thousand_waiters_cost_one_question_a_second_and_end_empty_handed_in_time() {
    let world = World::new();
    let begun = Instant::now();
    let (_, waiting) = idle(&world, 2_000).await;
    for claim in waiting {
        assert_eq!(claim.await.unwrap(), None);
    }
    let waited = begun.elapsed().as_secs();
    assert_eq!(waited, 20);
    // Nothing but the first look of each, and the questions.
    assert_eq!(world.script.count("claim_create"), 2_000);
    let asked = world.script.count("message_available");
    assert!((15..=20).contains(&asked), "{asked} questions");
    assert_eq!(world.script.calls().len(), 2_000 + asked);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_once_nobody_waits() {
    let world = World::new();
    let (_, waiting) = idle(&world, 3).await;
    for claim in waiting {
        claim.abort();
        assert!(claim.await.unwrap_err().is_cancelled());
    }
    world.script.forget();
    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_post_through_another_server_is_found_within_about_a_second() {
    let world = World::new();
    let (key, waiting) = idle(&world, 3).await;
    let listing = lister(&world.engine, &key, 20);
    world.script.reached("message_list", 1).await;
    let (neighbour, _) = world.neighbour();
    let begun = Instant::now();
    let two = PostRequest::new(vec![message("1"), message("2")]);
    neighbour.message_post(&key, two).await.unwrap();
    let mut found = 0;
    for claim in waiting.into_iter().take(2) {
        found += claim.await.unwrap().unwrap().messages.len();
    }
    assert_eq!(found, 2);
    assert!(begun.elapsed() <= Duration::from_secs(2));
    assert!(listing.await.unwrap() > 0);
}

#[tokio::test(start_paused = true)]
async fn what_time_sets_free_is_found_too() {
    let world = World::new();
    let (key, waiting) = idle(&world, 1).await;
    let delayed = message("1").delay(30);
    world.engine.message_post(&key, PostRequest::new(vec![delayed])).await.unwrap();
    world.pass_s(30);
    assert_eq!(waiting.into_iter().next().unwrap().await.unwrap().unwrap().messages.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_claim_gives_back_goes_to_those_who_wait_one_after_the_other() {
    let world = World::new();
    let key = queue("q");
    let two = PostRequest::new(vec![message("1"), message("2")]);
    world.engine.message_post(&key, two).await.unwrap();
    let held = world.engine.claim_create(&key, ClaimRequest::new()).await.unwrap().unwrap();
    world.script.forget();
    let waiting: Vec<_> = (0..2).map(|_| claimer(&world.engine, &key, 20)).collect();
    world.script.reached("claim_create", 2).await;
    world.engine.claim_delete(&key, held.id).await.unwrap();
    until(|| waiting.iter().all(JoinHandle::is_finished)).await;
    assert_eq!(world.script.count("message_available"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_hands_its_wake_up_to_the_next() {
    let world = World::new();
    let (key, mut waiting) = idle(&world, 2).await;
    // The first is woken, looks, and is cut off before its look is done.
    let gate = world.script.hold("claim_create");
    world.post(&key, "1").await;
    world.script.reached("claim_create", 3).await;
    waiting.remove(0).abort();
    until(|| waiting[0].is_finished()).await;
    assert_eq!(world.script.count("message_available"), 0);
    gate.open();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_post_slips_between_the_look_and_the_wait() {
    let world = Arc::new(World::new());
    let key = queue("q");
    world.post(&key, "0").await;
    world.engine.message_pop(&key, 1).await.unwrap();
    // The question of each second would find what was missed, so it is never answered here.
    for _ in 0..2_000 {
        world.script.fail_before("message_available");
    }
    for _ in 0..2_000 {
        let claim = claimer(&world.engine, &key, 20);
        let posting = world.engine.message_post(&key, one("1"));
        posting.await.unwrap();
        let claimed = tokio::time::timeout(Duration::from_secs(60), claim).await.unwrap();
        let claimed = claimed.unwrap().unwrap();
        let (id, claim): (_, ClaimId) = (claimed.messages[0].id, claimed.id);
        world.engine.message_delete(&key, id, Some(claim)).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_at_once_when_the_service_stops() {
    let world = World::new();
    let (key, waiting) = idle(&world, 3).await;
    let begun = Instant::now();
    world.engine.end_waiting();
    for claim in waiting {
        assert_eq!(claim.await.unwrap(), None);
    }
    assert_eq!(claimer(&world.engine, &key, 20).await.unwrap(), None);
    assert!(begun.elapsed() < Duration::from_secs(1));
    world.engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_the_question_leaves_waiters_waiting() {
    let world = World::new();
    let (key, waiting) = idle(&world, 1).await;
    world.script.fail_before("message_available");
    world.script.reached_later("message_available", 2).await;
    assert!(!waiting[0].is_finished());
    world.post(&key, "1").await;
    assert!(waiting.into_iter().next().unwrap().await.unwrap().is_some());
}

#[tokio::test]
async fn too_long_a_wait_is_refused_with_the_bound() {
    let world = World::new();
    let text = "Wait must be at least 0 and may not be greater than 20.";
    let key = queue("q");
    let claim = world.engine.claim_create_waiting(&key, ClaimRequest::new(), 21).await;
    assert_eq!(claim.unwrap_err().to_string(), text);
    let page = world.engine.message_list_waiting(&key, ListMessages::new(), u64::MAX).await;
    assert_eq!(page.unwrap_err().to_string(), text);
    assert_eq!(world.script.calls(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_hands_on_every_wake_up_that_it_was_given() {
    let world = World::new();
    let (key, mut waiting) = idle(&world, 3).await;
    // The first is woken, and while it looks, again for the next message.
    let gate = world.script.hold("claim_create");
    world.post(&key, "1").await;
    world.script.reached("claim_create", 4).await;
    world.post(&key, "2").await;
    waiting.remove(0).abort();
    until(|| waiting.iter().all(JoinHandle::is_finished)).await;
    assert_eq!(world.script.count("message_available"), 0);
    gate.open();
}

#[tokio::test(start_paused = true)]
async fn a_post_through_another_server_is_found_although_no_route_is_kept() {
    let mut config = EngineConfig::default();
    config.queue_cache_ttl = Duration::ZERO;
    let world = World::with(config);
    let (key, waiting) = idle(&world, 1).await;
    let (neighbour, _) = world.neighbour();
    neighbour.message_post(&key, one("1")).await.unwrap();
    assert!(waiting.into_iter().next().unwrap().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_listing_of_what_is_delayed_is_woken_by_a_delayed_post() {
    let world = World::new();
    let (key, _) = idle(&world, 0).await;
    let engine = world.engine.clone();
    let place = key.clone();
    let listing = tokio::spawn(async move {
        let options = ListMessages::new().include_delayed(true);
        engine.message_list_waiting(&place, options, 20).await.unwrap().items.len()
    });
    world.script.reached("message_list", 1).await;
    let delayed = PostRequest::new(vec![message("1").delay(30)]);
    world.engine.message_post(&key, delayed).await.unwrap();
    assert_eq!(listing.await.unwrap(), 1);
}
