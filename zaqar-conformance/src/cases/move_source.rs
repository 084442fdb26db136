//! Moves of queues: the store that a queue moves out of (G17).

use zaqar_core::{
    ClientId, Error, LeaseDeliveries, LeaseId, MessageId, MovePart, NewSubscription, PostMessages,
    QueueRef,
};

use super::operations::attempt_all;
use super::support::{
    everything, ids, is_gone, is_no_claim, limit, needs, nth, only, pick, span, try_post,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    stale_callers_are_refused = "move.fence.refuses_who_does_not_know" {
        level: Extended(LiveMove),
        guarantees: [G17],
        methods: ["head_move", "message_list", "message_get", "claim_create"],
        summary: "Once a head moved, a caller that does not know of the move is refused everything; one that knows reads all.",
    }
    begin_tells_what_the_target_needs = "move.begin.start_and_subscriptions" {
        level: Extended(LiveMove),
        guarantees: [G13, G17],
        methods: ["move_begin", "head_move", "subscription_update"],
        summary: "A moved head tells its next position and its subscriptions, which nobody changes any more.",
    }
    freezing_takes_the_highest = "move.freeze.takes_the_highest" {
        level: Extended(LiveMove),
        guarantees: [G17],
        methods: ["move_freeze", "move_part"],
        summary: "A part is the messages at the highest positions, whole; until it is removed, the same part is answered.",
    }
    frozen_messages_stand_still = "move.freeze.stands_still" {
        level: Extended(LiveMove),
        guarantees: [G5, G17],
        methods: ["move_freeze", "message_delete", "message_bulk_delete", "message_pop", "message_list"],
        summary: "What is frozen is shown as ever; claims and pops stop before it, deletes of it are refused and change nothing.",
    }
    frozen_claims_stand_still = "move.freeze.claims_stand_still" {
        level: Extended(LiveMove),
        guarantees: [G5, G6, G17],
        methods: ["move_freeze", "claim_update", "claim_delete", "message_delete"],
        summary: "A claim that holds something frozen is neither renewed nor released, nor is that deleted under it.",
    }
    parts_hold_all_there_is = "move.freeze.whole_messages" {
        level: Extended(LiveMove),
        guarantees: [G8, G17],
        methods: ["move_freeze"],
        summary: "A part tells of each message all that is kept: body, life, delay, producer, checksum, claims.",
    }
    removal_takes_only_that_part = "move.remove.only_that_part" {
        level: Extended(LiveMove),
        guarantees: [G4, G17],
        methods: ["move_remove", "move_freeze"],
        summary: "A part is removed by its own place alone, and once; parts follow each other without a gap to the end.",
    }
    frozen_messages_can_be_purged = "move.freeze.purge" {
        level: Extended(LiveMove),
        guarantees: [G4, G17],
        methods: ["message_purge", "move_freeze", "move_remove"],
        summary: "A purge removes what is frozen too, and the move goes on.",
    }
    leaving_waits_for_everything = "move.leave.waits" {
        level: Extended(LiveMove),
        guarantees: [G13, G17],
        methods: ["move_leave", "delivery_complete"],
        summary: "A head is left only when no message and no delivery waits; then everything is refused, and stays so.",
    }
}

/// Moves the head under epoch 1; the reference of one who knows.
pub(super) async fn move_head(ctx: &Context, queue: &QueueRef) -> Result<QueueRef, Failure> {
    ctx.data.heads().head_move(queue, 1).await?;
    Ok(queue.at_epoch(1))
}

/// Whether the driver refused because what it would touch is frozen.
pub(super) fn is_moving(error: &Error) -> bool {
    matches!(error, Error::QueueMoving { .. })
}

fn is_moved(error: &Error) -> bool {
    matches!(error, Error::QueueMoved { epoch: 1, .. })
}

fn part_ids(part: &MovePart) -> Vec<MessageId> {
    part.messages.iter().map(|message| message.id).collect()
}

async fn freeze(ctx: &Context, queue: &QueueRef, n: u32) -> Result<MovePart, Failure> {
    Ok(ctx.data.moves().move_freeze(queue, limit(n)?).await?)
}

async fn stale_callers_are_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("stale").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    let knowing = move_head(ctx, &queue).await?;
    for (operation, answer) in attempt_all(ctx, &queue).await? {
        expect_err(answer, is_moved, format!("{operation} by a caller that does not know"))?;
    }
    expect_err(ctx.data.heads().head_get(&queue).await, is_moved, "reading the head")?;
    check_eq!(ids(&ctx.list_all(&knowing).await?), posted, "the queue, to one who knows");
    ctx.data.messages().message_get(&knowing, *nth(&posted, 1)?).await?;
    expect_err(try_post(ctx, &knowing, 1).await, is_moved, "a post by one who knows")?;
    ctx.data.messages().message_delete(&knowing, *nth(&posted, 1)?, None).await?;
    check_eq!(ids(&ctx.list_all(&knowing).await?), pick(&posted, [0, 2])?, "what is left");
    Ok(())
}

async fn begin_tells_what_the_target_needs(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Subscriptions)?;
    let queue = ctx.queue("begun").await?;
    ctx.post_n(&queue, 3, 300).await?;
    let subscriptions = ctx.data.subscriptions();
    for name in ["http://a.example/", "http://b.example/"] {
        let new = NewSubscription::new(name, span(600));
        subscriptions.subscription_create(&queue, new).await?;
    }
    let wanted = subscriptions.subscription_list(&queue, None, limit(10)?).await?.items;
    let open = ctx.data.moves().move_begin(&queue).await;
    expect_err(open, |e| matches!(e, Error::Invalid { .. }), "beginning before the head moved")?;
    let next = ctx.data.heads().head_get(&queue).await?.sequence_next;
    let knowing = move_head(ctx, &queue).await?;
    let opening = ctx.data.moves().move_begin(&knowing).await?;
    check_eq!(opening.start, next, "where the target's positions start");
    check_eq!(opening.subscriptions, wanted, "the subscriptions");
    let first = nth(&wanted, 0)?.id;
    let new = NewSubscription::new("http://c.example/", span(600));
    let change = zaqar_core::UpdateSubscription::new().ttl(span(700));
    let answers = [
        ("create", subscriptions.subscription_create(&knowing, new).await.map(drop)),
        ("update", subscriptions.subscription_update(&knowing, first, change).await),
        ("confirm", subscriptions.subscription_confirm(&knowing, first, true).await),
        ("delete", subscriptions.subscription_delete(&knowing, first).await),
        ("purge", subscriptions.subscription_purge(&knowing).await),
    ];
    for (change, answer) in answers {
        expect_err(answer, is_moved, format!("{change} of a subscription of a moved head"))?;
    }
    check_eq!(ctx.data.moves().move_begin(&knowing).await?, opening, "the same, asked again");
    Ok(())
}

async fn freezing_takes_the_highest(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("frozen").await?;
    let posted = ctx.post_n(&queue, 5, 300).await?;
    let open = ctx.data.moves().move_freeze(&queue, limit(2)?).await;
    expect_err(open, |e| matches!(e, Error::Invalid { .. }), "freezing before the head moved")?;
    let queue = move_head(ctx, &queue).await?;
    let start = ctx.data.moves().move_begin(&queue).await?.start;
    let empty = ctx.data.moves().move_part(&queue).await?;
    check!(empty.is_empty() && empty.messages.is_empty(), "frozen already: {empty:?}");
    check!(!ctx.data.heads().head_get(&queue).await?.frozen, "the head says so already");
    let part = freeze(ctx, &queue, 2).await?;
    check_eq!(part_ids(&part), pick(&posted, [3, 4])?, "what is frozen");
    let lowest = nth(&posted, 3)?.sequence();
    check_eq!((part.from, part.to), (lowest, start), "the frozen positions");
    check_eq!(freeze(ctx, &queue, 4).await?, part, "freezing again");
    check!(ctx.data.heads().head_get(&queue).await?.frozen, "the head does not say so");
    check_eq!(ctx.data.moves().move_part(&queue).await?, part, "the part, read");
    let unknowing = ctx.data.moves().move_freeze(&queue.at_epoch(0), limit(2)?).await;
    expect_err(unknowing, is_moved, "freezing under an epoch that is over")?;
    let foreseeing = ctx.data.moves().move_freeze(&queue.at_epoch(2), limit(2)?).await;
    expect_err(foreseeing, is_moved, "freezing under an epoch that is to come")?;
    Ok(())
}

async fn frozen_messages_stand_still(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("still").await?;
    let posted = ctx.post_n(&queue, 6, 300).await?;
    let queue = move_head(ctx, &queue).await?;
    freeze(ctx, &queue, 2).await?;
    let messages = ctx.data.messages();
    let (last, before) = (*nth(&posted, 5)?, *nth(&posted, 0)?);
    expect_err(messages.message_delete(&queue, last, None).await, is_moving, "a delete")?;
    let bulk = messages.message_bulk_delete(&queue, &[before, last], None).await;
    expect_err(bulk, is_moving, "a bulk delete that names a frozen message")?;
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the whole listing");
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the default listing");
    check_eq!(messages.message_get(&queue, last).await?.id, last, "a frozen message, read");
    messages.message_delete(&queue, before, None).await?;
    let popped = messages.message_pop(&queue, limit(1)?).await?;
    check_eq!(ids(&popped), pick(&posted, [1])?, "what a pop takes");
    if ctx.has(zaqar_core::Capability::Claims) {
        let (claim, taken) = ctx.claim(&queue, 60, 0, 10).await?;
        check_eq!(ids(&taken), pick(&posted, [2, 3])?, "what a claim takes");
        messages.message_bulk_delete(&queue, &ids(&taken), Some(&[claim])).await?;
        let (_, none) = ctx.claim(&queue, 60, 0, 10).await?;
        check!(none.is_empty(), "a claim takes {none:?} of what is frozen");
    }
    messages.message_pop(&queue, limit(5)?).await?;
    check!(messages.message_pop(&queue, limit(5)?).await?.is_empty(), "a pop takes frozen ones");
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [4, 5])?, "the frozen ones");
    Ok(())
}

async fn frozen_claims_stand_still(ctx: &Context) -> CaseResult {
    needs(ctx, zaqar_core::Capability::Claims)?;
    let queue = ctx.queue("held").await?;
    let posted = ctx.post_n(&queue, 4, 300).await?;
    let (claim, taken) = ctx.claim(&queue, 60, 0, 3).await?;
    check_eq!(ids(&taken), pick(&posted, [0, 1, 2])?, "what is claimed");
    let queue = move_head(ctx, &queue).await?;
    let part = freeze(ctx, &queue, 2).await?;
    check_eq!(part_ids(&part), pick(&posted, [2, 3])?, "what is frozen");
    let hold = nth(&part.messages, 0)?.hold;
    check_eq!(hold.map(|hold| (hold.claim, hold.ttl)), Some((claim, span(60))), "its hold");
    check_eq!(nth(&part.messages, 1)?.hold, None, "the hold on a free message");
    let (claims, messages) = (ctx.data.claims(), ctx.data.messages());
    let renewed = claims.claim_update(&queue, claim, span(600), span(0)).await;
    expect_err(renewed, is_moving, "renewing")?;
    expect_err(claims.claim_delete(&queue, claim).await, is_moving, "releasing")?;
    let third = *nth(&posted, 2)?;
    let deleted = messages.message_delete(&queue, third, Some(claim)).await;
    expect_err(deleted, is_moving, "a delete under the claim")?;
    let bulk = messages.message_bulk_delete(&queue, &pick(&posted, [0, 2])?, Some(&[claim])).await;
    expect_err(bulk, is_moving, "a bulk delete under the claim")?;
    check_eq!(ids(&claims.claim_get(&queue, claim).await?.1), ids(&taken), "the claim");
    messages.message_delete(&queue, *nth(&posted, 0)?, Some(claim)).await?;
    ctx.data.moves().move_remove(&queue, part.from).await?;
    check_eq!(ids(&claims.claim_get(&queue, claim).await?.1), pick(&posted, [1])?, "its rest");
    claims.claim_update(&queue, claim, span(600), span(0)).await?;
    claims.claim_delete(&queue, claim).await?;
    expect_err(claims.claim_get(&queue, claim).await, is_no_claim, "the released claim")?;
    Ok(())
}

async fn parts_hold_all_there_is(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("whole").await?;
    let client = ClientId::new("3381af92-2b9e-11e3-b191-71861300734c")?;
    let posted_at = zaqar_core::Clock::now(&*ctx.clock);
    let checksum = "MD5:0cc175b9c0f1b6a831c399e269772661";
    let mut batch = vec![Context::message(0, 300).checksum(checksum.to_owned())];
    batch.push(Context::message(1, 30));
    let by = PostMessages::new().client(client.clone());
    let posted = ctx.data.messages().message_post(&queue, batch, by).await?.ids;
    let delays = ctx.has(zaqar_core::Capability::Delay);
    if delays {
        ctx.post(&queue, vec![Context::message(2, 300).delay(span(40))]).await?;
    }
    ctx.advance(10).await?;
    let claimed_at = zaqar_core::Clock::now(&*ctx.clock);
    let claims = ctx.has(zaqar_core::Capability::Claims);
    if claims {
        ctx.claim(&queue, 60, 70, 2).await?;
    }
    let queue = move_head(ctx, &queue).await?;
    let part = freeze(ctx, &queue, 10).await?;
    let (first, second) = (nth(&part.messages, 0)?, nth(&part.messages, 1)?);
    check_eq!(part_ids(&part).get(..2), Some(&*posted), "the ids");
    check_eq!(first.position, first.id.sequence(), "the position");
    check_eq!(first.body, Context::body(0), "the body");
    check_eq!(first.client.as_ref(), Some(&client), "the producer");
    check_eq!(first.checksum.as_deref(), Some(checksum), "the checksum");
    check_eq!((first.ttl, first.posted_at), (span(300), posted_at), "the life as posted");
    check_eq!(first.expires_at, posted_at.after(span(300)), "the end of its life");
    check_eq!((second.checksum.as_ref(), first.delayed_until), (None, None), "what is not there");
    if claims {
        let hold = first.hold.ok_or_else(|| Failure::broken("the hold is missing"))?;
        check_eq!((hold.ttl, hold.since), (span(60), claimed_at), "the hold");
        check_eq!(hold.ends_at, claimed_at.after(span(60)), "the end of the hold");
        check_eq!((first.claim_count, second.claim_count), (1, 1), "the counts");
        check_eq!(second.expires_at, claimed_at.after(span(130)), "a life that the claim raised");
        check_eq!(second.ttl, span(130), "its ttl as shown");
    }
    if delays {
        let third = nth(&part.messages, 2)?;
        check_eq!(third.delayed_until, Some(posted_at.after(span(40))), "the delay");
    }
    Ok(())
}

async fn removal_takes_only_that_part(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("removed").await?;
    let posted = ctx.post_n(&queue, 5, 300).await?;
    let queue = move_head(ctx, &queue).await?;
    let moves = ctx.data.moves();
    let part = freeze(ctx, &queue, 2).await?;
    for elsewhere in [part.from - 1, part.from + 1, part.to] {
        moves.move_remove(&queue, elsewhere).await?;
    }
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the queue before the removal");
    let (mut to, mut left) = (part.to, posted);
    for wanted in [2, 2, 1] {
        let part = freeze(ctx, &queue, 2).await?;
        check_eq!((part.to, part.messages.len()), (to, wanted), "where a part ends, its size");
        moves.move_remove(&queue, part.from).await?;
        moves.move_remove(&queue, part.from).await?;
        check!(!ctx.data.heads().head_get(&queue).await?.frozen, "the head says frozen still");
        left.truncate(left.len() - wanted);
        check_eq!(ids(&ctx.list_all(&queue).await?), left, "what is left");
        to = part.from;
    }
    let end = freeze(ctx, &queue, 2).await?;
    check!(end.is_empty() && end.messages.is_empty() && end.to == to, "at the end: {end:?}");
    Ok(())
}

async fn frozen_messages_can_be_purged(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("purged").await?;
    ctx.post_n(&queue, 5, 300).await?;
    let queue = move_head(ctx, &queue).await?;
    let part = freeze(ctx, &queue, 2).await?;
    ctx.data.messages().message_purge(&queue).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "a purged queue shows something");
    check!(ctx.data.moves().move_part(&queue).await?.messages.is_empty(), "a purged part is told");
    ctx.data.moves().move_remove(&queue, part.from).await?;
    check!(freeze(ctx, &queue, 2).await?.messages.is_empty(), "purged messages are frozen");
    Ok(())
}

async fn leaving_waits_for_everything(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("left").await?;
    let subscribed = ctx.has(zaqar_core::Capability::Subscriptions);
    if subscribed {
        let new = NewSubscription::new("http://a.example/", span(600));
        ctx.data.subscriptions().subscription_create(&queue, new).await?;
    }
    ctx.post_n(&queue, 2, 300).await?;
    let queue = move_head(ctx, &queue).await?;
    let moves = ctx.data.moves();
    check!(!moves.move_leave(&queue).await?, "left with two messages");
    let part = freeze(ctx, &queue, 10).await?;
    check!(!moves.move_leave(&queue).await?, "left with a frozen part");
    moves.move_remove(&queue, part.from).await?;
    if subscribed {
        check!(!moves.move_leave(&queue).await?, "left with deliveries to make");
        let lease = LeaseDeliveries::new(LeaseId::random(), span(60));
        let leased = ctx.data.outbox().delivery_lease(lease).await?;
        let delivery = only(&leased)?;
        let taken = |message: &zaqar_core::OutboxMessage| {
            (message.id, zaqar_core::DeliveryOutcome::Delivered)
        };
        let outcomes: Vec<_> = delivery.messages.iter().map(taken).collect();
        check_eq!(outcomes.len(), 2, "messages to deliver");
        ctx.data.outbox().delivery_complete(delivery, &outcomes, true).await?;
    }
    check!(moves.move_leave(&queue).await?, "not left with nothing to wait for");
    for (operation, answer) in attempt_all(ctx, &queue).await? {
        expect_err(answer, is_gone, format!("{operation} on a head that was left"))?;
    }
    expect_err(moves.move_leave(&queue).await, is_gone, "leaving again")?;
    let listed = ctx.data.messages().message_list(&queue.at_epoch(0), everything()).await;
    expect_err(listed, is_gone, "a listing by one who does not know")?;
    expect_err(ctx.data.heads().head_open(&queue).await, is_gone, "opening it as if it were new")?;
    Ok(())
}
