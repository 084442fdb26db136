//! Counts of queues that are emptied at the same time: a driver that gathers operations of several
//! queues into one step must not count one queue's messages for another (G12).

use zaqar_core::{ClaimId, CreateClaim, Error, MessageId, PageLimit, QueueRef};

use super::support::{limit, pick, span, stats};
use crate::case::{CaseResult, Failure, cases, check_eq};
use crate::context::Context;
use crate::harness::Drivers;

cases! {
    counts_stay_apart_while_queues_are_emptied = "stats.race.each_queue_its_own" {
        level: Core,
        guarantees: [G12],
        methods: ["message_stats", "message_delete", "message_bulk_delete", "message_pop"],
        summary: "After deletes and pops on several queues at once at two nodes, each queue counts what it holds.",
    }
    claims_are_counted_apart = "stats.race.claims_apart" {
        level: Extended(Claims),
        guarantees: [G5, G12],
        methods: ["message_stats", "claim_create", "claim_delete"],
        summary: "After claims and releases on several queues at once, each queue counts its own claimed and free messages.",
    }
}

const QUEUES: usize = 4;
const MESSAGES: usize = 24;

async fn counts_stay_apart_while_queues_are_emptied(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    let mut queues = Vec::new();
    for number in 0..QUEUES {
        let queue = ctx.queue(&format!("emptied-{number}")).await?;
        let posted = ctx.post_n(&queue, MESSAGES, 3_000).await?;
        // Another number of messages of each queue goes.
        let doomed = pick(&posted, 0..8 + number)?;
        let node = if number % 2 == 0 { ctx.drivers() } else { other.drivers() };
        tasks.push(tokio::spawn(empty(node, queue.clone(), doomed, number, limit(1)?)));
        queues.push(queue);
    }
    for task in tasks {
        task.await.map_err(Failure::broken)??;
    }
    for queue in &queues {
        let (counted, listed) = (stats(ctx, queue).await?, ctx.list_all(queue).await?.len());
        check_eq!((counted.claimed, counted.free), (0, listed as u64), "the counts of {queue:?}");
    }
    other.close().await;
    Ok(())
}

/// Deletes `doomed`, one by one and then several at once, and pops `pops` messages, one at a time.
async fn empty(
    node: Drivers,
    queue: QueueRef,
    doomed: Vec<MessageId>,
    pops: usize,
    one: PageLimit,
) -> Result<(), Error> {
    let messages = node.data.messages();
    let (singles, rest) = doomed.split_at(doomed.len() / 2);
    let deletes = singles.iter().map(|id| messages.message_delete(&queue, *id, None));
    futures_util::future::try_join_all(deletes).await?;
    messages.message_bulk_delete(&queue, rest, None).await?;
    for _ in 0..pops {
        messages.message_pop(&queue, one).await?;
    }
    Ok(())
}

async fn claims_are_counted_apart(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    let mut queues = Vec::new();
    for kept in [2_u32, 3, 4, 5] {
        let queue = ctx.queue(&format!("claimed-{kept}")).await?;
        ctx.post_n(&queue, MESSAGES, 3_000).await?;
        let node = if kept % 2 == 0 { ctx.drivers() } else { other.drivers() };
        let at_once = limit(kept)?;
        let on = queue.clone();
        tasks.push(tokio::spawn(async move {
            let claims = node.data.claims();
            for _ in 0..3 {
                let id = ClaimId::random();
                let claim = CreateClaim::new(id, span(600), span(60)).limit(at_once);
                claims.claim_create(&on, claim).await?;
                claims.claim_delete(&on, id).await?;
            }
            let claim = CreateClaim::new(ClaimId::random(), span(600), span(60)).limit(at_once);
            claims.claim_create(&on, claim).await.map(|claimed| (claimed.messages.len(), kept))
        }));
        queues.push(queue);
    }
    for (task, queue) in tasks.into_iter().zip(&queues) {
        let (claimed, kept) = task.await.map_err(Failure::broken)??;
        let kept = u64::from(kept);
        check_eq!(claimed as u64, kept, "claimed in {queue:?}");
        let counted = stats(ctx, queue).await?;
        let free = MESSAGES as u64 - kept;
        check_eq!((counted.claimed, counted.free), (kept, free), "{queue:?}");
    }
    other.close().await;
    Ok(())
}
