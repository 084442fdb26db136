//! Claims without dead letters.

use zaqar_core::{ClaimId, Error, ErrorClass};
use zaqar_engine::{ClaimRequest, EngineError};

use crate::world::{World, queue, topic};

#[tokio::test]
async fn a_claim_takes_the_oldest_messages_with_the_configured_defaults() {
    let world = World::new();
    let key = queue("q");
    for body in 0..12 {
        world.post(&key, &body.to_string()).await;
    }
    let claimed = world.engine.claim_create(&key, ClaimRequest::new()).await.unwrap().unwrap();
    let bodies: Vec<_> = claimed.messages.iter().map(|message| message.body.as_str()).collect();
    assert_eq!(bodies, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    let (claim, messages) = world.engine.claim_get(&key, claimed.id).await.unwrap();
    assert_eq!((claim.ttl.as_secs(), claim.age_s, messages.len()), (300, 0, 10));
    // A message that outlives its claim keeps its life.
    assert_eq!(messages[0].ttl.as_secs(), 3_600);
}

#[tokio::test]
async fn nothing_to_claim_is_no_claim_and_makes_no_queue() {
    let world = World::new();
    let claimed = world.engine.claim_create(&queue("q"), ClaimRequest::new()).await.unwrap();
    assert_eq!(claimed, None);
    assert!(!world.engine.queue_exists(&queue("q")).await.unwrap());
    world.post(&queue("q"), "1").await;
    assert!(world.engine.claim_create(&queue("q"), ClaimRequest::new()).await.unwrap().is_some());
    assert!(world.engine.claim_create(&queue("q"), ClaimRequest::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_out_of_range_is_refused_with_the_text_that_clients_know() {
    let world = World::new();
    let key = queue("q");
    let ttl = "The TTL for a claim may not exceed 43200 seconds, and must be at least 60 seconds \
               long.";
    let grace = "The grace for a claim may not exceed 43200 seconds, and must be at least 60 \
                 seconds long.";
    let limit = "Limit must be at least 1 and may not be greater than 20.";
    let cases = [
        (ClaimRequest::new().ttl(59), ttl),
        (ClaimRequest::new().ttl(43_201).limit(0), ttl),
        (ClaimRequest::new().limit(0).grace(0), limit),
        (ClaimRequest::new().limit(21), limit),
        (ClaimRequest::new().grace(59), grace),
        (ClaimRequest::new().grace(43_201), grace),
    ];
    for (request, text) in cases {
        let error = world.engine.claim_create(&key, request).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let id = ClaimId::random();
    let error = world.engine.claim_update(&key, id, Some(59), None).await.unwrap_err();
    assert_eq!(error.to_string(), ttl);
    let error = world.engine.claim_update(&key, id, None, Some(43_201)).await.unwrap_err();
    assert_eq!(error.to_string(), grace);
}

#[tokio::test]
async fn a_repeat_under_the_same_name_returns_the_same_messages() {
    let world = World::new();
    let key = queue("q");
    for body in ["1", "2"] {
        world.post(&key, body).await;
    }
    let request = ClaimRequest::new().id(ClaimId::random()).limit(1);
    let first = world.engine.claim_create(&key, request).await.unwrap().unwrap();
    let again = world.engine.claim_create(&key, request).await.unwrap().unwrap();
    assert_eq!(first, again);
}

#[tokio::test]
async fn renewal_sets_what_is_missing_to_the_defaults_and_release_frees_at_once() {
    let world = World::new();
    let (engine, key) = (&world.engine, queue("q"));
    world.post(&key, "1").await;
    let request = ClaimRequest::new().ttl(60).grace(60);
    let claimed = engine.claim_create(&key, request).await.unwrap().unwrap();
    engine.claim_update(&key, claimed.id, None, None).await.unwrap();
    let (claim, _) = engine.claim_get(&key, claimed.id).await.unwrap();
    assert_eq!(claim.ttl.as_secs(), 300);
    engine.claim_delete(&key, claimed.id).await.unwrap();
    engine.claim_delete(&key, claimed.id).await.unwrap();
    let again = engine.claim_create(&key, request).await.unwrap().unwrap();
    assert_eq!(again.messages[0].claim_count, 2);
}

#[tokio::test]
async fn claims_of_a_missing_queue_are_not_found_and_their_release_is_silent() {
    let world = World::new();
    let (engine, key, id) = (&world.engine, queue("q"), ClaimId::random());
    let is_missing =
        |error: &EngineError| matches!(error, EngineError::Store(Error::ClaimNotFound { .. }));
    assert!(is_missing(&engine.claim_get(&key, id).await.unwrap_err()));
    assert!(is_missing(&engine.claim_update(&key, id, None, None).await.unwrap_err()));
    engine.claim_delete(&key, id).await.unwrap();
}

#[tokio::test]
async fn topics_have_no_claims() {
    let world = World::new();
    world.post(&topic("t"), "1").await;
    let error = world.engine.claim_create(&topic("t"), ClaimRequest::new()).await.unwrap_err();
    assert_eq!(error.class(), ErrorClass::Unsupported);
}
