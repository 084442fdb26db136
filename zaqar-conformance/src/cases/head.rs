//! Queue heads: the fence that every data operation passes.

use zaqar_core::{Error, HeadState, NewSubscription, QueueRef};

use super::operations::attempt_all;
use super::support::{everything, gc, ids, is_gone, nth, span, try_post};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    opened_head_starts_at_one = "head.open.starts_at_one" {
        level: Core,
        guarantees: [G11],
        methods: ["head_open", "head_get"],
        summary: "A new head is open, its positions start at 1, and nobody subscribes.",
    }
    opening_again_keeps_the_counter = "head.open.again_keeps_positions" {
        level: Core,
        guarantees: [G11],
        methods: ["head_open", "head_get", "message_post"],
        summary: "Opening an open head again changes neither its counter nor its messages.",
    }
    next_position_is_the_next_messages = "head.get.next_position" {
        level: Core,
        guarantees: [G9],
        methods: ["head_get", "message_post"],
        summary: "The head tells the position of the next message, which is never one that was used before.",
    }
    head_shows_subscribers = "head.get.subscribed" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["head_get", "subscription_create"],
        summary: "While anyone subscribes, the head says so.",
    }
    missing_head_refuses = "head.missing.refuses_everything" {
        level: Core,
        guarantees: [G11],
        methods: ["head_get", "head_move", "head_close"],
        summary: "Before its head is opened, an incarnation takes no operation, and none makes a head.",
    }
    closed_head_refuses = "head.close.refuses_everything" {
        level: Core,
        guarantees: [G4, G11],
        methods: ["head_close", "head_get", "head_move", "head_open"],
        summary: "A closed head refuses every operation, also to be opened again; closing again is silent.",
    }
    closed_head_stays_closed = "head.close.stays_closed_after_gc" {
        level: Core,
        guarantees: [G4, G11],
        methods: ["head_close", "head_open", "gc"],
        summary: "A closed head is closed for good, also once gc removed what it held.",
    }
    refused_post_stores_nothing = "head.close.refused_post_stores_nothing" {
        level: Core,
        guarantees: [G2, G11],
        methods: ["message_post", "head_close"],
        summary: "A post that a closed head refuses is found nowhere, not in the store's volume either.",
    }
    second_node_is_fenced_at_once = "head.close.fences_other_nodes" {
        level: Core,
        guarantees: [G11],
        methods: ["head_close", "message_post", "message_list"],
        summary: "A head closed at one node refuses the very next operation of another.",
    }
    move_refuses_posts = "head.move.refuses_posts" {
        level: Core,
        guarantees: [G17],
        methods: ["head_move", "head_get", "message_post"],
        summary: "A moved head refuses posts with its epoch and tells where the target's positions start.",
    }
    move_is_idempotent_and_ordered = "head.move.repeats_and_orders" {
        level: Core,
        guarantees: [G17],
        methods: ["head_move"],
        summary: "Moving again under the same epoch answers the same; a lower epoch is refused.",
    }
    moved_messages_are_never_hidden = "head.move.hides_nothing" {
        level: Core,
        guarantees: [G1, G17],
        methods: ["head_move", "message_list", "message_get"],
        summary: "What a moved head still holds is either served whole or refused as moved, never shown as missing.",
    }
}

/// Tries every data operation; each must be refused because the incarnation is closed.
async fn all_refused(ctx: &Context, queue: &QueueRef) -> CaseResult {
    for (operation, answer) in attempt_all(ctx, queue).await? {
        expect_err(answer, is_gone, format!("{operation} on an incarnation that is not open"))?;
    }
    Ok(())
}

async fn opened_head_starts_at_one(ctx: &Context) -> CaseResult {
    let queue = ctx.unopened("fresh").await?;
    ctx.data.heads().head_open(&queue).await?;
    let head = ctx.data.heads().head_get(&queue).await?;
    check_eq!(head.state, HeadState::Open, "the state of a new head");
    check_eq!(head.sequence_next, 1, "its first position");
    check!(!head.subscribed, "nobody subscribed, yet the head says so");
    Ok(())
}

async fn opening_again_keeps_the_counter(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("opened-twice").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    let before = ctx.data.heads().head_get(&queue).await?;
    ctx.data.heads().head_open(&queue).await?;
    check_eq!(ctx.data.heads().head_get(&queue).await?, before, "the head after a second open");
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "its messages");
    Ok(())
}

async fn next_position_is_the_next_messages(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("counted").await?;
    let mut latest = 0;
    for batch in [1, 3, 2] {
        let next = ctx.data.heads().head_get(&queue).await?.sequence_next;
        check!(next > latest, "position {next} comes after {latest}");
        let posted = ctx.post_n(&queue, batch, 300).await?;
        check_eq!(nth(&posted, 0)?.sequence(), next, "the position of the next message");
        latest = posted.iter().map(|id| id.sequence()).max().unwrap_or(next);
        ctx.data.messages().message_bulk_delete(&queue, &posted, None).await?;
    }
    let next = ctx.data.heads().head_get(&queue).await?.sequence_next;
    check!(next > latest, "after deletes position {next} comes after {latest}");
    Ok(())
}

async fn head_shows_subscribers(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("subscribed").await?;
    let new = NewSubscription::new("http://a.example/", span(600));
    ctx.data.subscriptions().subscription_create(&queue, new).await?;
    check!(ctx.data.heads().head_get(&queue).await?.subscribed, "the head knows no subscriber");
    Ok(())
}

async fn missing_head_refuses(ctx: &Context) -> CaseResult {
    let queue = ctx.unopened("never-opened").await?;
    all_refused(ctx, &queue).await?;
    let heads = ctx.data.heads();
    expect_err(heads.head_move(&queue, 1).await, is_gone, "moving a missing head")?;
    expect_err(heads.head_get(&queue).await, is_gone, "reading a missing head")?;
    heads.head_close(&queue).await?;
    Ok(())
}

async fn closed_head_refuses(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("closed").await?;
    ctx.post_n(&queue, 3, 300).await?;
    let heads = ctx.data.heads();
    heads.head_close(&queue).await?;
    heads.head_close(&queue).await?;
    all_refused(ctx, &queue).await?;
    expect_err(heads.head_open(&queue).await, is_gone, "opening a closed head")?;
    expect_err(heads.head_move(&queue, 1).await, is_gone, "moving a closed head")?;
    expect_err(heads.head_get(&queue).await, is_gone, "reading a closed head")?;
    Ok(())
}

async fn closed_head_stays_closed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("closed").await?;
    ctx.post_n(&queue, 50, 100_000).await?;
    let heads = ctx.data.heads();
    heads.head_close(&queue).await?;
    ctx.advance(1_000).await?;
    gc(ctx, 300).await?;
    ctx.advance(100_000).await?;
    gc(ctx, 300).await?;
    expect_err(heads.head_open(&queue).await, is_gone, "opening a head that gc removed")?;
    all_refused(ctx, &queue).await?;
    Ok(())
}

async fn refused_post_stores_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("closed").await?;
    ctx.data.heads().head_close(&queue).await?;
    for _ in 0..3 {
        expect_err(try_post(ctx, &queue, 5).await, is_gone, "a post to a closed head")?;
    }
    let volume = ctx.data.volume().await?;
    check_eq!(volume.free + volume.claimed, 0, "messages in a store that took none");
    Ok(())
}

async fn second_node_is_fenced_at_once(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    for round in 0..10 {
        let queue = ctx.queue(&format!("fenced-{round}")).await?;
        // The other node knows the head well, from a post and a listing of its own.
        other.post_n(&queue, 1, 300).await?;
        other.list_all(&queue).await?;
        ctx.data.heads().head_close(&queue).await?;
        expect_err(try_post(&other, &queue, 1).await, is_gone, "a post at the other node")?;
        let listed = other.data.messages().message_list(&queue, everything()).await;
        expect_err(listed, is_gone, "a listing at the other node")?;
    }
    other.close().await;
    Ok(())
}

/// Whether the driver refused because the incarnation moved at `epoch`.
fn moved_at(epoch: u64) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::QueueMoved { epoch: at, .. } if *at == epoch)
}

async fn move_refuses_posts(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("moved").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    let heads = ctx.data.heads();
    let before = heads.head_get(&queue).await?;
    let moved = heads.head_move(&queue, 7).await?;
    check_eq!(moved.state, HeadState::Moved { epoch: 7 }, "the state of a moved head");
    check_eq!(moved.sequence_next, before.sequence_next, "where the target's positions start");
    check!(
        posted.iter().all(|id| id.sequence() < moved.sequence_next),
        "the target would start at {} among {posted:?}",
        moved.sequence_next
    );
    let queue = queue.at_epoch(7);
    expect_err(try_post(ctx, &queue, 2).await, moved_at(7), "a post to a moved head")?;
    check_eq!(heads.head_get(&queue).await?, moved, "the head after a refused post");
    Ok(())
}

async fn move_is_idempotent_and_ordered(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("moved").await?;
    ctx.post_n(&queue, 2, 300).await?;
    let heads = ctx.data.heads();
    let moved = heads.head_move(&queue, 5).await?;
    check_eq!(heads.head_move(&queue, 5).await?, moved, "the same move again");
    expect_err(heads.head_move(&queue, 4).await, moved_at(5), "a move of a lower epoch")?;
    let queue = queue.at_epoch(5);
    check_eq!(heads.head_get(&queue).await?, moved, "the head after a refused move");
    heads.head_close(&queue).await?;
    expect_err(heads.head_get(&queue).await, is_gone, "reading a head moved and closed")?;
    Ok(())
}

async fn moved_messages_are_never_hidden(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("moved").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    ctx.data.heads().head_move(&queue, 2).await?;
    let messages = ctx.data.messages();
    let listing = messages.message_list(&queue, everything()).await;
    check_served_or_moved(listing.map(|page| ids(&page.items)), &posted)?;
    let first = nth(&posted, 0)?;
    check_served_or_moved(messages.message_get(&queue, *first).await.map(|m| m.id), first)?;
    let fetched = messages.message_bulk_get(&queue, &posted).await;
    check_served_or_moved(fetched.map(|found| ids(&found)), &posted)?;
    Ok(())
}

/// What a moved head answers to a read: all of it, or that it moved.
fn check_served_or_moved<T: std::fmt::Debug + PartialEq>(
    answer: Result<T, Error>,
    wanted: &T,
) -> Result<(), Failure> {
    match answer {
        Ok(found) => {
            check_eq!(found, *wanted, "what a moved head serves");
            Ok(())
        }
        Err(error) if moved_at(2)(&error) => Ok(()),
        Err(error) => Err(Failure::broken(format!("a moved head answered with {error:?}"))),
    }
}
