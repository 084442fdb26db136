//! A queue deleted and made again: nothing of its past comes back (G11).

use zaqar_core::{Error, MessageMarker, NewSubscription, PostMessages, QueueRef};

use super::operations::attempt_all;
use super::support::{
    counts, everything, gc, ids, is_gone, is_no_claim, is_no_message, limit, nth, post_many, span,
};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    recreated_queue_is_empty = "incarnation.recreate.is_empty" {
        level: Core,
        guarantees: [G4, G11],
        methods: ["message_list", "message_get", "message_bulk_get", "message_stats", "message_pop", "message_first"],
        summary: "A queue made again under its old name shows, counts and pops nothing of its past.",
    }
    old_claims_are_gone = "incarnation.recreate.no_old_claims" {
        level: Extended(Claims),
        guarantees: [G6, G11],
        methods: ["claim_get", "claim_update", "claim_delete", "message_delete"],
        summary: "Claims of the past are not found in the new queue and delete nothing there.",
    }
    old_subscriptions_are_gone = "incarnation.recreate.no_old_subscriptions" {
        level: Extended(Subscriptions),
        guarantees: [G11, G13],
        methods: ["subscription_list", "subscription_find", "subscription_get", "delivery_lease"],
        summary: "Subscriptions end with their incarnation: the new queue has none and sends nothing to old addresses.",
    }
    old_keys_are_forgotten = "incarnation.recreate.no_old_keys" {
        level: Core,
        guarantees: [G3, G11],
        methods: ["message_post"],
        summary: "An idempotency key of the past does not swallow a post to the new queue.",
    }
    old_reference_is_refused = "incarnation.old.refused" {
        level: Core,
        guarantees: [G11],
        methods: ["head_close", "message_post", "message_purge", "message_bulk_delete"],
        summary: "Operations that still carry the old incarnation are refused and touch nothing of the new one.",
    }
    positions_are_not_reused = "incarnation.marker.old_is_from_the_start" {
        level: Core,
        guarantees: [G9, G11],
        methods: ["message_list"],
        summary: "A marker into the past hides nothing of the new queue, however short that is.",
    }
    gc_of_the_old_spares_the_new = "incarnation.gc.spares_the_new" {
        level: Core,
        guarantees: [G8, G11],
        methods: ["gc", "volume"],
        summary: "Collecting a closed incarnation empties it alone, in bounded steps, and leaves the new one whole.",
    }
    many_lives_stay_apart = "incarnation.recreate.many_times" {
        level: Core,
        guarantees: [G11],
        methods: ["queue_allocate_incarnation", "head_open", "head_close"],
        summary: "Through ten lives under one name each shows its own messages alone.",
    }
    posts_racing_a_delete_are_never_orphaned = "incarnation.race.post_and_delete" {
        level: Core,
        guarantees: [G1, G11],
        methods: ["message_post", "head_close"],
        summary: "A post that races a delete is refused or covered by it; a post to the next life is never touched by it.",
    }
}

/// Deletes `queue` and makes another of its name.
async fn recreate(ctx: &Context, queue: &QueueRef) -> Result<QueueRef, Failure> {
    ctx.delete_queue(queue).await?;
    let new = ctx.make(queue.key.clone()).await?;
    check!(new.incarnation > queue.incarnation, "{new:?} does not come after {queue:?}");
    Ok(new)
}

async fn recreated_queue_is_empty(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    let posted = ctx.post_n(&old, 20, 3_000).await?;
    let new = recreate(ctx, &old).await?;
    let messages = ctx.data.messages();
    check!(ctx.list_all(&new).await?.is_empty(), "the past is listed");
    for id in &posted {
        let read = messages.message_get(&new, *id).await;
        expect_err(read, is_no_message, "reading a message of the past")?;
    }
    check!(messages.message_bulk_get(&new, &posted).await?.is_empty(), "the past is read in bulk");
    let first = messages.message_first(&new, zaqar_core::QueueEnd::Newest).await?;
    check_eq!(first, None, "the newest message");
    check!(messages.message_pop(&new, limit(100)?).await?.is_empty(), "the past is popped");
    let stats = super::support::stats(ctx, &new).await?;
    check_eq!(stats, zaqar_core::QueueStats::default(), "the statistics");
    check_eq!(ctx.data.heads().head_get(&new).await?.sequence_next, 1, "the first position");
    let fresh = ctx.post_n(&new, 3, 3_000).await?;
    check_eq!(ids(&ctx.list_all(&new).await?), fresh, "the new messages");
    Ok(())
}

async fn old_claims_are_gone(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    ctx.post_n(&old, 5, 3_000).await?;
    let (claim, _) = ctx.claim(&old, 1_000, 60, 5).await?;
    let new = recreate(ctx, &old).await?;
    let fresh = ctx.post_n(&new, 2, 3_000).await?;
    let claims = ctx.data.claims();
    expect_err(claims.claim_get(&new, claim).await, is_no_claim, "reading it")?;
    let renewed = claims.claim_update(&new, claim, span(600), span(60)).await;
    expect_err(renewed, is_no_claim, "renewing it")?;
    claims.claim_delete(&new, claim).await?;
    let deleted = ctx.data.messages().message_delete(&new, *nth(&fresh, 0)?, Some(claim)).await;
    expect_err(deleted, super::support::is_fenced, "deleting a new message with it")?;
    let (_, taken) = ctx.claim(&new, 600, 60, 10).await?;
    check_eq!(ids(&taken), fresh, "what a new claim takes");
    Ok(())
}

async fn old_subscriptions_are_gone(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    let subscriptions = ctx.data.subscriptions();
    let address = "http://subscriber.example/";
    let new_one = || NewSubscription::new(address, span(30_000));
    let past = subscriptions.subscription_create(&old, new_one()).await?.into_inner();
    ctx.post_n(&old, 2, 3_000).await?;
    let new = recreate(ctx, &old).await?;
    ctx.post_n(&new, 2, 3_000).await?;
    check_eq!(subscriptions.subscription_find(&new, address).await?, None, "the old subscriber");
    let listed = subscriptions.subscription_list(&new, None, limit(10)?).await?;
    check!(listed.items.is_empty(), "old subscriptions are listed: {:?}", listed.items);
    let read = subscriptions.subscription_get(&new, past.id).await;
    let missing = |error: &Error| matches!(error, Error::SubscriptionNotFound { .. });
    expect_err(read, missing, "reading the old subscription")?;
    check!(super::outbox::lease(ctx, 60).await?.is_empty(), "an old address is still served");
    let made = subscriptions.subscription_create(&new, new_one()).await?;
    check!(made.is_new(), "the old subscription stands in the way");
    Ok(())
}

async fn old_keys_are_forgotten(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    let options = PostMessages::new().key(super::idempotency::key("k", 1, 10_000)?);
    let messages = ctx.data.messages();
    let batch = || vec![Context::message(0, 3_000)];
    messages.message_post(&old, batch(), options.clone()).await?;
    let new = recreate(ctx, &old).await?;
    let posted = messages.message_post(&new, batch(), options).await?;
    check!(!posted.repeated, "a key of the past was found");
    check_eq!(ids(&ctx.list_all(&new).await?), posted.ids, "the new queue's messages");
    Ok(())
}

async fn old_reference_is_refused(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    ctx.post_n(&old, 3, 3_000).await?;
    let new = recreate(ctx, &old).await?;
    let fresh = ctx.post_n(&new, 3, 3_000).await?;
    for (operation, answer) in attempt_all(ctx, &old).await? {
        expect_err(answer, is_gone, format!("{operation} on the old incarnation"))?;
    }
    ctx.data.heads().head_close(&old).await?;
    let messages = ctx.data.messages();
    let doomed = messages.message_bulk_delete(&old, &fresh, None).await;
    expect_err(doomed, is_gone, "deleting new messages through the old incarnation")?;
    check_eq!(ids(&ctx.list_all(&new).await?), fresh, "the new queue's messages");
    Ok(())
}

async fn positions_are_not_reused(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    let posted = ctx.post_n(&old, 30, 3_000).await?;
    let new = recreate(ctx, &old).await?;
    let fresh = ctx.post_n(&new, 5, 3_000).await?;
    for id in posted {
        let walked = ctx.walk(&new, everything().marker(MessageMarker::from(id))).await?;
        check_eq!(ids(&walked), fresh, "the new queue after the old marker {id}");
    }
    Ok(())
}

async fn gc_of_the_old_spares_the_new(ctx: &Context) -> CaseResult {
    let old = ctx.queue("reborn").await?;
    post_many(ctx, &old, 2_500, |n| Context::message(n, 1_000_000)).await?;
    let new = recreate(ctx, &old).await?;
    let fresh = ctx.post_n(&new, 5, 1_000_000).await?;
    ctx.advance(1_000).await?;
    let rows = gc(ctx, 300).await?;
    check!(rows >= 2_500, "collecting 2500 messages of a closed incarnation removed {rows} rows");
    check_eq!(gc(ctx, 300).await?, 0, "rows removed by the next collection");
    check_eq!(ids(&ctx.list_all(&new).await?), fresh, "the new queue's messages");
    check_eq!(counts(ctx, &new).await?, (0, 5), "claimed and free");
    let volume = ctx.data.volume().await?;
    check_eq!((volume.free, volume.claimed), (5, 0), "the store's volume");
    Ok(())
}

async fn many_lives_stay_apart(ctx: &Context) -> CaseResult {
    let mut queue = ctx.queue("reborn").await?;
    for life in 1..=10 {
        let posted = ctx.post_n(&queue, life, 1_000_000).await?;
        check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the messages of life {life}");
        if life % 3 == 0 {
            ctx.advance(1_000).await?;
            gc(ctx, 300).await?;
        }
        queue = recreate(ctx, &queue).await?;
    }
    check!(ctx.list_all(&queue).await?.is_empty(), "the last life starts with messages");
    Ok(())
}

async fn posts_racing_a_delete_are_never_orphaned(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    let mut queue = ctx.queue("raced").await?;
    for round in 0..25 {
        let before = ctx.list_all(&queue).await?.len();
        let poster = {
            let (node, queue) = (other.drivers(), queue.clone());
            tokio::spawn(async move {
                let mut acked = 0_u32;
                loop {
                    let batch = vec![Context::message(0, 3_000)];
                    let options = PostMessages::new();
                    match node.data.messages().message_post(&queue, batch, options).await {
                        Ok(_) => acked += 1,
                        Err(error) => return (acked, error),
                    }
                    tokio::task::yield_now().await;
                }
            })
        };
        // The delete comes while posts are under way: at least one was acknowledged.
        while ctx.list_all(&queue).await?.len() == before {
            tokio::task::yield_now().await;
        }
        let new = recreate(ctx, &queue).await?;
        let fresh = ctx.post_n(&new, 2, 3_000).await?;
        let (acked, error) = poster.await.map_err(Failure::broken)?;
        check!(acked > 0 && is_gone(&error), "{acked} posts, then {error:?} in round {round}");
        check_eq!(ids(&ctx.list_all(&new).await?), fresh, "the new queue in round {round}");
        queue = new;
    }
    other.close().await;
    Ok(())
}
