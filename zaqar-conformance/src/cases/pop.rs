//! Pop: taking messages for good (G14).

use std::collections::HashSet;

use zaqar_core::{Error, MessageId};

use super::support::{counts, ids, is_no_message, limit, nth, pick};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    pop_removes_the_oldest = "pop.order.oldest_first" {
        level: Core,
        guarantees: [G14],
        methods: ["message_pop", "message_get", "message_stats"],
        summary: "A pop removes and returns up to its limit of the oldest messages, in queue order, as they were posted.",
    }
    pop_of_nothing_is_empty = "pop.order.empty_queue" {
        level: Core,
        guarantees: [G14],
        methods: ["message_pop"],
        summary: "A pop of an empty queue returns nothing.",
    }
    pop_leaves_claimed_messages = "pop.claimed.left_alone" {
        level: Extended(Claims),
        guarantees: [G5, G14],
        methods: ["message_pop", "claim_get", "claim_delete"],
        summary: "A pop takes the messages around claimed ones, and those once their claim is over.",
    }
    racing_pops_share_nothing = "pop.race.at_most_once" {
        level: Core,
        guarantees: [G14],
        methods: ["message_pop"],
        summary: "Twelve callers that pop at once at two nodes get every message, none of them twice.",
    }
    pop_takes_a_thousand = "pop.limit.a_thousand" {
        level: Core,
        guarantees: [G14],
        methods: ["message_pop"],
        summary: "One pop takes a thousand messages, in order.",
    }
}

async fn pop_removes_the_oldest(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("popped").await?;
    let posted = ctx.post_n(&queue, 8, 300).await?;
    let messages = ctx.data.messages();
    let before = messages.message_bulk_get(&queue, &pick(&posted, 0..3)?).await?;
    let first = messages.message_pop(&queue, limit(3)?).await?;
    check_eq!(first, before, "the first pop, against what was read before");
    for id in ids(&first) {
        expect_err(messages.message_get(&queue, id).await, is_no_message, "a popped message")?;
    }
    messages.message_delete(&queue, *nth(&posted, 4)?, None).await?;
    let second = messages.message_pop(&queue, limit(2)?).await?;
    check_eq!(ids(&second), pick(&posted, [3, 5])?, "the second pop");
    check_eq!(counts(ctx, &queue).await?, (0, 2), "claimed and free");
    let third = messages.message_pop(&queue, limit(20)?).await?;
    check_eq!(ids(&third), pick(&posted, [6, 7])?, "the third pop");
    let late = ctx.post_n(&queue, 1, 300).await?;
    check_eq!(ids(&messages.message_pop(&queue, limit(20)?).await?), late, "what came later");
    Ok(())
}

async fn pop_of_nothing_is_empty(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("empty").await?;
    let popped = ctx.data.messages().message_pop(&queue, limit(10)?).await?;
    check!(popped.is_empty(), "an empty queue yields {popped:?}");
    Ok(())
}

async fn pop_leaves_claimed_messages(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("around").await?;
    let posted = ctx.post_n(&queue, 6, 3_000).await?;
    let (claim, _) = ctx.claim(&queue, 60, 60, 2).await?;
    let messages = ctx.data.messages();
    let popped = messages.message_pop(&queue, limit(2)?).await?;
    check_eq!(ids(&popped), pick(&posted, [2, 3])?, "the pop behind a claim");
    let (next, _) = ctx.claim(&queue, 300, 60, 1).await?;
    let popped = messages.message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), pick(&posted, [5])?, "the pop between claims");
    let (_, held) = ctx.data.claims().claim_get(&queue, claim).await?;
    check_eq!(ids(&held), pick(&posted, [0, 1])?, "what the claim holds");
    ctx.advance_without_sweep(60)?;
    let popped = messages.message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), pick(&posted, [0, 1])?, "the pop at the claim's end");
    ctx.data.claims().claim_delete(&queue, next).await?;
    let popped = messages.message_pop(&queue, limit(10)?).await?;
    check_eq!(ids(&popped), pick(&posted, [4])?, "the pop after the release");
    Ok(())
}

async fn racing_pops_share_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("contended").await?;
    let posted = ctx.post_n(&queue, 300, 3_000).await?;
    let other = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    for caller in 0..12 {
        let node = if caller % 2 == 0 { ctx.drivers() } else { other.drivers() };
        let (queue, size) = (queue.clone(), limit(1 + caller % 4)?);
        tasks.push(tokio::spawn(async move {
            let mut taken: Vec<MessageId> = Vec::new();
            loop {
                let popped = node.data.messages().message_pop(&queue, size).await?;
                if popped.is_empty() {
                    return Ok::<_, Error>(taken);
                }
                taken.extend(ids(&popped));
            }
        }));
    }
    let mut seen = HashSet::new();
    for task in tasks {
        for id in task.await.map_err(Failure::broken)?? {
            check!(seen.insert(id), "two pops returned {id}");
        }
    }
    check_eq!(seen, posted.into_iter().collect::<HashSet<_>>(), "what the pops returned");
    other.close().await;
    Ok(())
}

async fn pop_takes_a_thousand(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("thousand").await?;
    let posted = ctx.post_n(&queue, 1_000, 300).await?;
    let popped = ctx.data.messages().message_pop(&queue, limit(1_000)?).await?;
    check_eq!(ids(&popped), posted, "the messages popped");
    check!(ctx.list_all(&queue).await?.is_empty(), "something is left");
    Ok(())
}
