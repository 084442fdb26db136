//! Purging: what was posted so far is gone at once, what is posted later stays.

use zaqar_core::{Capability, PostMessages};

use super::support::{
    counts, gc, ids, is_no_claim, is_no_message, limit, needs, nth, post_delayed, post_many, span,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    purge_takes_everything_so_far = "purge.message.takes_everything" {
        level: Core,
        guarantees: [G4],
        methods: ["message_purge", "message_list", "message_get", "message_stats", "message_pop", "message_first"],
        summary: "A purge hides every message from every read and count at once; purging again is silent.",
    }
    purge_takes_claimed_messages = "purge.message.takes_claimed" {
        level: Extended(Claims),
        guarantees: [G4],
        methods: ["message_purge", "claim_get", "claim_update", "claim_delete"],
        summary: "A purge takes claimed messages too; their claim is over and brings none of them back.",
    }
    purge_takes_delayed_messages = "purge.message.takes_delayed" {
        level: Extended(Delay),
        guarantees: [G4],
        methods: ["message_purge"],
        summary: "A purge takes delayed messages too; they do not appear when their delay ends.",
    }
    later_posts_are_kept = "purge.message.keeps_later_posts" {
        level: Core,
        guarantees: [G1, G4],
        methods: ["message_purge", "message_post", "gc"],
        summary: "What is posted after a purge stays, whatever is swept and collected, and takes no old position.",
    }
    purged_lives_end_unnoticed = "purge.expiry.counts_nothing" {
        level: Core,
        guarantees: [G4, G8],
        methods: ["message_purge", "sweep", "message_stats"],
        summary: "When the lives of purged messages end, what was posted after the purge is counted as before, and had.",
    }
    large_purge_is_reclaimed = "purge.gc.reclaims" {
        level: Core,
        guarantees: [G8],
        methods: ["message_purge", "gc"],
        summary: "Collections remove purged messages in bounded steps, and nothing else.",
    }
    purge_leaves_subscriptions = "purge.message.leaves_subscriptions" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["message_purge", "subscription_list", "delivery_lease"],
        summary: "A purge of messages leaves the queue's subscriptions, which are sent what is posted later.",
    }
    posts_racing_a_purge_are_kept_or_covered = "purge.race.posts" {
        level: Core,
        guarantees: [G1, G2],
        methods: ["message_purge", "message_post"],
        summary: "A purge that races batches takes each whole or not at all, and none posted after it answered.",
    }
}

async fn purge_takes_everything_so_far(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("purged").await?;
    let posted = ctx.post_n(&queue, 25, 3_000).await?;
    let messages = ctx.data.messages();
    messages.message_purge(&queue).await?;
    messages.message_purge(&queue).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "purged messages are listed");
    let read = messages.message_get(&queue, *nth(&posted, 3)?).await;
    expect_err(read, is_no_message, "reading a purged message")?;
    check!(messages.message_bulk_get(&queue, &posted).await?.is_empty(), "they are read in bulk");
    let first = messages.message_first(&queue, zaqar_core::QueueEnd::Oldest).await?;
    check_eq!(first, None, "the oldest message");
    check!(messages.message_pop(&queue, limit(100)?).await?.is_empty(), "they are popped");
    messages.message_delete(&queue, *nth(&posted, 3)?, None).await?;
    let stats = super::support::stats(ctx, &queue).await?;
    check_eq!(stats, zaqar_core::QueueStats::default(), "the statistics");
    let volume = ctx.data.volume().await?;
    check_eq!(volume.free + volume.claimed, 0, "the store's volume");
    Ok(())
}

async fn purge_takes_claimed_messages(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("purged").await?;
    ctx.post_n(&queue, 6, 3_000).await?;
    let (claim, _) = ctx.claim(&queue, 60, 60, 4).await?;
    ctx.data.messages().message_purge(&queue).await?;
    let claims = ctx.data.claims();
    expect_err(claims.claim_get(&queue, claim).await, is_no_claim, "reading the claim")?;
    let renewed = claims.claim_update(&queue, claim, span(600), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing the claim")?;
    claims.claim_delete(&queue, claim).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "purged messages came back on release");
    ctx.advance(60).await?;
    let (_, taken) = ctx.claim(&queue, 60, 60, 10).await?;
    check!(taken.is_empty(), "purged messages are claimed: {taken:?}");
    check_eq!(counts(ctx, &queue).await?, (0, 0), "claimed and free");
    Ok(())
}

async fn purge_takes_delayed_messages(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("purged").await?;
    post_delayed(ctx, &queue, 5, 3_000, 100).await?;
    ctx.data.messages().message_purge(&queue).await?;
    ctx.advance(100).await?;
    check!(ctx.list_all(&queue).await?.is_empty(), "purged messages appeared");
    check!(
        ctx.data.messages().message_pop(&queue, limit(10)?).await?.is_empty(),
        "purged messages are popped"
    );
    Ok(())
}

async fn later_posts_are_kept(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    let old = ctx.post_n(&queue, 30, 100_000).await?;
    ctx.data.messages().message_purge(&queue).await?;
    let new = ctx.post_n(&queue, 5, 100_000).await?;
    check!(nth(&new, 0)? > nth(&old, 29)?, "{new:?} does not come after {old:?}");
    for _ in 0..3 {
        check_eq!(ids(&ctx.list_all(&queue).await?), new, "the queue");
        check_eq!(ids(&ctx.list_free(&queue).await?), new, "the default listing");
        check_eq!(counts(ctx, &queue).await?, (0, 5), "claimed and free");
        ctx.advance(1_000).await?;
        gc(ctx, 0).await?;
    }
    Ok(())
}

async fn purged_lives_end_unnoticed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ended").await?;
    ctx.post_n(&queue, 3, 60).await?;
    ctx.data.messages().message_purge(&queue).await?;
    let new = ctx.post_n(&queue, 2, 3_000).await?;
    ctx.advance(60).await?;
    check_eq!(counts(ctx, &queue).await?, (0, 2), "claimed and free");
    let popped = ctx.data.messages().message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), new, "what a pop takes");
    check_eq!(counts(ctx, &queue).await?, (0, 0), "claimed and free after it");
    Ok(())
}

async fn large_purge_is_reclaimed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("large").await?;
    post_many(ctx, &queue, 2_500, |n| Context::message(n, 1_000_000)).await?;
    ctx.data.messages().message_purge(&queue).await?;
    let kept = ctx.post_n(&queue, 3, 1_000_000).await?;
    ctx.advance(1_000).await?;
    let rows = gc(ctx, 300).await?;
    check!(rows >= 2_500, "collecting 2500 purged messages removed {rows} rows");
    check_eq!(gc(ctx, 300).await?, 0, "rows removed by the next collection");
    check_eq!(ids(&ctx.list_all(&queue).await?), kept, "what is left");
    Ok(())
}

async fn purge_leaves_subscriptions(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("purged").await?;
    super::outbox::subscribe(ctx, &queue, "http://a.example/").await?;
    ctx.data.messages().message_purge(&queue).await?;
    let listed = ctx.data.subscriptions().subscription_list(&queue, None, limit(10)?).await?;
    check_eq!(listed.items.len(), 1, "subscriptions after a purge");
    let posted = ctx.post_n(&queue, 2, 3_000).await?;
    let deliveries = super::outbox::lease(ctx, 60).await?;
    check_eq!(super::outbox::sent(&deliveries), posted, "what is delivered after a purge");
    Ok(())
}

async fn posts_racing_a_purge_are_kept_or_covered(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::VirtualTime)?;
    let other = ctx.second_handle().await?;
    for round in 0..20 {
        let queue = ctx.queue(&format!("raced-{round}")).await?;
        ctx.post_n(&queue, 5, 3_000).await?;
        let posting = async {
            let mut batches = Vec::new();
            for _ in 0..6 {
                let batch = (0..5).map(|n| Context::message(n, 3_000)).collect();
                let messages = other.data.messages();
                let posted = messages.message_post(&queue, batch, PostMessages::new()).await?;
                batches.push(posted.ids);
            }
            Ok::<_, Failure>(batches)
        };
        let purging = ctx.data.messages().message_purge(&queue);
        let (batches, purged) = futures_util::future::join(posting, purging).await;
        purged?;
        let batches = batches?;
        let after = ctx.post_n(&queue, 5, 3_000).await?;
        let left = ids(&ctx.list_all(&queue).await?);
        let cut = batches.iter().position(|batch| batch.iter().any(|id| left.contains(id)));
        let kept = batches.iter().skip(cut.unwrap_or(batches.len())).flatten().copied();
        let wanted: Vec<_> = kept.chain(after).collect();
        check_eq!(left, wanted, "what a purge left of batches in round {round}");
    }
    other.close().await;
    Ok(())
}
