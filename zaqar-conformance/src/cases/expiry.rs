//! Expiry: a message lives exactly as long as it was promised (G8).

use std::time::Duration;

use zaqar_core::limits::TTL_S_MAX;
use zaqar_core::{QueueEnd, QueueRef};

use super::support::{counts, gc, ids, is_no_message, limit, nth, only, pick, post_many};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    message_lives_to_its_last_millisecond = "expiry.boundary.exact" {
        level: Core,
        guarantees: [G1, G8],
        methods: ["message_get", "message_list"],
        summary: "A message is there until the millisecond before its ttl ends, and not at the end itself.",
    }
    expired_message_is_hidden_everywhere = "expiry.hidden.from_every_read" {
        level: Core,
        guarantees: [G4, G8],
        methods: ["message_get", "message_bulk_get", "message_list", "message_first", "message_pop", "message_stats"],
        summary: "An expired message is found by no read, no pop and no count, before any sweep or collection.",
    }
    expired_message_is_not_claimed = "expiry.hidden.from_claims" {
        level: Extended(Claims),
        guarantees: [G4, G8],
        methods: ["claim_create"],
        summary: "An expired message is not claimed, and no claim brings it back.",
    }
    expired_message_is_deleted_silently = "expiry.hidden.from_deletes" {
        level: Core,
        guarantees: [G8],
        methods: ["message_delete", "message_bulk_delete"],
        summary: "Deleting an expired message is silent, with a claim and without.",
    }
    unequal_lives_end_one_by_one = "expiry.boundary.unequal_lives" {
        level: Core,
        guarantees: [G8],
        methods: ["message_list", "message_stats"],
        summary: "Messages of one post with unequal ttls go one by one, each at its own second.",
    }
    longest_ttl_does_not_overflow = "expiry.ttl.longest" {
        level: Core,
        guarantees: [G8],
        methods: ["message_post", "message_get"],
        summary: "The longest ttl is kept and shown, and such a message is there a century later.",
    }
    sweep_hides_nothing_live = "expiry.sweep.takes_nothing_live" {
        level: Core,
        guarantees: [G1, G8],
        methods: ["sweep", "message_list"],
        summary: "Sweeping right up to the end of messages' lives takes none that lives.",
    }
    gc_leaves_what_is_visible = "expiry.gc.leaves_the_living" {
        level: Core,
        guarantees: [G1, G8],
        methods: ["gc", "message_list"],
        summary: "Collecting without margin removes the expired alone.",
    }
    gc_waits_for_the_margin = "expiry.gc.waits_for_the_margin" {
        level: Core,
        guarantees: [G8],
        methods: ["gc"],
        summary: "Nothing is removed before it was over for the margin, so a clock far ahead destroys nothing.",
    }
    gc_works_in_bounded_steps = "expiry.gc.bounded" {
        level: Core,
        guarantees: [G8],
        methods: ["gc"],
        summary: "A collection removes no more rows than it may, says that more is due, and comes to an end.",
    }
    deep_expiry_is_swept = "expiry.sweep.three_thousand" {
        level: Core,
        guarantees: [G8],
        methods: ["sweep", "message_pop", "message_stats"],
        summary: "Three thousand messages that expire at once leave the queue usable and its counts right.",
    }
}

async fn message_lives_to_its_last_millisecond(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("exact").await?;
    let id = *only(&ctx.post_n(&queue, 1, 60).await?)?;
    let messages = ctx.data.messages();
    ctx.advance_by(Duration::from_millis(59_999))?;
    check_eq!(messages.message_get(&queue, id).await?.age_s, 59, "the age a moment before");
    check_eq!(ctx.list_free(&queue).await?.len(), 1, "messages a moment before the end");
    ctx.sweep().await?;
    check_eq!(ctx.list_free(&queue).await?.len(), 1, "messages after a sweep before the end");
    ctx.advance_by(Duration::from_millis(1))?;
    expect_err(messages.message_get(&queue, id).await, is_no_message, "at the end")?;
    check!(ctx.list_all(&queue).await?.is_empty(), "a listing at the end shows the message");
    Ok(())
}

/// Checks that every read answers as if `expired` had never been.
async fn check_hidden(
    ctx: &Context,
    queue: &QueueRef,
    expired: &[zaqar_core::MessageId],
    live: &[zaqar_core::MessageId],
) -> CaseResult {
    let messages = ctx.data.messages();
    for id in expired {
        expect_err(messages.message_get(queue, *id).await, is_no_message, "an expired message")?;
    }
    let asked = [expired, live].concat();
    check_eq!(ids(&messages.message_bulk_get(queue, &asked).await?), live, "a bulk read");
    check_eq!(ids(&ctx.list_free(queue).await?), live, "the default listing");
    check_eq!(ids(&ctx.list_all(queue).await?), live, "the whole listing");
    let first = messages.message_first(queue, QueueEnd::Oldest).await?.map(|m| m.id);
    let last = messages.message_first(queue, QueueEnd::Newest).await?.map(|m| m.id);
    check_eq!((first, last), (live.first().copied(), live.last().copied()), "both ends");
    Ok(())
}

async fn expired_message_is_hidden_everywhere(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("hidden").await?;
    let mut posted = Vec::new();
    for number in 0..6 {
        let ttl_s = if number % 2 == 0 { 60 } else { 600 };
        posted.extend(ctx.post(&queue, vec![Context::message(number, ttl_s)]).await?);
    }
    ctx.advance_without_sweep(60)?;
    let (expired, live) = (pick(&posted, [0, 2, 4])?, pick(&posted, [1, 3, 5])?);
    check_hidden(ctx, &queue, &expired, &live).await?;
    let stats = super::support::stats(ctx, &queue).await?;
    check_eq!((stats.claimed, stats.free), (0, 3), "claimed and free");
    let ends = (stats.oldest.map(|edge| edge.id), stats.newest.map(|edge| edge.id));
    check_eq!(ends, (live.first().copied(), live.last().copied()), "both ends in statistics");
    ctx.sweep().await?;
    check_hidden(ctx, &queue, &expired, &live).await?;
    let popped = ctx.data.messages().message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), live, "what is popped");
    Ok(())
}

async fn expired_message_is_not_claimed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("hidden").await?;
    let short = ctx.post_n(&queue, 3, 60).await?;
    let long = ctx.post_n(&queue, 2, 600).await?;
    ctx.advance_without_sweep(60)?;
    let (_, taken) = ctx.claim(&queue, 1_000, 60, 10).await?;
    check_eq!(ids(&taken), long, "what a claim takes");
    check_hidden_after_claim(ctx, &queue, &short).await?;
    ctx.sweep().await?;
    let (_, taken) = ctx.claim(&queue, 1_000, 60, 10).await?;
    check!(taken.is_empty(), "a second claim takes {taken:?}");
    check_hidden_after_claim(ctx, &queue, &short).await
}

async fn check_hidden_after_claim(
    ctx: &Context,
    queue: &QueueRef,
    expired: &[zaqar_core::MessageId],
) -> Result<(), Failure> {
    let found = ctx.data.messages().message_bulk_get(queue, expired).await?;
    check!(found.is_empty(), "expired messages came back: {found:?}");
    Ok(())
}

async fn expired_message_is_deleted_silently(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("silent").await?;
    let posted = ctx.post_n(&queue, 2, 60).await?;
    let live = ctx.post_n(&queue, 1, 600).await?;
    ctx.advance_without_sweep(60)?;
    let messages = ctx.data.messages();
    let id = *nth(&posted, 0)?;
    messages.message_delete(&queue, id, None).await?;
    messages.message_delete(&queue, id, Some(zaqar_core::ClaimId::random())).await?;
    messages.message_bulk_delete(&queue, &posted, None).await?;
    messages.message_bulk_delete(&queue, &posted, Some(&[zaqar_core::ClaimId::random()])).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), live, "what is left");
    Ok(())
}

async fn unequal_lives_end_one_by_one(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("unequal").await?;
    let lives = [50, 20, 40, 10, 30];
    let batch = lives.iter().enumerate().map(|(n, ttl_s)| Context::message(n, *ttl_s)).collect();
    let posted = ctx.post(&queue, batch).await?;
    for elapsed in (0_u64..=60).step_by(5) {
        let alive = (0..5).filter(|index| lives.get(*index).is_some_and(|life| *life > elapsed));
        let wanted = pick(&posted, alive)?;
        check_eq!(ids(&ctx.list_free(&queue).await?), wanted, "messages after {elapsed} s");
        ctx.advance(5).await?;
    }
    Ok(())
}

async fn longest_ttl_does_not_overflow(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("eternal").await?;
    let id = *only(&ctx.post_n(&queue, 1, TTL_S_MAX).await?)?;
    ctx.advance(100 * 365 * 24 * 3_600).await?;
    gc(ctx, 0).await?;
    let message = ctx.data.messages().message_get(&queue, id).await?;
    check_eq!(message.ttl.as_secs(), TTL_S_MAX, "the ttl shown");
    check_eq!(message.age_s, 100 * 365 * 24 * 3_600, "the age shown");
    check_eq!(ctx.list_free(&queue).await?.len(), 1, "messages a century later");
    Ok(())
}

async fn sweep_hides_nothing_live(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("swept").await?;
    let posted = ctx.post_n(&queue, 20, 60).await?;
    for _ in 0..59 {
        ctx.advance(1).await?;
    }
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "messages after 59 s and sweeps");
    ctx.advance(1).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "messages are shown after their end");
    Ok(())
}

async fn gc_leaves_what_is_visible(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("collected").await?;
    let mut posted = Vec::new();
    for number in 0..10 {
        let ttl_s = if number % 2 == 0 { 60 } else { 61 };
        posted.extend(ctx.post(&queue, vec![Context::message(number, ttl_s)]).await?);
    }
    ctx.advance_without_sweep(60)?;
    gc(ctx, 0).await?;
    check_eq!(ids(&ctx.list_all(&queue).await?), pick(&posted, [1, 3, 5, 7, 9])?, "the living");
    check_eq!(ids(&ctx.list_free(&queue).await?), pick(&posted, [1, 3, 5, 7, 9])?, "by default");
    Ok(())
}

async fn gc_waits_for_the_margin(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("margin").await?;
    ctx.post_n(&queue, 5, 60).await?;
    gc(ctx, 300).await?;
    ctx.advance(60 + 299).await?;
    check_eq!(gc(ctx, 300).await?, 0, "rows removed within the margin");
    ctx.advance(2).await?;
    let rows = gc(ctx, 300).await?;
    check!(rows >= 5, "after the margin {rows} rows were removed of five messages");
    check_eq!(gc(ctx, 300).await?, 0, "rows removed by the next collection");
    Ok(())
}

async fn gc_works_in_bounded_steps(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("bounded").await?;
    post_many(ctx, &queue, 2_500, |number| Context::message(number, 60)).await?;
    let live = ctx.post_n(&queue, 1, 100_000).await?;
    ctx.advance(1_000).await?;
    let mut total: u64 = 0;
    for _ in 0..1_000 {
        let options = zaqar_core::GcOptions::new().rows_max(700);
        let report = ctx.data.gc(options).await?;
        check!(report.rows <= 700, "a bound of 700 removed {} rows", report.rows);
        total = total.saturating_add(report.rows);
        if !report.more {
            break;
        }
    }
    check!(total >= 2_500, "{total} rows were removed of 2500 expired messages");
    check_eq!(gc(ctx, 300).await?, 0, "rows removed after the end");
    check_eq!(ids(&ctx.list_all(&queue).await?), live, "the living");
    Ok(())
}

async fn deep_expiry_is_swept(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("deep").await?;
    post_many(ctx, &queue, 3_000, |number| Context::message(number, 60)).await?;
    let live = ctx.post_n(&queue, 3, 600).await?;
    ctx.advance_without_sweep(60)?;
    let first = ctx.data.messages().message_pop(&queue, limit(1)?).await?;
    check_eq!(ids(&first), pick(&live, [0])?, "the first pop behind three thousand expired");
    check_eq!(counts(ctx, &queue).await?, (0, 2), "claimed and free before a sweep");
    ctx.sweep().await?;
    check_eq!(counts(ctx, &queue).await?, (0, 2), "claimed and free after a sweep");
    let rest = ctx.data.messages().message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&rest), pick(&live, [1, 2])?, "the next pop");
    Ok(())
}
