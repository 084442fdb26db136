//! Moves of queues: the store that a queue moves into (G17).

use std::collections::HashSet;

use zaqar_core::moves::MOVE_SUBSCRIPTIONS_MAX;
use zaqar_core::{
    Clock, Error, LeaseDeliveries, LeaseId, MessageId, MoveOpening, MovePart, MovingHold,
    MovingMessage, NewSubscription, QueueRef, Subscription, SubscriptionId, Timestamp,
};

use super::move_source::is_moving;
use super::support::{ids, is_gone, limit, needs, nth, only, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    opened_head_takes_posts_from_there = "move.open.takes_posts_from_the_start" {
        level: Extended(LiveMove),
        guarantees: [G9, G17],
        methods: ["move_open", "message_post"],
        summary: "A head that is opened by a move gives out positions from its start on, to callers that know of the move alone.",
    }
    opening_brings_the_subscriptions = "move.open.brings_subscriptions" {
        level: Extended(LiveMove),
        guarantees: [G13, G17],
        methods: ["move_open", "subscription_list", "delivery_lease"],
        summary: "The subscriptions are there as they were, get what is posted from the start on, and new ones get other ids.",
    }
    begin_takes_over_no_more_than_one_step_can = "move.begin.subscriptions_max" {
        level: Extended(LiveMove),
        guarantees: [G13, G17],
        methods: ["move_begin", "move_open", "subscription_create"],
        summary: "A thousand subscriptions are told whole; with one more the queue is refused, rather than moved without it.",
    }
    opening_again_changes_nothing = "move.open.again" {
        level: Extended(LiveMove),
        guarantees: [G11, G17],
        methods: ["move_open", "head_close"],
        summary: "Opening again under the same epoch changes nothing, under a lower one is refused, and a closed head stays closed.",
    }
    arriving_messages_wait_frozen = "move.insert.frozen_until_revealed" {
        level: Extended(LiveMove),
        guarantees: [G5, G17],
        methods: ["move_insert", "move_part", "move_reveal", "message_list"],
        summary: "A part that arrived is shown in its place and to be had by nobody; revealed, it comes before what was posted here.",
    }
    arriving_claims_hold = "move.reveal.claims_hold" {
        level: Extended(LiveMove),
        guarantees: [G5, G6, G7],
        methods: ["move_insert", "claim_get", "claim_update", "claim_delete", "message_delete"],
        summary: "Claims hold what they held: they are read, renewed and released here, fence deletes, and end when they would have.",
    }
    arriving_lives_go_on = "move.reveal.lives_go_on" {
        level: Extended(LiveMove),
        guarantees: [G8, G17],
        methods: ["move_insert", "message_get", "claim_create"],
        summary: "Life, delay, producer, checksum and count are what they were; an expired message is not shown.",
    }
    part_arrives_once = "move.insert.once" {
        level: Extended(LiveMove),
        guarantees: [G4, G17],
        methods: ["move_insert", "message_delete"],
        summary: "A part that arrives again, whatever became of it, is not stored again; one that leaves a gap is refused.",
    }
    purged_part_stays_away = "move.insert.purged" {
        level: Extended(LiveMove),
        guarantees: [G4, G17],
        methods: ["message_purge", "move_insert"],
        summary: "What was purged before it arrived is left out, and what was purged while it was frozen is not revealed.",
    }
}

/// The position from which on the target of these cases takes posts.
const START: u64 = 100;

/// A message as it leaves another store.
fn moving(ctx: &Context, queue: &QueueRef, position: u64) -> Result<MovingMessage, Failure> {
    let now = ctx.clock.now();
    Ok(MovingMessage {
        id: MessageId::new(queue.incarnation, position)?,
        position,
        body: Context::body(usize::try_from(position).unwrap_or(0)),
        ttl: span(300),
        posted_at: now,
        expires_at: now.after(span(300)),
        delayed_until: None,
        client: None,
        checksum: None,
        claim_count: 0,
        hold: None,
    })
}

/// The part of these positions, up to `to`.
fn part(ctx: &Context, queue: &QueueRef, from: u64, to: u64) -> Result<MovePart, Failure> {
    let messages: Result<_, Failure> =
        (from..to).map(|position| moving(ctx, queue, position)).collect();
    Ok(MovePart { from, to, messages: messages? })
}

/// The target of a move under epoch 1.
async fn target(ctx: &Context, subscriptions: Vec<Subscription>) -> Result<QueueRef, Failure> {
    let queue = ctx.unopened("target").await?.at_epoch(1);
    let opening = MoveOpening { start: START, subscriptions };
    check!(ctx.data.moves().move_open(&queue, &opening).await?, "a fresh store is not ready");
    Ok(queue)
}

/// Inserts a part and reveals it.
async fn arrive(ctx: &Context, queue: &QueueRef, part: &MovePart) -> Result<(), Failure> {
    ctx.data.moves().move_insert(queue, part).await?;
    Ok(ctx.data.moves().move_reveal(queue, part.from).await?)
}

async fn opened_head_takes_posts_from_there(ctx: &Context) -> CaseResult {
    let queue = target(ctx, Vec::new()).await?;
    let posted = ctx.post_n(&queue, 2, 300).await?;
    let wanted =
        [MessageId::new(queue.incarnation, START)?, MessageId::new(queue.incarnation, START + 1)?];
    check_eq!(posted, wanted, "the first ids");
    let stale = super::support::try_post(ctx, &queue.at_epoch(0), 1).await;
    let moved = |error: &Error| matches!(error, Error::QueueMoved { epoch: 1, .. });
    expect_err(stale, moved, "a post by one who does not know of the move")?;
    check_eq!(ids(&ctx.list_all(&queue.at_epoch(2)).await?), posted, "to one who knows of more");
    let head = ctx.data.heads().head_get(&queue).await?;
    check_eq!(head.state, zaqar_core::HeadState::Open, "its state");
    check_eq!(head.sequence_next, START + 2, "its next position");
    Ok(())
}

/// A subscription as a move brings it, 40 of its 600 seconds old.
fn brought(
    ctx: &Context,
    queue: &QueueRef,
    number: u64,
    confirmed: bool,
) -> Result<Subscription, Failure> {
    Ok(Subscription {
        id: SubscriptionId::new(queue.incarnation, number)?,
        subscriber: format!("http://{number}.example/"),
        ttl: span(600),
        age_s: 40,
        expires_at: ctx.clock.now().after(span(560)),
        options: super::support::object(r#"{"exact": [1, 2.5]}"#)?,
        confirmed,
        needs_confirmation: true,
        since: 7,
        owner: None,
    })
}

async fn opening_brings_the_subscriptions(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Subscriptions)?;
    let queue = ctx.unopened("target").await?.at_epoch(1);
    ctx.advance(50).await?;
    let brought = vec![brought(ctx, &queue, 3, true)?, brought(ctx, &queue, 9, false)?];
    let opening = MoveOpening { start: START, subscriptions: brought.clone() };
    check!(ctx.data.moves().move_open(&queue, &opening).await?, "a fresh store is not ready");
    let subscriptions = ctx.data.subscriptions();
    let listed = subscriptions.subscription_list(&queue, None, limit(10)?).await?.items;
    check_eq!(listed, brought, "the subscriptions");
    check!(ctx.data.heads().head_get(&queue).await?.subscribed, "the head knows no subscriber");
    let posted = ctx.post_n(&queue, 2, 300).await?;
    let lease = LeaseDeliveries::new(LeaseId::random(), span(60));
    let leased = ctx.data.outbox().delivery_lease(lease).await?;
    let delivery = only(&leased)?;
    check_eq!(delivery.subscription.id, nth(&brought, 0)?.id, "who is delivered to");
    let delivered: Vec<_> = delivery.messages.iter().map(|message| message.id).collect();
    check_eq!(delivered, posted, "what is delivered");
    let new = NewSubscription::new("http://new.example/", span(600));
    let made = subscriptions.subscription_create(&queue, new).await?.into_inner();
    check!(brought.iter().all(|known| known.id != made.id), "an id was given out twice");
    ctx.advance(560).await?;
    let left = subscriptions.subscription_list(&queue, None, limit(10)?).await?.items;
    check_eq!(only(&left)?.id, made.id, "what is left when the brought ones are over");
    Ok(())
}

/// What a head tells that was brought `count` subscriptions, to which `more` are added.
async fn begin_with(
    ctx: &Context,
    name: &str,
    count: usize,
    more: usize,
) -> Result<zaqar_core::Result<MoveOpening>, Failure> {
    // Brought, they are there in one step: to make them one by one would take long.
    let queue = ctx.unopened(name).await?.at_epoch(1);
    let numbers = (1..).take(count);
    let subscriptions: Result<Vec<_>, Failure> =
        numbers.map(|number| brought(ctx, &queue, number, true)).collect();
    let opening = MoveOpening { start: START, subscriptions: subscriptions? };
    check!(ctx.data.moves().move_open(&queue, &opening).await?, "a fresh store is not ready");
    for number in 0..more {
        let new = NewSubscription::new(format!("http://more-{number}.example/"), span(600));
        ctx.data.subscriptions().subscription_create(&queue, new).await?;
    }
    ctx.data.heads().head_move(&queue, 2).await?;
    Ok(ctx.data.moves().move_begin(&queue.at_epoch(2)).await)
}

async fn begin_takes_over_no_more_than_one_step_can(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Subscriptions)?;
    let told = begin_with(ctx, "fits", MOVE_SUBSCRIPTIONS_MAX, 0).await??.subscriptions;
    let ids: HashSet<SubscriptionId> = told.iter().map(|subscription| subscription.id).collect();
    check_eq!(ids.len(), MOVE_SUBSCRIPTIONS_MAX, "subscriptions that are told of");
    let told = begin_with(ctx, "exceeds", MOVE_SUBSCRIPTIONS_MAX, 1).await?;
    let told = told.map(|opening| opening.subscriptions.len());
    expect_err(told, |e| matches!(e, Error::Invalid { .. }), "beginning with one too many")?;
    Ok(())
}

async fn opening_again_changes_nothing(ctx: &Context) -> CaseResult {
    let queue = target(ctx, Vec::new()).await?;
    let posted = ctx.post_n(&queue, 2, 300).await?;
    let moves = ctx.data.moves();
    let other = MoveOpening { start: START + 50, subscriptions: Vec::new() };
    check!(moves.move_open(&queue, &other).await?, "opening again is not ready");
    check_eq!(ctx.data.heads().head_get(&queue).await?.sequence_next, START + 2, "the position");
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the queue");
    let lower = moves.move_open(&queue.at_epoch(0), &other).await;
    expect_err(lower, |e| matches!(e, Error::QueueMoved { .. }), "opening under a lower epoch")?;
    ctx.data.heads().head_close(&queue).await?;
    for epoch in [1, 2] {
        let closed = moves.move_open(&queue.at_epoch(epoch), &other).await;
        expect_err(closed, is_gone, "opening a closed head")?;
    }
    Ok(())
}

async fn arriving_messages_wait_frozen(ctx: &Context) -> CaseResult {
    let queue = target(ctx, Vec::new()).await?;
    let posted = ctx.post_n(&queue, 2, 300).await?;
    let (moves, messages) = (ctx.data.moves(), ctx.data.messages());
    let part = part(ctx, &queue, 97, START)?;
    moves.move_insert(&queue, &part).await?;
    check_eq!(moves.move_part(&queue).await?, part, "the part, read back");
    check!(ctx.data.heads().head_get(&queue).await?.frozen, "the head does not say so");
    let arrived: Vec<MessageId> = part.messages.iter().map(|message| message.id).collect();
    let all = [arrived.clone(), posted].concat();
    let listed = ctx.list_free(&queue).await?;
    check_eq!(ids(&listed), all, "the default listing");
    check_eq!(nth(&listed, 0)?.body, nth(&part.messages, 0)?.body, "a body");
    let first = *nth(&arrived, 0)?;
    check_eq!(messages.message_get(&queue, first).await?.id, first, "a frozen message, read");
    expect_err(messages.message_delete(&queue, first, None).await, is_moving, "a delete")?;
    check!(messages.message_pop(&queue, limit(10)?).await?.is_empty(), "a pop overtakes");
    if ctx.has(zaqar_core::Capability::Claims) {
        check!(ctx.claim(&queue, 60, 0, 10).await?.1.is_empty(), "a claim overtakes the part");
    }
    for elsewhere in [96, 98, START] {
        moves.move_reveal(&queue, elsewhere).await?;
        expect_err(messages.message_delete(&queue, first, None).await, is_moving, "a delete")?;
    }
    moves.move_reveal(&queue, part.from).await?;
    check!(moves.move_part(&queue).await?.is_empty(), "something is frozen still");
    check!(!ctx.data.heads().head_get(&queue).await?.frozen, "the head says frozen still");
    let popped = messages.message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), all, "what pops take, in order");
    Ok(())
}

/// A part of two messages, the first under a claim that ends in a minute.
fn held_part(ctx: &Context, queue: &QueueRef) -> Result<(MovePart, MovingHold), Failure> {
    let now = ctx.clock.now();
    let claim = zaqar_core::ClaimId::random();
    let hold = MovingHold { claim, ttl: span(60), since: now, ends_at: now.after(span(60)) };
    let mut part = part(ctx, queue, 98, START)?;
    if let Some(first) = part.messages.first_mut() {
        (first.hold, first.claim_count) = (Some(hold), 3);
    }
    Ok((part, hold))
}

async fn arriving_claims_hold(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Claims)?;
    let queue = target(ctx, Vec::new()).await?;
    let (part, hold) = held_part(ctx, &queue)?;
    arrive(ctx, &queue, &part).await?;
    let (claims, messages) = (ctx.data.claims(), ctx.data.messages());
    let (first, second) = (nth(&part.messages, 0)?.id, nth(&part.messages, 1)?.id);
    ctx.advance(20).await?;
    let (claim, held) = claims.claim_get(&queue, hold.claim).await?;
    check_eq!((claim.ttl, claim.age_s, claim.ends_at), (span(60), 20, hold.ends_at), "the claim");
    check_eq!(ids(&held), vec![first], "what it holds");
    let (other, taken) = ctx.claim(&queue, 300, 0, 10).await?;
    check_eq!(ids(&taken), vec![second], "what another claim takes");
    let fenced = messages.message_delete(&queue, first, Some(other)).await;
    expect_err(fenced, super::support::is_fenced, "a delete under another claim")?;
    claims.claim_update(&queue, hold.claim, span(100), span(0)).await?;
    ctx.advance(99).await?;
    check!(ctx.claim(&queue, 60, 0, 10).await?.1.is_empty(), "a renewed claim does not hold");
    ctx.advance(1).await?;
    let (last, again) = ctx.claim(&queue, 60, 0, 10).await?;
    check_eq!(ids(&again), vec![first], "what is claimable when the claim is over");
    check_eq!(only(&again)?.claim_count, 4, "its count");
    claims.claim_delete(&queue, last).await?;
    let (last, _) = ctx.claim(&queue, 60, 0, 10).await?;
    messages.message_delete(&queue, first, Some(last)).await?;
    Ok(())
}

async fn arriving_lives_go_on(ctx: &Context) -> CaseResult {
    let queue = target(ctx, Vec::new()).await?;
    let now = ctx.clock.now();
    let client = zaqar_core::ClientId::new("3381af92-2b9e-11e3-b191-71861300734c")?;
    let mut part = part(ctx, &queue, 96, START)?;
    if let [dying, delayed, known, dead] = part.messages.as_mut_slice() {
        (dying.ttl, dying.expires_at) = (span(30), now.after(span(30)));
        delayed.delayed_until = Some(now.after(span(50)));
        (known.client, known.checksum) = (Some(client.clone()), Some("MD5:x".to_owned()));
        (known.claim_count, known.posted_at) = (2, Timestamp::from_millis(now.as_millis() - 9_000));
        (dead.ttl, dead.expires_at) = (span(1), now);
    }
    let [dying, delayed, known, dead] = part.messages.as_slice() else {
        return Err(Failure::broken("the part has not four messages"));
    };
    arrive(ctx, &queue, &part).await?;
    let messages = ctx.data.messages();
    let gone = messages.message_get(&queue, dead.id).await;
    expect_err(gone, super::support::is_no_message, "a message that expired on its way")?;
    let read = messages.message_get(&queue, known.id).await?;
    check_eq!((read.age_s, read.claim_count), (9, 2), "age and count");
    check_eq!((read.posted_at, read.checksum), (known.posted_at, known.checksum.clone()), "rest");
    let others = super::support::everything().hide_client(client);
    let seen = ctx.walk(&queue, others).await?;
    check_eq!(ids(&seen), vec![dying.id, delayed.id], "without that producer's");
    check_eq!(ids(&ctx.list_free(&queue).await?), vec![dying.id, known.id], "without delayed ones");
    ctx.advance(30).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), vec![delayed.id, known.id], "half a minute later");
    ctx.advance(20).await?;
    let popped = messages.message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), vec![delayed.id, known.id], "what can be had after the delay");
    Ok(())
}

async fn part_arrives_once(ctx: &Context) -> CaseResult {
    let queue = target(ctx, Vec::new()).await?;
    let moves = ctx.data.moves();
    let (newer, older) = (part(ctx, &queue, 98, START)?, part(ctx, &queue, 95, 98)?);
    let invalid = |error: &Error| matches!(error, Error::Invalid { .. });
    expect_err(moves.move_insert(&queue, &older).await, invalid, "a part before its turn")?;
    moves.move_insert(&queue, &newer).await?;
    moves.move_insert(&queue, &newer).await?;
    expect_err(moves.move_insert(&queue, &older).await, invalid, "a part upon a frozen one")?;
    moves.move_reveal(&queue, newer.from).await?;
    let all = ctx.data.messages().message_pop(&queue, limit(10)?).await?;
    check_eq!(all.len(), 2, "messages that arrived");
    moves.move_insert(&queue, &newer).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "a consumed part came back");
    arrive(ctx, &queue, &older).await?;
    moves.move_insert(&queue, &newer).await?;
    moves.move_insert(&queue, &older).await?;
    check_eq!(ctx.list_all(&queue).await?.len(), 3, "messages after late repeats");
    check!(moves.move_part(&queue).await?.is_empty(), "a late repeat froze something");
    Ok(())
}

async fn purged_part_stays_away(ctx: &Context) -> CaseResult {
    let queue = target(ctx, Vec::new()).await?;
    let messages = ctx.data.messages();
    let (newer, older) = (part(ctx, &queue, 98, START)?, part(ctx, &queue, 95, 98)?);
    ctx.data.moves().move_insert(&queue, &newer).await?;
    messages.message_purge(&queue).await?;
    ctx.data.moves().move_reveal(&queue, newer.from).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "a purged part is shown");
    arrive(ctx, &queue, &older).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "what was purged before it came is shown");
    check!(messages.message_pop(&queue, limit(10)?).await?.is_empty(), "it can be had");
    let posted = ctx.post_n(&queue, 1, 300).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "what is posted after the purge");
    // The purge ends right at the last message of the part.
    let queue = target(ctx, Vec::new()).await?;
    messages.message_purge(&queue).await?;
    arrive(ctx, &queue, &part(ctx, &queue, 98, START)?).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "something purged before any arrived is shown");
    Ok(())
}
