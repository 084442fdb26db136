//! Dead letters: moved before the claim answers, and by whoever comes next if that fails (G10).

use serde_json::{Value, json};
use zaqar_core::{DataDriver, ListMessages, Message, QueueKey};
use zaqar_engine::{ClaimRequest, ClaimedMessages};

use crate::world::{World, object, queue};

/// A queue whose messages move to `dead` after `claims` claims.
async fn source(world: &World, claims: u64, more: Value) -> QueueKey {
    let mut metadata = object(json!({"_max_claim_count": claims, "_dead_letter_queue": "dead"}));
    metadata.extend(object(more));
    world.engine.queue_create(&queue("q"), metadata).await.unwrap();
    queue("q")
}

/// Claims, and lets the claim run out.
async fn claim_and_lose(world: &World, key: &QueueKey) -> Option<ClaimedMessages> {
    let request = ClaimRequest::new().ttl(60);
    let claimed = world.engine.claim_create(key, request).await.unwrap();
    world.pass_s(60);
    claimed
}

async fn all(world: &World, key: &QueueKey) -> Vec<Message> {
    let options = ListMessages::new().include_claimed(true);
    world.engine.message_list(key, options).await.unwrap().items
}

#[tokio::test]
async fn after_its_claims_a_message_is_in_the_dead_letter_queue_and_free_there() {
    let world = World::new();
    let key = source(&world, 2, json!({"_dead_letter_queue_messages_ttl": 500})).await;
    let id = world.post(&key, "\"poison\"").await;
    for count in [1, 2] {
        let claimed = claim_and_lose(&world, &key).await.unwrap();
        assert_eq!(claimed.messages[0].claim_count, count);
    }
    assert_eq!(claim_and_lose(&world, &key).await, None);

    assert_eq!(all(&world, &key).await, []);
    let dead = all(&world, &queue("dead")).await;
    assert_eq!(dead.len(), 1);
    let (found, ttl) = (&dead[0], dead[0].ttl.as_secs());
    assert_eq!((found.id, found.body.as_str(), found.claim, ttl), (id, "\"poison\"", None, 500));
    assert!(
        world.engine.claim_create(&queue("dead"), ClaimRequest::new()).await.unwrap().is_some()
    );
    assert_eq!(world.engine.outbox_backlog().await.unwrap().transfers, 0);
}

#[tokio::test]
async fn other_messages_are_claimed_in_place_of_those_that_move() {
    let world = World::new();
    let key = source(&world, 1, json!({})).await;
    world.post(&key, "1").await;
    claim_and_lose(&world, &key).await.unwrap();
    world.post(&key, "2").await;
    let claimed = claim_and_lose(&world, &key).await.unwrap();
    assert_eq!(claimed.messages[0].body.as_str(), "2");
    assert_eq!(all(&world, &queue("dead")).await[0].body.as_str(), "1");
}

#[tokio::test]
async fn without_a_life_of_its_own_a_dead_letter_gets_its_new_queues_default() {
    let world = World::new();
    let key = source(&world, 1, json!({})).await;
    let metadata = object(json!({"_default_message_ttl": 700}));
    world.engine.queue_create(&queue("dead"), metadata).await.unwrap();
    world.post(&key, "1").await;
    claim_and_lose(&world, &key).await.unwrap();
    assert_eq!(claim_and_lose(&world, &key).await, None);
    assert_eq!(all(&world, &queue("dead")).await[0].ttl.as_secs(), 700);
    // Counted from its arrival: 60 seconds ago, when the claim was tried.
    world.pass_s(639);
    assert_eq!(all(&world, &queue("dead")).await.len(), 1);
    world.pass_s(1);
    assert_eq!(all(&world, &queue("dead")).await, []);
}

#[tokio::test]
async fn a_queue_named_as_its_own_dead_letter_queue_keeps_its_messages() {
    let world = World::new();
    let metadata = object(json!({"_max_claim_count": 1, "_dead_letter_queue": "q"}));
    assert!(world.engine.queue_create(&queue("q"), metadata).await.is_err());
}

#[tokio::test]
async fn a_move_cut_short_before_the_target_has_it_is_finished_later_and_nothing_is_lost() {
    let world = World::new();
    let key = source(&world, 1, json!({})).await;
    let id = world.post(&key, "1").await;
    claim_and_lose(&world, &key).await.unwrap();
    world.script.fail_before("message_insert_moved");
    assert_eq!(claim_and_lose(&world, &key).await, None);
    let parked = world.engine.message_get(&key, id).await.unwrap();
    assert_eq!(parked.body.as_str(), "1", "it is still where it was");

    // The lease of the failed attempt is over by now.
    let report = world.engine.finish_interrupted().await.unwrap();
    assert_eq!((report.transfers, report.failed), (1, 0));
    assert_eq!(all(&world, &key).await, []);
    assert_eq!(all(&world, &queue("dead")).await[0].id, id);
}

#[tokio::test]
async fn a_move_cut_short_after_the_target_has_it_leaves_one_message_in_the_end() {
    for lost in ["message_insert_moved", "transfer_complete"] {
        let world = World::new();
        let key = source(&world, 1, json!({})).await;
        let id = world.post(&key, "1").await;
        claim_and_lose(&world, &key).await.unwrap();
        match lost {
            "transfer_complete" => world.script.fail_before(lost),
            answer => world.script.fail_after(answer),
        }
        assert_eq!(claim_and_lose(&world, &key).await, None);
        assert_eq!(all(&world, &queue("dead")).await.len(), 1);
        assert!(world.engine.message_get(&key, id).await.is_ok(), "a short double is allowed");

        assert_eq!(world.engine.finish_interrupted().await.unwrap().transfers, 1);
        assert_eq!(all(&world, &key).await, [], "{lost}");
        assert_eq!(all(&world, &queue("dead")).await.len(), 1, "{lost}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_has_its_claim_released_and_the_dead_letters_moved() {
    let world = World::new();
    let key = source(&world, 1, json!({})).await;
    world.post(&key, "1").await;
    claim_and_lose(&world, &key).await.unwrap();
    world.post(&key, "2").await;

    let gate = world.script.hold("transfer_lease");
    let caller = tokio::spawn({
        let (engine, key) = (world.engine.clone(), key.clone());
        async move { engine.claim_create(&key, ClaimRequest::new()).await }
    });
    world.script.reached("transfer_lease", 1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    gate.open();
    world.script.reached("claim_delete", 1).await;
    world.engine.shutdown().await;

    let data = world.data();
    assert_eq!(data.outbox().outbox_backlog().await.unwrap().transfers, 0);
    assert_eq!(data.volume().await.unwrap().claimed, 0);
    assert_eq!(data.volume().await.unwrap().free, 2);
}

#[tokio::test]
async fn dead_letters_find_a_target_that_was_deleted_and_made_again() {
    let world = World::new();
    let key = source(&world, 1, json!({})).await;
    world.engine.queue_create(&queue("dead"), object(json!({}))).await.unwrap();
    world.post(&key, "1").await;
    claim_and_lose(&world, &key).await.unwrap();
    // The route to the target is cached here and goes stale there.
    world.engine.message_list(&queue("dead"), ListMessages::new()).await.unwrap();
    let (neighbour, _) = world.neighbour();
    neighbour.queue_delete(&queue("dead")).await.unwrap();
    assert_eq!(claim_and_lose(&world, &key).await, None);
    assert_eq!(all(&world, &queue("dead")).await.len(), 1);
}
