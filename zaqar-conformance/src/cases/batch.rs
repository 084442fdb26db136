//! Batches: whole or not at all, for every reader (G2).

use zaqar_core::{Body, ListMessages, MessageId, NewMessage, PostMessages};

use super::support::{everything, ids, is_gone, limit, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    batch_is_seen_whole_or_not = "batch.post.seen_whole_or_not" {
        level: Core,
        guarantees: [G2, G9],
        methods: ["message_post", "message_list", "message_stats"],
        summary: "While batches are posted at two nodes, every page and count shows each batch whole or not at all.",
    }
    batch_stands_together = "batch.post.stands_together" {
        level: Core,
        guarantees: [G2],
        methods: ["message_post", "message_list"],
        summary: "The messages of one batch stand next to each other, whoever posts at the same time.",
    }
    batch_against_a_closing_queue = "batch.post.against_a_close" {
        level: Core,
        guarantees: [G2, G11],
        methods: ["message_post", "head_close"],
        summary: "Large batches that race the end of their queue are stored whole or refused with no effect.",
    }
    bulk_delete_is_seen_whole = "batch.delete.seen_whole" {
        level: Core,
        guarantees: [G2],
        methods: ["message_bulk_delete", "message_list"],
        summary: "A bulk delete is seen whole or not at all by a page that holds all of its messages.",
    }
    ids_belong_to_their_bodies = "batch.post.ids_belong_to_bodies" {
        level: Core,
        guarantees: [G2, G4],
        methods: ["message_post", "message_get"],
        summary: "Among concurrent batches each id that a post answered names the body at its place in that post.",
    }
}

/// The body of message `index` of batch `batch` of `producer`.
fn body(producer: usize, batch: usize, index: usize) -> Result<Body, Failure> {
    Ok(Body::from_json(format!("[{producer}, {batch}, {index}]"))?)
}

/// Two batches of ten stand alone in a queue; pages of a thousand show 0, 10 or 20 messages.
async fn batch_is_seen_whole_or_not(ctx: &Context) -> CaseResult {
    const SIZE: usize = 20;
    let queue = ctx.queue("whole").await?;
    let other = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    for producer in 0..4 {
        let node = if producer % 2 == 0 { ctx.drivers() } else { other.drivers() };
        let queue = queue.clone();
        tasks.push(tokio::spawn(async move {
            for _ in 0..10 {
                let batch = (0..SIZE).map(|n| Context::message(n, 3_000)).collect();
                node.data.messages().message_post(&queue, batch, PostMessages::new()).await?;
            }
            Ok::<_, zaqar_core::Error>(())
        }));
    }
    let mut latest = 0;
    while tasks.iter().any(|task| !task.is_finished()) {
        let options = everything().limit(limit(1_000)?);
        let seen = ctx.data.messages().message_list(&queue, options).await?.items.len();
        check!(seen % SIZE == 0 && seen >= latest, "{seen} messages after {latest}");
        latest = seen;
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.map_err(Failure::broken)??;
    }
    check_eq!(ctx.list_all(&queue).await?.len(), 40 * SIZE, "messages at last");
    other.close().await;
    Ok(())
}

/// Posts of several producers at two nodes: ids and bodies of every batch.
async fn post_concurrently(
    ctx: &Context,
    queue: &zaqar_core::QueueRef,
) -> Result<Vec<Vec<(MessageId, Body)>>, Failure> {
    let other = ctx.second_handle().await?;
    let mut tasks = Vec::new();
    for producer in 0..6 {
        let node = if producer % 2 == 0 { ctx.drivers() } else { other.drivers() };
        let queue = queue.clone();
        tasks.push(tokio::spawn(async move {
            let mut stored = Vec::new();
            for batch in 0..8 {
                let bodies =
                    (0..5)
                        .map(|index| body(producer, batch, index))
                        .collect::<Result<Vec<Body>, Failure>>()?;
                let new = |body: &Body| NewMessage::new(body.clone(), span(3_000));
                let messages = bodies.iter().map(new).collect();
                let options = PostMessages::new();
                let posted = node.data.messages().message_post(&queue, messages, options).await?;
                check_eq!(posted.ids.len(), bodies.len(), "the ids of a post");
                stored.push(posted.ids.into_iter().zip(bodies).collect::<Vec<_>>());
            }
            Ok::<_, Failure>(stored)
        }));
    }
    let mut batches = Vec::new();
    for task in tasks {
        batches.extend(task.await.map_err(Failure::broken)??);
    }
    other.close().await;
    Ok(batches)
}

async fn batch_stands_together(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("together").await?;
    let mut batches = post_concurrently(ctx, &queue).await?;
    batches.sort_by_key(|batch| batch.first().map(|(id, _)| *id));
    let wanted: Vec<MessageId> = batches.iter().flatten().map(|(id, _)| *id).collect();
    let listed = ctx.walk(&queue, ListMessages::new().limit(limit(7)?)).await?;
    check_eq!(ids(&listed), wanted, "the queue, batch by batch");
    Ok(())
}

async fn ids_belong_to_their_bodies(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("bodies").await?;
    for batch in post_concurrently(ctx, &queue).await? {
        for (id, body) in batch {
            let read = ctx.data.messages().message_get(&queue, id).await?;
            check_eq!(read.body.as_str(), body.as_str(), "the body behind {id}");
        }
    }
    Ok(())
}

async fn batch_against_a_closing_queue(ctx: &Context) -> CaseResult {
    let other = ctx.second_handle().await?;
    for round in 0..15 {
        let queue = ctx.queue(&format!("closing-{round}")).await?;
        let batch = (0..500).map(|n| Context::message(n, 3_000)).collect();
        let (posted, closed) = futures_util::future::join(
            other.data.messages().message_post(&queue, batch, PostMessages::new()),
            ctx.data.heads().head_close(&queue),
        )
        .await;
        closed?;
        match posted {
            Ok(posted) => check_eq!(posted.ids.len(), 500, "the ids of a post"),
            Err(error) => check!(is_gone(&error), "a post to a closing queue: {error:?}"),
        }
        let listed = ctx.data.messages().message_list(&queue, everything()).await;
        expect_err(listed, is_gone, "a listing of the closed queue")?;
    }
    let volume = ctx.data.volume().await?;
    check_eq!(volume.free + volume.claimed, 0, "live messages of closed queues");
    other.close().await;
    Ok(())
}

async fn bulk_delete_is_seen_whole(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("deleted").await?;
    let other = ctx.second_handle().await?;
    let posted = ctx.post_n(&queue, 300, 3_000).await?;
    let task = {
        let (node, queue, posted) = (other.drivers(), queue.clone(), posted.clone());
        tokio::spawn(async move {
            for chunk in posted.chunks(30) {
                node.data.messages().message_bulk_delete(&queue, chunk, None).await?;
                tokio::task::yield_now().await;
            }
            Ok::<_, zaqar_core::Error>(())
        })
    };
    while !task.is_finished() {
        let options = everything().limit(limit(1_000)?);
        let seen = ctx.data.messages().message_list(&queue, options).await?.items.len();
        check!(seen.is_multiple_of(30), "{seen} messages are left in the middle of a bulk delete");
        tokio::task::yield_now().await;
    }
    task.await.map_err(Failure::broken)??;
    check!(ctx.list_all(&queue).await?.is_empty(), "messages are left");
    other.close().await;
    Ok(())
}
