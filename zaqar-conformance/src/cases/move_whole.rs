//! Moves of queues from end to end, between the driver and the reference driver, both ways (G17).

use std::sync::Arc;

use zaqar_core::{
    ClaimId, Clock, Created, DataDriver, DeadLetterOrigin, DeliveryOutcome, Error, LeaseDeliveries,
    LeaseId, Message, MessageMarker, MoveRecord, MovedMessage, NewSubscription, PostMessages,
    QueueRef,
};

use super::idempotency::key;
use super::support::{everything, gc, ids, limit, needs, nth, only, pick, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;
use crate::reference::ReferenceStore;

cases! {
    queue_moves_out_and_in = "move.whole.out_and_in" {
        level: Extended(LiveMove),
        guarantees: [G5, G8, G9, G17],
        methods: ["move_begin", "move_open", "move_freeze", "move_insert", "move_remove", "move_reveal", "move_leave"],
        summary: "A queue with claimed, delayed, dead-letter and free messages is the same after a move out and after one in.",
    }
    every_step_may_be_repeated = "move.crash.every_step_repeats" {
        level: Extended(LiveMove),
        guarantees: [G4, G16, G17],
        methods: ["move_open", "move_freeze", "move_insert", "move_remove", "move_reveal"],
        summary: "A move of which every call is made twice, and every earlier one again later, moves each message once.",
    }
    records_move = "move.records.keys_and_arrivals" {
        level: Extended(LiveMove),
        guarantees: [G3, G10, G17],
        methods: ["move_records", "move_insert_records", "message_post", "message_insert_moved", "message_origins"],
        summary: "A moved head knows its keys and arrivals still, and after they moved so does the target.",
    }
    given_up_later_comes_after = "move.records.given_up_later" {
        level: Extended(LiveMove),
        guarantees: [G13, G17],
        methods: ["move_records", "delivery_complete"],
        summary: "What is given up after a walk over the records comes after its marker.",
    }
    queue_comes_back = "move.back.under_a_higher_epoch" {
        level: Extended(LiveMove),
        guarantees: [G4, G11, G17],
        methods: ["move_leave", "move_open", "gc"],
        summary: "A queue that left comes back under a higher epoch only, shows nothing of its past, and goes on counting.",
    }
    left_head_stays_closed = "move.close.left_head_stays_closed" {
        level: Extended(LiveMove),
        guarantees: [G11, G17],
        methods: ["head_close", "move_leave", "move_open", "head_open"],
        summary: "A queue that is deleted comes back under no epoch to a store that it had left, collected or not.",
    }
}

/// Another store at the same time.
pub(super) fn reference(ctx: &Context) -> Arc<dyn DataDriver> {
    let clock: Arc<dyn Clock> = Arc::<zaqar_core::ManualClock>::clone(&ctx.clock);
    Arc::new(ReferenceStore::new().data(clock))
}

pub(super) async fn all(data: &dyn DataDriver, queue: &QueueRef) -> Result<Vec<Message>, Failure> {
    let options = everything().limit(limit(1_000)?);
    Ok(data.messages().message_list(queue, options).await?.items)
}

/// How often each call is made.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calls {
    Once,
    Twice,
}

/// Moves a queue under the epoch of its reference, in parts of `n`, each call made once.
pub(super) async fn move_all_once(
    stores: (&dyn DataDriver, &dyn DataDriver),
    queue: &QueueRef,
    n: u32,
) -> CaseResult {
    move_all(stores, queue, n, Calls::Once).await
}

/// Moves a queue under the epoch of its reference, in parts of `n`, until nothing can be moved.
async fn move_all(
    (from, to): (&dyn DataDriver, &dyn DataDriver),
    queue: &QueueRef,
    n: u32,
    calls: Calls,
) -> CaseResult {
    let times = if calls == Calls::Twice { 2 } else { 1 };
    let mut opening = None;
    for _ in 0..times {
        from.heads().head_move(queue, queue.epoch).await?;
        let begun = from.moves().move_begin(queue).await?;
        check!(to.moves().move_open(queue, &begun).await?, "the target is not ready");
        opening = Some(begun);
    }
    let mut earlier = Vec::new();
    loop {
        let mut part = from.moves().move_freeze(queue, limit(n)?).await?;
        if part.is_empty() {
            break;
        }
        for _ in 0..times {
            part = from.moves().move_freeze(queue, limit(n)?).await?;
            to.moves().move_insert(queue, &part).await?;
        }
        check_eq!(to.moves().move_part(queue).await?, part, "the part at the target");
        for _ in 0..times {
            from.moves().move_remove(queue, part.from).await?;
            to.moves().move_reveal(queue, part.from).await?;
        }
        earlier.push(part);
        if calls == Calls::Twice {
            for part in &earlier {
                to.moves().move_insert(queue, part).await?;
                from.moves().move_remove(queue, part.from).await?;
                to.moves().move_reveal(queue, part.from).await?;
            }
            if let Some(opening) = &opening {
                to.moves().move_open(queue, opening).await?;
            }
        }
    }
    Ok(())
}

/// A message of a queue `elsewhere`, put into this one as a dead letter.
async fn dead_letter(
    ctx: &Context,
    queue: &QueueRef,
    elsewhere: &QueueRef,
) -> Result<(MovedMessage, MessageMarker), Failure> {
    let message = MovedMessage {
        id: zaqar_core::MessageId::new(elsewhere.incarnation, 3)?,
        body: Context::body(77),
        ttl: span(3_000),
        claim_count: 4,
        posted_at: ctx.clock.now(),
        checksum: None,
        source: elsewhere.key.name.clone(),
        last_claim: Some(ClaimId::random()),
    };
    match ctx.data.messages().message_insert_moved(queue, message.clone()).await? {
        Created::New(marker) => Ok((message, marker)),
        Created::Existing(marker) => Err(Failure::broken(format!("it is at {marker} already"))),
    }
}

async fn queue_moves_out_and_in(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Claims)?;
    needs(ctx, zaqar_core::Capability::Delay)?;
    needs(ctx, zaqar_core::Capability::DeadLetter)?;
    let queue = ctx.queue("moving").await?;
    let posted = ctx.post_n(&queue, 11, 3_000).await?;
    let elsewhere = ctx.queue("elsewhere").await?;
    let (letter, _) = dead_letter(ctx, &queue, &elsewhere).await?;
    let origin = Some(DeadLetterOrigin::of(&letter, ctx.clock.now()));
    ctx.post(&queue, vec![Context::message(50, 3_000).delay(span(100))]).await?;
    let (claim, taken) = ctx.claim(&queue, 200, 0, 5).await?;
    check_eq!(ids(&taken), pick(&posted, [0, 1, 2, 3, 4])?, "what is claimed");
    ctx.data.messages().message_delete(&queue, *nth(&posted, 7)?, None).await?;
    let before = ctx.list_all(&queue).await?;
    check_eq!(before.len(), 12, "messages before the move");

    let other = reference(ctx);
    let out = queue.at_epoch(1);
    move_all((&*ctx.data, &*other), &out, 4, Calls::Once).await?;
    carry_records((&*ctx.data, &*other), &out, 1).await?;
    check_eq!(all(&*other, &out).await?, before, "the queue after its move out");
    check!(ctx.data.moves().move_leave(&out).await?, "the source is not empty");
    check_eq!(ids(&other.claims().claim_get(&out, claim).await?.1), ids(&taken), "the claim there");
    gc(ctx, 0).await?;
    let new =
        other.messages().message_post(&out, vec![Context::message(9, 3_000)], PostMessages::new());
    let new = new.await?.ids;

    let back = queue.at_epoch(2);
    move_all((&*other, &*ctx.data), &back, 5, Calls::Once).await?;
    carry_records((&*other, &*ctx.data), &back, 1).await?;
    check!(other.moves().move_leave(&back).await?, "the other store is not empty");
    let after = ctx.list_all(&back).await?;
    check_eq!(after.get(..12), Some(&*before), "the queue after its move back");
    check_eq!(ids(&after).get(12..), Some(&*new), "what was posted on the way");
    let messages = ctx.data.messages();
    check_eq!(messages.message_get(&back, letter.id).await?.body, letter.body, "the dead letter");
    let told = messages.message_origins(&back, &[letter.id]).await?;
    check_eq!(told.first(), Some(&origin), "where the dead letter came from");
    messages.message_delete(&back, *nth(&posted, 1)?, Some(claim)).await?;
    ctx.advance(200).await?;
    let wanted: Vec<_> = ids(&after).into_iter().filter(|id| Some(id) != posted.get(1)).collect();
    check_eq!(ids(&ctx.drain(&back).await?), wanted, "all that can be had in the end, in order");
    Ok(())
}

async fn every_step_may_be_repeated(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("repeated").await?;
    ctx.post_n(&queue, 7, 3_000).await?;
    let before = ctx.list_all(&queue).await?;
    let other = reference(ctx);
    let out = queue.at_epoch(1);
    move_all((&*ctx.data, &*other), &out, 3, Calls::Twice).await?;
    check_eq!(all(&*other, &out).await?, before, "the queue after its move out");
    check!(ctx.list_all(&out).await?.is_empty(), "the source holds something");
    check!(ctx.data.moves().move_leave(&out).await?, "the source is not left");
    gc(ctx, 0).await?;
    let back = queue.at_epoch(2);
    move_all((&*other, &*ctx.data), &back, 2, Calls::Twice).await?;
    check_eq!(ctx.list_all(&back).await?, before, "the queue after its move back");
    check_eq!(ctx.data.messages().message_pop(&back, limit(50)?).await?.len(), 7, "what is left");
    let stale = other.moves().move_remove(&out, 1).await;
    expect_err(stale, |e| matches!(e, Error::QueueMoved { .. }), "a call of the first move")?;
    check!(ctx.list_all(&back).await?.is_empty(), "a drained queue shows something");
    Ok(())
}

async fn records_move(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::DeadLetter)?;
    let queue = ctx.queue("recorded").await?;
    let batch = || vec![Context::message(0, 3_000), Context::message(1, 3_000)];
    let keyed = |digest: u8| Ok::<_, Failure>(PostMessages::new().key(key("k", digest, 6_000)?));
    let posted = ctx.data.messages().message_post(&queue, batch(), keyed(1)?).await?;
    let elsewhere = ctx.queue("elsewhere").await?;
    let (letter, marker) = dead_letter(ctx, &queue, &elsewhere).await?;
    let origin = Some(DeadLetterOrigin::of(&letter, ctx.clock.now()));
    ctx.advance(5).await?;
    ctx.drain(&queue).await?;
    let out = queue.at_epoch(1);
    let moved = ctx.data.heads().head_move(&out, 1).await?;
    let conflict = |error: &Error| matches!(error, Error::IdempotencyConflict);
    let other = reference(ctx);
    let opening = zaqar_core::MoveOpening { start: moved.sequence_next, subscriptions: vec![] };
    other.moves().move_open(&out, &opening).await?;
    for _ in 0..2 {
        carry_records((&*ctx.data, &*other), &out, 2).await?;
    }
    let back = queue.at_epoch(2);
    for (data, queue) in [(&*ctx.data, &out), (&*other, &out), (&*ctx.data, &back)] {
        if queue.epoch == 2 {
            check!(ctx.data.moves().move_leave(&out).await?, "the source is not empty");
            gc(ctx, 0).await?;
            move_all((&*other, data), queue, 5, Calls::Once).await?;
            carry_records((&*other, data), queue, 2).await?;
        }
        let again = data.messages().message_post(queue, batch(), keyed(1)?).await?;
        check_eq!((&again.ids, again.repeated), (&posted.ids, true), "a post under the key");
        let other_digest = data.messages().message_post(queue, batch(), keyed(2)?).await;
        expect_err(other_digest, conflict, "another post under the key")?;
        let arrival = data.messages().message_insert_moved(queue, letter.clone()).await?;
        check_eq!(arrival, Created::Existing(marker), "the dead letter, again");
        let told = data.messages().message_origins(queue, &[letter.id]).await?;
        check_eq!(told.first(), Some(&origin), "where the dead letter came from");
        check!(all(data, queue).await?.is_empty(), "a repeat stored something");
    }
    Ok(())
}

async fn given_up_later_comes_after(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Subscriptions)?;
    let queue = ctx.queue("given_up").await?;
    let new = NewSubscription::new("http://a.example/", span(6_000));
    ctx.data.subscriptions().subscription_create(&queue, new).await?;
    let keyed = PostMessages::new().key(key("z", 1, 6_000)?);
    let batch = vec![Context::message(0, 3_000), Context::message(1, 3_000)];
    let posted = ctx.data.messages().message_post(&queue, batch, keyed).await?.ids;
    let queue = queue.at_epoch(1);
    ctx.data.heads().head_move(&queue, 1).await?;
    let mut marker = None::<String>;
    for wanted in [None, Some(*nth(&posted, 0)?), Some(*nth(&posted, 1)?)] {
        if wanted.is_some() {
            give_one_up(ctx).await?;
        }
        let page = ctx.data.moves().move_records(&queue, marker.as_deref(), limit(100)?).await?;
        let given_up = |record: &MoveRecord| match record {
            MoveRecord::Exhausted(record) => Some(record.message),
            _ => None,
        };
        let told: Vec<_> = page.items.iter().filter_map(given_up).collect();
        check_eq!(told, wanted.into_iter().collect::<Vec<_>>(), "what was given up since");
        check_eq!(page.items.len(), 1, "records behind the marker");
        marker = page.next;
        check!(marker.is_some(), "a page with a record has no marker");
    }
    Ok(())
}

/// Leases one delivery and gives it up.
async fn give_one_up(ctx: &Context) -> CaseResult {
    let lease = LeaseDeliveries::new(LeaseId::random(), span(60)).messages_max(limit(1)?);
    let leased = ctx.data.outbox().delivery_lease(lease).await?;
    let delivery = only(&leased)?;
    let reason = "given up".to_owned();
    let outcome = (only(&delivery.messages)?.id, DeliveryOutcome::Exhausted { reason });
    Ok(ctx.data.outbox().delivery_complete(delivery, &[outcome], true).await?)
}

/// Copies what a queue remembers, in pages of one.
async fn carry_records(
    (from, to): (&dyn DataDriver, &dyn DataDriver),
    queue: &QueueRef,
    count: usize,
) -> CaseResult {
    let (mut marker, mut carried) = (None::<String>, Vec::new());
    loop {
        let page = from.moves().move_records(queue, marker.as_deref(), limit(1)?).await?;
        if page.items.is_empty() {
            break;
        }
        carried.push(only(&page.items)?.clone());
        to.moves().move_insert_records(queue, &page.items).await?;
        marker = page.next;
    }
    check_eq!(carried.len(), count, "records, which are {carried:?}");
    Ok(())
}

async fn queue_comes_back(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("back").await?;
    ctx.post_n(&queue, 3, 60).await?;
    // What expired, or was purged, does not hold the queue up, and is not there when it comes back.
    ctx.advance(60).await?;
    ctx.post_n(&queue, 2, 3_000).await?;
    ctx.data.messages().message_purge(&queue).await?;
    let out = queue.at_epoch(1);
    let start = ctx.data.heads().head_move(&out, 1).await?.sequence_next;
    check!(ctx.data.moves().move_leave(&out).await?, "the source is not left");
    let opening = zaqar_core::MoveOpening { start: start + 10, subscriptions: Vec::new() };
    let moves = ctx.data.moves();
    for epoch in [0, 1] {
        let early = moves.move_open(&queue.at_epoch(epoch), &opening).await;
        expect_err(early, |e| matches!(e, Error::QueueMoved { .. }), "coming back too early")?;
    }
    let back = queue.at_epoch(2);
    let mut ready = moves.move_open(&back, &opening).await?;
    for _ in 0..10 {
        if ready {
            break;
        }
        ctx.advance(1_000).await?;
        gc(ctx, 300).await?;
        ready = moves.move_open(&back, &opening).await?;
    }
    check!(ready, "what the queue left behind is never collected");
    check!(ctx.list_all(&back).await?.is_empty(), "a queue that came back shows its past");
    let posted = ctx.post_n(&back, 1, 300).await?;
    check_eq!(only(&posted)?.sequence(), start + 10, "its next position");
    ctx.advance(100_000).await?;
    gc(ctx, 0).await?;
    let later = ctx.post_n(&back, 1, 300).await?;
    check_eq!(ids(&ctx.list_all(&back).await?), later, "the queue, after collections");
    ctx.data.heads().head_close(&back).await?;
    let closed = moves.move_open(&queue.at_epoch(3), &opening).await;
    expect_err(closed, super::support::is_gone, "opening a queue that was deleted")?;
    Ok(())
}

async fn left_head_stays_closed(ctx: &Context) -> CaseResult {
    let (heads, moves) = (ctx.data.heads(), ctx.data.moves());
    for (name, collected) in [("left", false), ("collected", true)] {
        let queue = ctx.queue(name).await?;
        ctx.post_n(&queue, 2, 60).await?;
        ctx.advance(60).await?;
        let out = queue.at_epoch(1);
        let start = heads.head_move(&out, 1).await?.sequence_next;
        check!(moves.move_leave(&out).await?, "the source is not left");
        if collected {
            ctx.advance(100_000).await?;
            gc(ctx, 300).await?;
        }
        // Whoever deletes the queue may know of a later move, and may have to repeat.
        heads.head_close(&queue.at_epoch(2)).await?;
        heads.head_close(&queue.at_epoch(2)).await?;
        let opening = zaqar_core::MoveOpening { start, subscriptions: Vec::new() };
        for epoch in [2, 3] {
            let late = moves.move_open(&queue.at_epoch(epoch), &opening).await;
            expect_err(late, super::support::is_gone, "opening what was deleted")?;
        }
        let anew = heads.head_open(&queue).await;
        expect_err(anew, super::support::is_gone, "opening the head of a queue that was deleted")?;
    }
    Ok(())
}
