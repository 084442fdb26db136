//! Redrive: dead letters go back, once each, wherever a call is cut short (G3, G10).

use serde_json::json;
use zaqar_core::{ListMessages, Message, MessageId, QueueKey, QueueName};
use zaqar_engine::{
    ClaimRequest, DeadLetter, EngineResult, LeftReason, RedriveReport, RedriveRequest,
};

use crate::world::{World, object, queue};

/// The life of messages, wherever they are: longer than an idempotency key of a client.
const LIFE_S: u64 = 1_000_000;

fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

/// Posts `bodies` to a queue whose messages die after one claim, and lets them die into `dead`.
async fn die(world: &World, source: &str, bodies: &[&str]) -> Vec<MessageId> {
    let key = queue(source);
    let metadata = json!({
        "_max_claim_count": 1,
        "_dead_letter_queue": "dead",
        "_dead_letter_queue_messages_ttl": LIFE_S,
        "_default_message_ttl": LIFE_S,
    });
    world.engine.queue_create(&key, object(metadata)).await.unwrap();
    let mut ids = Vec::new();
    for body in bodies {
        ids.push(world.post(&key, body).await);
    }
    for _ in 0..2 {
        world.engine.claim_create(&key, ClaimRequest::new().ttl(60)).await.unwrap();
        world.pass_s(60);
    }
    ids
}

async fn all(world: &World, key: &QueueKey) -> Vec<Message> {
    let options = ListMessages::new().include_claimed(true);
    world.engine.message_list(key, options).await.unwrap().items
}

async fn bodies(world: &World, name: &str) -> Vec<String> {
    all(world, &queue(name)).await.iter().map(|message| message.body.as_str().to_owned()).collect()
}

async fn letters(world: &World) -> Vec<DeadLetter> {
    let options = ListMessages::new().include_claimed(true);
    world.engine.dead_letter_list(&queue("dead"), options).await.unwrap().items
}

async fn redrive(world: &World, request: RedriveRequest) -> EngineResult<RedriveReport> {
    let slice = world.engine.redrive_find(&queue("dead"), request).await?;
    world.engine.redrive_carry_out(&queue("dead"), slice).await
}

/// Repeats a redrive with the markers that it answers, until it has ended.
async fn redrive_all(world: &World) -> u64 {
    let (mut request, mut redriven) = (RedriveRequest::default(), 0);
    for _ in 0..100 {
        let report = redrive(world, request.clone()).await.unwrap();
        redriven += report.redriven;
        request.marker = report.next;
        if report.next.is_none() {
            return redriven;
        }
    }
    panic!("a redrive never ends");
}

#[tokio::test]
async fn a_dead_letter_tells_its_origin_count_last_claim_and_when_it_died() {
    let world = World::new();
    let key = queue("q");
    let metadata = json!({"_max_claim_count": 2, "_dead_letter_queue": "dead"});
    world.engine.queue_create(&key, object(metadata)).await.unwrap();
    let id = world.post(&key, "1").await;
    let mut last = None;
    for _ in 0..3 {
        let claimed = world.engine.claim_create(&key, ClaimRequest::new().ttl(60)).await.unwrap();
        last = claimed.map(|claimed| claimed.id).or(last);
        world.pass_s(60);
    }
    world.post(&queue("dead"), "2").await;
    let letters = letters(&world).await;
    assert_eq!(letters.len(), 2);
    let origin = letters[0].origin.clone().unwrap();
    assert_eq!((letters[0].message.id, origin.queue, origin.claim_count), (id, name("q"), 2));
    assert_eq!((origin.last_claim, last.is_some()), (last, true));
    let died_at = origin.died_at;
    assert_eq!(zaqar_core::Clock::now(&*world.clock).seconds_since(died_at), 60);
    assert_eq!(letters[1].origin, None, "what was posted here came from nowhere");
}

#[tokio::test]
async fn dead_letters_go_back_to_where_they_came_from_and_live_anew() {
    let world = World::new();
    die(&world, "a", &["1", "2"]).await;
    die(&world, "b", &["3"]).await;
    world.post(&queue("dead"), "4").await;
    let report = redrive(&world, RedriveRequest::default()).await.unwrap();
    assert_eq!(report.redriven, 3);
    let kept = all(&world, &queue("dead")).await;
    assert_eq!(report.left, [(kept[0].id, LeftReason::OriginUnknown)]);
    assert_eq!(bodies(&world, "a").await, ["1", "2"]);
    assert_eq!(bodies(&world, "b").await, ["3"]);
    let fresh = all(&world, &queue("a")).await;
    assert_eq!((fresh[0].claim_count, fresh[0].ttl.as_secs()), (0, LIFE_S));
    let mut request = RedriveRequest::default();
    request.marker = report.next;
    let end = redrive(&world, request).await.unwrap();
    assert_eq!(end, RedriveReport::default());
}

#[tokio::test]
async fn only_what_is_asked_for_goes_and_a_named_queue_takes_anything() {
    let world = World::new();
    let ids = die(&world, "a", &["1", "2", "3"]).await;
    die(&world, "b", &["4"]).await;
    let mut request = RedriveRequest::default();
    request.ids = Some(vec![ids[2], ids[0], MessageId::new(ids[0].incarnation(), 99).unwrap()]);
    request.ttl = Some(700);
    assert_eq!(redrive(&world, request.clone()).await.unwrap().redriven, 2);
    assert_eq!(bodies(&world, "a").await, ["1", "3"]);
    assert_eq!(all(&world, &queue("a")).await[0].ttl.as_secs(), 700);
    assert_eq!(redrive(&world, request).await.unwrap(), RedriveReport::default(), "a repeat");

    let mut request = RedriveRequest::default();
    request.origin = Some(name("b"));
    assert_eq!(redrive(&world, request).await.unwrap().redriven, 1);
    assert_eq!(bodies(&world, "dead").await, ["2"]);

    world.post(&queue("dead"), "5").await;
    let mut request = RedriveRequest::default();
    request.to = Some(name("elsewhere"));
    assert_eq!(redrive(&world, request).await.unwrap().redriven, 2);
    assert_eq!(bodies(&world, "elsewhere").await, ["2", "5"]);
    assert_eq!(all(&world, &queue("dead")).await, []);
}

#[tokio::test]
async fn what_cannot_go_is_left_and_named_with_the_reason() {
    let world = World::new();
    let gone = die(&world, "gone", &["11"]).await;
    let held = die(&world, "a", &["22"]).await;
    world.engine.queue_delete(&queue("gone")).await.unwrap();
    let request = ClaimRequest::new().ttl(600).limit(1);
    let claimed = world.engine.claim_create(&queue("dead"), request).await.unwrap().unwrap();
    assert_eq!(claimed.messages[0].id, gone[0]);
    let report = redrive(&world, RedriveRequest::default()).await.unwrap();
    assert_eq!((report.redriven, report.left), (1, vec![(gone[0], LeftReason::Claimed)]));
    world.pass_s(600);
    let mut request = RedriveRequest::default();
    request.ids = Some([gone.clone(), held].concat());
    let report = redrive(&world, request.clone()).await.unwrap();
    assert_eq!((report.redriven, report.left), (0, vec![(gone[0], LeftReason::OriginGone)]));
    assert!(!world.engine.queue_exists(&queue("gone")).await.unwrap(), "it was made again");

    let small = object(json!({"_max_messages_post_size": 1}));
    world.engine.queue_create(&queue("small"), small).await.unwrap();
    request.to = Some(name("small"));
    let report = redrive(&world, request.clone()).await.unwrap();
    assert_eq!((report.redriven, report.left), (0, vec![(gone[0], LeftReason::TooLarge)]));
    request.to = Some(name("dead"));
    assert!(redrive(&world, request).await.is_err(), "a queue was redriven into itself");
    assert_eq!(bodies(&world, "dead").await, ["11"]);
}

#[tokio::test]
async fn a_call_that_is_cut_short_at_any_step_loses_nothing_and_stores_nothing_twice() {
    for step in ["message_list", "message_origins", "message_post", "message_delete"] {
        for answered in [false, true] {
            let world = World::new();
            die(&world, "a", &["1", "2", "3"]).await;
            match answered {
                true => world.script.fail_after(step),
                false => world.script.fail_before(step),
            }
            assert!(redrive(&world, RedriveRequest::default()).await.is_err(), "{step}");
            // Another process, long after the keys of clients are forgotten.
            world.pass_s(100_000);
            let expected = if answered && step == "message_delete" { 2 } else { 3 };
            assert_eq!(redrive_all(&world).await, expected, "{step}, {answered}");
            assert_eq!(bodies(&world, "a").await, ["1", "2", "3"], "{step}, {answered}");
            assert_eq!(bodies(&world, "dead").await, Vec::<String>::new(), "{step}, {answered}");
        }
    }
}

#[tokio::test]
async fn a_slice_that_meets_a_failure_answers_what_was_done_and_goes_on_there() {
    let world = World::new();
    die(&world, "a", &["1", "2", "3"]).await;
    let slice = world.engine.redrive_find(&queue("dead"), RedriveRequest::default()).await.unwrap();
    let letters = letters(&world).await;
    let gate = world.script.hold_after("message_delete");
    let (engine, dead) = (world.engine.clone(), queue("dead"));
    let carried = tokio::spawn(async move { engine.redrive_carry_out(&dead, slice).await });
    world.script.reached("message_delete", 1).await;
    world.script.fail_after("message_post");
    gate.open();
    let report = carried.await.unwrap().unwrap();
    assert_eq!((report.redriven, report.next), (1, Some(letters[0].message.marker)));
    assert_eq!(redrive_all(&world).await, 2);
    assert_eq!(bodies(&world, "a").await, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_consumer_that_is_faster_keeps_its_message() {
    let world = World::new();
    let ids = die(&world, "a", &["1"]).await;
    let slice = world.engine.redrive_find(&queue("dead"), RedriveRequest::default()).await.unwrap();
    let request = ClaimRequest::new().ttl(600);
    world.engine.claim_create(&queue("dead"), request).await.unwrap().unwrap();
    let report = world.engine.redrive_carry_out(&queue("dead"), slice).await.unwrap();
    assert_eq!((report.redriven, report.left), (0, vec![(ids[0], LeftReason::Claimed)]));
    assert_eq!(bodies(&world, "dead").await, ["1"]);
    world.pass_s(600);
    assert_eq!(redrive_all(&world).await, 1);
    assert_eq!(bodies(&world, "a").await, ["1"], "the copy of the first attempt is the only one");
}

#[tokio::test]
async fn a_slice_is_as_large_as_was_asked_and_no_larger_than_a_page() {
    let world = World::new();
    die(&world, "a", &["1", "2", "3"]).await;
    let mut request = RedriveRequest::default();
    request.limit = Some(2);
    let report = redrive(&world, request.clone()).await.unwrap();
    assert_eq!((report.redriven, report.next.is_some()), (2, true));
    for limit in [0, 21] {
        request.limit = Some(limit);
        assert!(redrive(&world, request.clone()).await.is_err(), "{limit}");
    }
    let mut request = RedriveRequest::default();
    for ids in
        [vec![], vec![MessageId::new(zaqar_core::Incarnation::new(1).unwrap(), 1).unwrap(); 21]]
    {
        request.ids = Some(ids);
        assert!(redrive(&world, request.clone()).await.is_err());
    }
    request.ids = None;
    request.ttl = Some(5);
    assert!(redrive(&world, request).await.is_err());
}
