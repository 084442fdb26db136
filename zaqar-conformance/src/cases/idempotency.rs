//! Idempotency keys: a post that is repeated is stored once (G3).

use zaqar_core::{Error, IdempotencyKey, PostKey, PostMessages, Posted, QueueRef};

use super::support::{gc, ids, limit, nth, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    repeat_answers_the_same_ids = "idempotency.repeat.same_ids" {
        level: Core,
        guarantees: [G3],
        methods: ["message_post"],
        summary: "A repeat under its key answers the ids of the first post, says that it is one, and stores nothing.",
    }
    other_digest_is_a_conflict = "idempotency.conflict.other_digest" {
        level: Core,
        guarantees: [G2, G3],
        methods: ["message_post"],
        summary: "The same key with another digest is refused and stores nothing.",
    }
    other_keys_are_other_posts = "idempotency.key.bytewise" {
        level: Core,
        guarantees: [G3],
        methods: ["message_post"],
        summary: "Keys are compared byte by byte: another case, a space or a longer one is another key.",
    }
    key_outlives_its_messages = "idempotency.repeat.after_deletion" {
        level: Core,
        guarantees: [G3, G4],
        methods: ["message_post", "message_bulk_delete", "message_pop"],
        summary: "A repeat after the messages were consumed answers their ids and does not bring them back.",
    }
    key_outlives_a_purge = "idempotency.repeat.after_purge" {
        level: Core,
        guarantees: [G3, G4],
        methods: ["message_post", "message_purge"],
        summary: "A repeat after a purge answers the purged ids and stores nothing.",
    }
    key_is_kept_for_its_time = "idempotency.keep.exact" {
        level: Core,
        guarantees: [G3],
        methods: ["message_post", "gc", "sweep"],
        summary: "A key is remembered as long as it was asked to be, whatever is collected; afterwards a post stores anew.",
    }
    forgotten_key_is_removed = "idempotency.keep.removed" {
        level: Core,
        guarantees: [G3],
        methods: ["message_post", "gc"],
        summary: "A key whose time and margin are over is removed by the collection, and not twice.",
    }
    racing_repeats_store_once = "idempotency.race.stores_once" {
        level: Core,
        guarantees: [G2, G3],
        methods: ["message_post"],
        summary: "Repeats that race at two nodes store one batch and all answer its ids; one of them is the first.",
    }
    other_node_knows_the_key = "idempotency.repeat.at_another_node" {
        level: Core,
        guarantees: [G3],
        methods: ["message_post"],
        summary: "A key used at one node is known at another.",
    }
}

/// A key `text` for what digest `digest` stands for, remembered for `keep_s`.
pub(super) fn key(text: &str, digest: u8, keep_s: u64) -> Result<PostKey, Failure> {
    Ok(PostKey { key: IdempotencyKey::new(text)?, digest: [digest; 32], keep: span(keep_s) })
}

/// Posts three messages under `key`.
async fn post(ctx: &Context, queue: &QueueRef, key: PostKey) -> Result<Posted, Error> {
    let batch = (0..3).map(|number| Context::message(number, 3_000)).collect();
    ctx.data.messages().message_post(queue, batch, PostMessages::new().key(key)).await
}

async fn repeat_answers_the_same_ids(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("repeated").await?;
    let first = post(ctx, &queue, key("k", 1, 600)?).await?;
    check!(!first.repeated && first.ids.len() == 3, "the first post answers {first:?}");
    let later = ctx.post_n(&queue, 1, 3_000).await?;
    for _ in 0..3 {
        let again = post(ctx, &queue, key("k", 1, 600)?).await?;
        check_eq!(again.ids, first.ids, "the ids of a repeat");
        check!(again.repeated, "a repeat does not say that it is one");
    }
    check_eq!(ids(&ctx.list_all(&queue).await?), [first.ids, later].concat(), "the queue");
    Ok(())
}

async fn other_digest_is_a_conflict(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("conflict").await?;
    let first = post(ctx, &queue, key("k", 1, 600)?).await?;
    let conflict = |error: &Error| matches!(error, Error::IdempotencyConflict);
    let mut nearly = key("k", 1, 600)?;
    if let Some(last) = nearly.digest.last_mut() {
        *last = 2;
    }
    for other in [key("k", 2, 600)?, nearly] {
        expect_err(post(ctx, &queue, other).await, conflict, "the key with another digest")?;
        check_eq!(ids(&ctx.list_all(&queue).await?), first.ids, "the queue after it");
    }
    let again = post(ctx, &queue, key("k", 1, 600)?).await?;
    check_eq!((again.ids, again.repeated), (first.ids, true), "the right repeat after it");
    Ok(())
}

async fn other_keys_are_other_posts(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("bytewise").await?;
    let long = "x".repeat(255);
    let texts = ["k", "K", "k ", " k", "kk", "\u{e9}", "e\u{301}", "%", "'", long.as_str()];
    let mut stored = Vec::new();
    for text in texts {
        let posted = post(ctx, &queue, key(text, 1, 600)?).await?;
        check!(!posted.repeated, "the key {text:?} was taken for an earlier one");
        stored.extend(posted.ids);
    }
    check_eq!(ids(&ctx.list_all(&queue).await?), stored, "the queue");
    Ok(())
}

async fn key_outlives_its_messages(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("consumed").await?;
    let first = post(ctx, &queue, key("k", 1, 6_000)?).await?;
    let messages = ctx.data.messages();
    messages.message_bulk_delete(&queue, &first.ids, None).await?;
    let popped = post(ctx, &queue, key("other", 1, 6_000)?).await?;
    messages.message_pop(&queue, limit(3)?).await?;
    ctx.advance(1_000).await?;
    gc(ctx, 300).await?;
    for (text, wanted) in [("k", &first), ("other", &popped)] {
        let again = post(ctx, &queue, key(text, 1, 6_000)?).await?;
        check_eq!((&again.ids, again.repeated), (&wanted.ids, true), "the repeat under {text}");
    }
    check!(ctx.list_all(&queue).await?.is_empty(), "a repeat brought messages back");
    Ok(())
}

async fn key_outlives_a_purge(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("purged").await?;
    let first = post(ctx, &queue, key("k", 1, 6_000)?).await?;
    ctx.data.messages().message_purge(&queue).await?;
    let again = post(ctx, &queue, key("k", 1, 6_000)?).await?;
    check_eq!((again.ids, again.repeated), (first.ids, true), "the repeat");
    check!(ctx.list_all(&queue).await?.is_empty(), "a repeat brought messages back");
    Ok(())
}

async fn forgotten_key_is_removed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("removed").await?;
    let posted = post(ctx, &queue, key("k", 1, 6_000)?).await?;
    ctx.data.messages().message_bulk_delete(&queue, &posted.ids, None).await?;
    // Whatever else there is to remove goes first.
    ctx.advance(5_000).await?;
    gc(ctx, 300).await?;
    check_eq!(gc(ctx, 300).await?, 0, "rows removed while the key is kept");
    ctx.advance(1_301).await?;
    check!(gc(ctx, 300).await? > 0, "a key that is over is never removed");
    check_eq!(gc(ctx, 300).await?, 0, "rows removed by the next collection");
    Ok(())
}

async fn key_is_kept_for_its_time(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    let first = post(ctx, &queue, key("k", 1, 600)?).await?;
    for passed in [300, 299] {
        ctx.advance(passed).await?;
        gc(ctx, 0).await?;
    }
    let again = post(ctx, &queue, key("k", 1, 600)?).await?;
    check_eq!((&again.ids, again.repeated), (&first.ids, true), "a repeat a second before");
    ctx.advance(2).await?;
    let anew = post(ctx, &queue, key("k", 2, 600)?).await?;
    check!(!anew.repeated, "a forgotten key still answers");
    check!(anew.ids.iter().all(|id| !first.ids.contains(id)), "old ids were given out again");
    check_eq!(ids(&ctx.list_all(&queue).await?), [first.ids, anew.ids.clone()].concat(), "queue");
    let repeat = post(ctx, &queue, key("k", 2, 600)?).await?;
    check_eq!((repeat.ids, repeat.repeated), (anew.ids, true), "a repeat of the new post");
    Ok(())
}

async fn racing_repeats_store_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("raced").await?;
    let other = ctx.second_handle().await?;
    let mut stored = Vec::new();
    for round in 0..10 {
        let wanted = key(&format!("k{round}"), 1, 600)?;
        let calls = (0..8)
            .map(|call| post(if call % 2 == 0 { ctx } else { &other }, &queue, wanted.clone()));
        let mut answers = Vec::new();
        for answer in futures_util::future::join_all(calls).await {
            answers.push(answer?);
        }
        let first = nth(&answers, 0)?.ids.clone();
        check!(answers.iter().all(|a| a.ids == first), "repeats answer different ids: {answers:?}");
        let made = answers.iter().filter(|answer| !answer.repeated).count();
        check_eq!(made, 1, "posts that stored something in round {round}");
        stored.extend(first);
    }
    check_eq!(ids(&ctx.list_all(&queue).await?), stored, "the queue");
    other.close().await;
    Ok(())
}

async fn other_node_knows_the_key(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("nodes").await?;
    let other = ctx.second_handle().await?;
    let first = post(ctx, &queue, key("k", 1, 600)?).await?;
    let again = post(&other, &queue, key("k", 1, 600)?).await?;
    check_eq!((again.ids, again.repeated), (first.ids, true), "the repeat at the other node");
    check_eq!(ctx.list_all(&queue).await?.len(), 3, "messages stored");
    other.close().await;
    Ok(())
}
