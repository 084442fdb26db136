//! What is there for those who wait: one question about many queues.

use zaqar_core::{MessageId, MessageMarker, MessageWatch, QueueRef};

use super::support::{limit, nth, post_delayed};
use crate::case::{CaseResult, Failure, cases, check_eq};
use crate::context::Context;

cases! {
    each_place_is_answered_for_itself = "available.place.in_the_order_asked" {
        level: Core,
        guarantees: [G8, G9, G12],
        methods: ["message_available"],
        summary: "Of many places at once each is told, in the order asked, whether something claimable is behind it.",
    }
    what_is_over_is_not_there = "available.over.not_told" {
        level: Core,
        guarantees: [G4, G8],
        methods: ["message_available", "message_purge"],
        summary: "What has expired, was taken or purged is not told, with no sweep needed.",
    }
    what_is_gone_is_looked_at = "available.gone.told" {
        level: Core,
        guarantees: [G11],
        methods: ["message_available", "head_close"],
        summary: "An incarnation that was closed or never opened is told to have something, so that its waiters look.",
    }
    claimed_messages_are_there_again = "available.claimed.from_the_end_on" {
        level: Extended(Claims),
        guarantees: [G5, G7],
        methods: ["message_available", "claim_create", "claim_delete"],
        summary: "Claimed messages are not told until the very moment their claim ends, or is released, with no sweep needed.",
    }
    delayed_messages_are_there_in_time = "available.delayed.from_the_end_on" {
        level: Extended(Delay),
        guarantees: [G1],
        methods: ["message_available"],
        summary: "Delayed messages are not told until the very moment their delay ends, with no sweep needed.",
    }
}

fn behind(queue: &QueueRef, after: Option<MessageId>) -> MessageWatch {
    MessageWatch { queue: queue.clone(), after: after.map(MessageMarker::from) }
}

async fn is_there(ctx: &Context, queue: &QueueRef) -> Result<Vec<bool>, Failure> {
    Ok(ctx.data.messages().message_available(&[behind(queue, None)]).await?)
}

async fn each_place_is_answered_for_itself(ctx: &Context) -> CaseResult {
    let (full, empty) = (ctx.queue("full").await?, ctx.queue("empty").await?);
    let other = ctx.queue_in(&ctx.project("other")?, "full").await?;
    let posted = ctx.post_n(&full, 3, 300).await?;
    let messages = ctx.data.messages();
    let places = [
        behind(&empty, None),
        behind(&full, None),
        behind(&full, Some(*nth(&posted, 1)?)),
        behind(&full, Some(*nth(&posted, 2)?)),
        behind(&other, None),
        behind(&full, None),
    ];
    let told = messages.message_available(&places).await?;
    check_eq!(told, vec![false, true, true, false, false, true], "what is behind the places");
    check_eq!(messages.message_available(&[]).await?, Vec::<bool>::new(), "of no place");
    ctx.post_n(&full, 1, 300).await?;
    let last = behind(&full, Some(*nth(&posted, 2)?));
    check_eq!(messages.message_available(&[last]).await?, vec![true], "behind what was last");
    Ok(())
}

async fn what_is_over_is_not_there(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("over").await?;
    let messages = ctx.data.messages();
    ctx.post_n(&queue, 2, 300).await?;
    ctx.advance_without_sweep(299)?;
    check_eq!(is_there(ctx, &queue).await?, vec![true], "a second before the end of life");
    ctx.advance_without_sweep(1)?;
    check_eq!(is_there(ctx, &queue).await?, vec![false], "at the end of life");
    ctx.post_n(&queue, 2, 300).await?;
    messages.message_pop(&queue, limit(2)?).await?;
    check_eq!(is_there(ctx, &queue).await?, vec![false], "after a pop of everything");
    ctx.post_n(&queue, 2, 300).await?;
    messages.message_purge(&queue).await?;
    check_eq!(is_there(ctx, &queue).await?, vec![false], "after a purge");
    ctx.post_n(&queue, 1, 300).await?;
    check_eq!(is_there(ctx, &queue).await?, vec![true], "after the next post");
    Ok(())
}

async fn what_is_gone_is_looked_at(ctx: &Context) -> CaseResult {
    let (closed, open) = (ctx.queue("closed").await?, ctx.queue("open").await?);
    check_eq!(is_there(ctx, &closed).await?, vec![false], "while it is open and empty");
    ctx.data.heads().head_close(&closed).await?;
    let never = ctx.unopened("never").await?;
    let places = [behind(&closed, None), behind(&open, None), behind(&never, None)];
    let told = ctx.data.messages().message_available(&places).await?;
    check_eq!(told, vec![true, false, true], "closed, open, never opened");
    Ok(())
}

async fn claimed_messages_are_there_again(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("claimed").await?;
    ctx.post_n(&queue, 2, 3_000).await?;
    ctx.claim(&queue, 60, 60, 2).await?;
    check_eq!(is_there(ctx, &queue).await?, vec![false], "while all is claimed");
    ctx.advance_without_sweep(59)?;
    check_eq!(is_there(ctx, &queue).await?, vec![false], "a second before the claim's end");
    ctx.advance_without_sweep(1)?;
    check_eq!(is_there(ctx, &queue).await?, vec![true], "at the claim's end");
    let (claim, _) = ctx.claim(&queue, 60, 60, 2).await?;
    check_eq!(is_there(ctx, &queue).await?, vec![false], "while all is claimed again");
    ctx.data.claims().claim_delete(&queue, claim).await?;
    check_eq!(is_there(ctx, &queue).await?, vec![true], "after the release");
    Ok(())
}

async fn delayed_messages_are_there_in_time(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("delayed").await?;
    let first = ctx.post_n(&queue, 1, 300).await?;
    post_delayed(ctx, &queue, 1, 300, 30).await?;
    let place = [behind(&queue, Some(*nth(&first, 0)?))];
    let messages = ctx.data.messages();
    ctx.advance_without_sweep(29)?;
    check_eq!(messages.message_available(&place).await?, vec![false], "a second before");
    ctx.advance_without_sweep(1)?;
    check_eq!(messages.message_available(&place).await?, vec![true], "at the delay's end");
    Ok(())
}
