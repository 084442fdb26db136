//! Delays: a message that is there, and not yet to be had.

use std::time::Duration;

use zaqar_core::{Capability, ListMessages, QueueEnd};

use super::support::{counts, ids, limit, needs, nth, only, pick, post_delayed, post_many, span};
use crate::case::{CaseResult, cases, check, check_eq};
use crate::context::Context;

cases! {
    delayed_message_is_not_claimable = "delay.claim.waits_for_the_end" {
        level: Extended(Delay),
        guarantees: [G1],
        methods: ["claim_create", "message_list"],
        summary: "A delayed message is not claimed until the very moment its delay ends, with no sweep needed.",
    }
    delayed_among_undelayed_is_skipped = "delay.claim.among_undelayed" {
        level: Extended(Delay),
        guarantees: [G5],
        methods: ["claim_create"],
        summary: "A claim takes the undelayed messages around a delayed one and leaves that.",
    }
    delayed_message_is_visible_on_request = "delay.read.visible_on_request" {
        level: Extended(Delay),
        guarantees: [G1, G9],
        methods: ["message_get", "message_bulk_get", "message_list", "message_first", "message_stats"],
        summary: "A delayed message is found by id, at the ends, in counts, and listed only on request, in its place.",
    }
    delayed_message_keeps_its_place = "delay.order.keeps_its_place" {
        level: Extended(Delay),
        guarantees: [G9],
        methods: ["message_list", "claim_create"],
        summary: "When its delay ends a message stands where it was posted, ahead of later ones.",
    }
    delayed_message_is_not_popped = "delay.pop.waits_for_the_end" {
        level: Extended(Delay),
        guarantees: [G14],
        methods: ["message_pop"],
        summary: "A pop leaves delayed messages until their delay ends.",
    }
    delayed_message_can_be_deleted = "delay.delete.while_delayed" {
        level: Extended(Delay),
        guarantees: [G4],
        methods: ["message_delete", "message_bulk_delete"],
        summary: "A delayed message can be deleted, and does not appear when its delay ends.",
    }
    delay_does_not_lengthen_life = "delay.expiry.life_counts_from_post" {
        level: Extended(Delay),
        guarantees: [G8],
        methods: ["message_list", "claim_create"],
        summary: "Life counts from the post: one that ends within the delay is never had, the rest of it is not longer.",
    }
    delays_end_at_their_own_time = "delay.end.each_at_its_own" {
        level: Extended(Delay),
        guarantees: [G1],
        methods: ["message_list", "sweep"],
        summary: "Messages of one post with unequal delays appear one by one, each at its own second.",
    }
    claimed_after_delay_is_like_others = "delay.claim.lapses_like_others" {
        level: Extended(Delay),
        guarantees: [G7],
        methods: ["claim_create", "message_delete"],
        summary: "A message claimed after its delay is free again when the claim ends, and can be deleted then.",
    }
    three_thousand_delayed_ahead = "delay.depth.three_thousand_ahead" {
        level: Extended(Delay),
        guarantees: [G5, G9],
        methods: ["claim_create", "message_pop", "sweep"],
        summary: "Three thousand delayed messages ahead hide no free one, and all appear in order when they mature together.",
    }
    longest_delay_does_not_overflow = "delay.length.longest" {
        level: Extended(Delay),
        guarantees: [G8],
        methods: ["message_post", "message_list"],
        summary: "The longest delay hides its message and overflows nothing.",
    }
}

async fn delayed_message_is_not_claimable(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let queue = ctx.queue("delayed").await?;
    let id = *only(&post_delayed(ctx, &queue, 1, 600, 100).await?)?;
    for step in ["at once", "a moment before the end"] {
        let (_, taken) = ctx.claim(&queue, 60, 60, 10).await?;
        check!(taken.is_empty(), "{step} a claim takes the delayed message");
        check!(ctx.list_free(&queue).await?.is_empty(), "{step} a listing shows it");
        check_eq!(ids(&ctx.list_all(&queue).await?), [id], "{step} the whole listing");
        ctx.advance_by(Duration::from_millis(if step == "at once" { 99_999 } else { 1 }))?;
    }
    check_eq!(ids(&ctx.list_free(&queue).await?), [id], "the listing at the delay's end");
    let (claim, taken) = ctx.claim(&queue, 60, 60, 10).await?;
    check_eq!(ids(&taken), [id], "what a claim takes at the delay's end");
    check_eq!(only(&taken)?.claim, Some(claim), "its owner");
    Ok(())
}

async fn delayed_among_undelayed_is_skipped(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let queue = ctx.queue("among").await?;
    let mixed = |n: usize| {
        let delay = span(if n.is_multiple_of(2) { 0 } else { 100 });
        Context::message(n, 600).delay(delay)
    };
    let posted = ctx.post(&queue, (0..10).map(mixed).collect()).await?;
    let (_, taken) = ctx.claim(&queue, 300, 60, 3).await?;
    check_eq!(ids(&taken), pick(&posted, [0, 2, 4])?, "the first claim");
    let (_, taken) = ctx.claim(&queue, 300, 60, 10).await?;
    check_eq!(ids(&taken), pick(&posted, [6, 8])?, "the second claim");
    let (_, taken) = ctx.claim(&queue, 300, 60, 10).await?;
    check!(taken.is_empty(), "a third claim takes {taken:?}");
    Ok(())
}

async fn delayed_message_is_visible_on_request(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("seen").await?;
    let mut posted = post_delayed(ctx, &queue, 1, 600, 100).await?;
    posted.extend(ctx.post_n(&queue, 1, 600).await?);
    posted.extend(post_delayed(ctx, &queue, 1, 600, 100).await?);
    let messages = ctx.data.messages();
    let id = *nth(&posted, 0)?;
    check_eq!(messages.message_get(&queue, id).await?.id, id, "a delayed message by id");
    check_eq!(ids(&messages.message_bulk_get(&queue, &posted).await?), posted, "a bulk read");
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [1])?, "the default listing");
    let with = ListMessages::new().include_delayed(true);
    check_eq!(ids(&ctx.walk(&queue, with).await?), posted, "the listing on request");
    for (end, index) in [(QueueEnd::Oldest, 0), (QueueEnd::Newest, 2)] {
        let found = messages.message_first(&queue, end).await?.map(|message| message.id);
        check_eq!(found, posted.get(index).copied(), "{end:?}");
    }
    let stats = super::support::stats(ctx, &queue).await?;
    check_eq!((stats.claimed, stats.free), (0, 3), "claimed and free");
    let ends = (stats.oldest.map(|edge| edge.id), stats.newest.map(|edge| edge.id));
    check_eq!(ends, (posted.first().copied(), posted.last().copied()), "both ends counted");
    Ok(())
}

async fn delayed_message_keeps_its_place(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("placed").await?;
    let mut posted = post_delayed(ctx, &queue, 2, 600, 10).await?;
    posted.extend(ctx.post_n(&queue, 2, 600).await?);
    ctx.advance(10).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the listing after the delay");
    let popped = ctx.data.messages().message_pop(&queue, limit(3)?).await?;
    check_eq!(ids(&popped), pick(&posted, 0..3)?, "the order of a pop after the delay");
    Ok(())
}

async fn delayed_message_is_not_popped(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("popped").await?;
    let delayed = post_delayed(ctx, &queue, 2, 600, 10).await?;
    let free = ctx.post_n(&queue, 2, 600).await?;
    let messages = ctx.data.messages();
    check_eq!(ids(&messages.message_pop(&queue, limit(10)?).await?), free, "the first pop");
    let nothing = messages.message_pop(&queue, limit(10)?).await?;
    check!(nothing.is_empty(), "a pop takes delayed messages: {nothing:?}");
    check_eq!(ids(&ctx.list_all(&queue).await?), delayed, "what is left");
    ctx.advance_without_sweep(10)?;
    check_eq!(ids(&messages.message_pop(&queue, limit(10)?).await?), delayed, "after the delay");
    Ok(())
}

async fn delayed_message_can_be_deleted(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("dropped").await?;
    let posted = post_delayed(ctx, &queue, 4, 600, 10).await?;
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 0)?, None).await?;
    messages.message_bulk_delete(&queue, &pick(&posted, [1, 2])?, None).await?;
    ctx.advance(10).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [3])?, "what appears");
    check_eq!(counts(ctx, &queue).await?, (0, 1), "claimed and free");
    Ok(())
}

async fn delay_does_not_lengthen_life(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("short").await?;
    let never = post_delayed(ctx, &queue, 1, 60, 100).await?;
    let late = post_delayed(ctx, &queue, 1, 120, 100).await?;
    ctx.advance(60).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), late, "once the first life ended");
    ctx.advance(40).await?;
    check_eq!(ids(&ctx.list_free(&queue).await?), late, "once both delays ended");
    let found = ctx.data.messages().message_bulk_get(&queue, &never).await?;
    check!(found.is_empty(), "a message that died delayed came back: {found:?}");
    ctx.advance(20).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "a delay made a life longer");
    Ok(())
}

async fn delays_end_at_their_own_time(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("unequal").await?;
    let delays = [50, 20, 40, 10, 30];
    let message = |(n, delay): (usize, &u64)| Context::message(n, 600).delay(span(*delay));
    let posted = ctx.post(&queue, delays.iter().enumerate().map(message).collect()).await?;
    for elapsed in (0_u64..=60).step_by(5) {
        let out = (0..5).filter(|index| delays.get(*index).is_some_and(|delay| *delay <= elapsed));
        let wanted = pick(&posted, out)?;
        check_eq!(ids(&ctx.list_free(&queue).await?), wanted, "messages after {elapsed} s");
        ctx.advance(5).await?;
    }
    Ok(())
}

async fn claimed_after_delay_is_like_others(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let queue = ctx.queue("lapsing").await?;
    let posted = post_delayed(ctx, &queue, 2, 600, 10).await?;
    ctx.advance(10).await?;
    ctx.claim(&queue, 60, 60, 10).await?;
    ctx.advance_without_sweep(60)?;
    ctx.data.messages().message_delete(&queue, *nth(&posted, 0)?, None).await?;
    let (_, taken) = ctx.claim(&queue, 60, 60, 10).await?;
    check_eq!(ids(&taken), pick(&posted, [1])?, "what the next claim takes");
    check_eq!(only(&taken)?.claim_count, 2, "its count");
    Ok(())
}

async fn three_thousand_delayed_ahead(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let queue = ctx.queue("deep").await?;
    let delayed = |number| Context::message(number, 6_000).delay(span(100));
    let ahead = post_many(ctx, &queue, 3_000, delayed).await?;
    let free = ctx.post_n(&queue, 12, 6_000).await?;
    let (_, taken) = ctx.claim(&queue, 600, 60, 10).await?;
    check_eq!(ids(&taken), pick(&free, 0..10)?, "the claim behind them");
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&free, [10, 11])?, "the listing");
    ctx.advance_without_sweep(100)?;
    // What matures in greater number than one step may take is still due in order: the listing and
    // the claims that come first may not pass anything over.
    let wanted = [ahead.clone(), pick(&free, [10, 11])?].concat();
    let listed = ctx.walk(&queue, ListMessages::new().limit(limit(1_000)?)).await?;
    check_eq!(ids(&listed), wanted, "the listing once all matured");
    ctx.sweep().await?;
    let (_, taken) = ctx.claim(&queue, 600, 60, 1_000).await?;
    check_eq!(ids(&taken), pick(&ahead, 0..1_000)?, "the claim once all matured");
    check_eq!(ctx.drain(&queue).await?.len(), 2_002, "what is left to drain");
    Ok(())
}

async fn longest_delay_does_not_overflow(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("eternal").await?;
    let longest = zaqar_core::limits::TTL_S_MAX;
    let posted = post_delayed(ctx, &queue, 1, longest, longest).await?;
    ctx.advance(1_000_000_000).await?;
    check!(ctx.list_free(&queue).await?.is_empty(), "the delayed message is shown");
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the whole listing");
    let popped = ctx.data.messages().message_pop(&queue, limit(1)?).await?;
    check!(popped.is_empty(), "the delayed message is popped");
    Ok(())
}
