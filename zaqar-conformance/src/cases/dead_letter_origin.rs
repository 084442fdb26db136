//! Where dead letters came from: told by the queue that they arrived in (G10).

use zaqar_core::{
    Capability, ClaimId, Clock, DeadLetterOrigin, MessageId, QueueRef, Transfer, Ttl,
};

use super::dead_letter::{deliver, lease, parked, redrive};
use super::support::{claim_redriven, ids, is_gone, needs, nth, only, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    origin_is_told = "dead_letter.origin.told" {
        level: Extended(DeadLetter),
        guarantees: [G10],
        methods: ["message_origins", "transfer_lease", "message_insert_moved"],
        summary: "A dead letter tells the queue it came from, its count and last claim there, and when it arrived, be the claim over or released.",
    }
    first_origin_stays = "dead_letter.origin.first_stays" {
        level: Extended(DeadLetter),
        guarantees: [G3, G10],
        methods: ["message_origins", "message_insert_moved"],
        summary: "A repeated insert changes nothing about where a message came from, nor does what becomes of it, at either node.",
    }
    others_have_no_origin = "dead_letter.origin.of_each_asked" {
        level: Extended(DeadLetter),
        guarantees: [G10, G11],
        methods: ["message_origins"],
        summary: "Origins are told in the order asked, none of what was posted or is unknown; a closed queue tells none.",
    }
    origin_survives = "dead_letter.origin.survives" {
        level: Extended(Durable),
        guarantees: [G1, G10],
        methods: ["message_origins"],
        summary: "Where a dead letter came from is known after a restart.",
    }
}

/// Lets the one transfer that waits arrive in `dead`.
async fn arrive(ctx: &Context, dead: &QueueRef) -> Result<Transfer, Failure> {
    let transfers = lease(ctx).await?;
    let transfer = only(&transfers)?;
    ctx.data.messages().message_insert_moved(dead, transfer.message.clone()).await?;
    ctx.data.outbox().transfer_complete(transfer).await?;
    Ok(transfer.clone())
}

async fn origins(
    ctx: &Context,
    queue: &QueueRef,
    asked: &[MessageId],
) -> Result<Vec<Option<DeadLetterOrigin>>, Failure> {
    Ok(ctx.data.messages().message_origins(queue, asked).await?)
}

/// Claims all of a queue once more, and lets the claim run out or releases it.
async fn claim_last(ctx: &Context, queue: &QueueRef, release: bool) -> Result<ClaimId, Failure> {
    let (claim, claimed) = claim_redriven(ctx, queue, 60, 10, &redrive(3)?).await?;
    check_eq!(claimed.messages.len(), 1, "messages claimed for the last time");
    if release {
        ctx.data.claims().claim_delete(queue, claim).await?;
    } else {
        ctx.data.claims().claim_update(queue, claim, span(90), Ttl::ZERO).await?;
        ctx.advance(90).await?;
    }
    Ok(claim)
}

async fn origin_is_told(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::Claims)?;
    let dead = ctx.queue("dead").await?;
    for (name, release, swept) in
        [("lapsed", false, false), ("released", true, false), ("swept", false, true)]
    {
        let source = ctx.queue(name).await?;
        let posted = ctx.post_n(&source, 1, 86_400).await?;
        deliver(ctx, &source, 2, &redrive(3)?).await?;
        let claim = claim_last(ctx, &source, release).await?;
        if swept {
            ctx.data.sweep().await?;
        }
        let (_, claimed) = claim_redriven(ctx, &source, 60, 10, &redrive(3)?).await?;
        check_eq!((claimed.messages.len(), claimed.parked), (0, 1), "delivered and parked");
        ctx.advance(7).await?;
        let message = arrive(ctx, &dead).await?.message;
        check_eq!(message.source, source.key.name, "the source in the transfer");
        check_eq!(message.last_claim, Some(claim), "the last claim in the transfer, {name}");
        let wanted = DeadLetterOrigin {
            queue: source.key.name.clone(),
            claim_count: 3,
            last_claim: Some(claim),
            died_at: ctx.clock.now(),
        };
        check_eq!(origins(ctx, &dead, &posted).await?, [Some(wanted)], "the origin, {name}");
    }
    Ok(())
}

async fn first_origin_stays(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 1).await?;
    let transfer = arrive(ctx, &dead).await?;
    let first = [Some(DeadLetterOrigin::of(&transfer.message, ctx.clock.now()))];
    check_eq!(origins(ctx, &dead, &posted).await?, first, "the origin");
    ctx.advance(100).await?;
    let other = ctx.second_handle().await?;
    let mut changed = transfer.message.clone();
    changed.claim_count += 7;
    changed.last_claim = Some(ClaimId::random());
    let again = other.data.messages().message_insert_moved(&dead, changed).await?;
    check!(!again.is_new(), "a repeat inserted it again");
    let (claim, taken) = ctx.claim(&dead, 60, 0, 10).await?;
    check_eq!(ids(&taken), posted, "what a claim of the dead letters takes");
    for node in [ctx, &other] {
        check_eq!(origins(node, &dead, &posted).await?, first, "the origin, later");
    }
    ctx.data.messages().message_delete(&dead, *only(&posted)?, Some(claim)).await?;
    check_eq!(origins(ctx, &dead, &posted).await?, first, "the origin of what was deleted");
    other.close().await;
    Ok(())
}

async fn others_have_no_origin(ctx: &Context) -> CaseResult {
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let letters = parked(ctx, &source, 2).await?;
    for transfer in lease(ctx).await? {
        ctx.data.messages().message_insert_moved(&dead, transfer.message).await?;
    }
    let own = ctx.post_n(&dead, 1, 300).await?;
    let unknown = MessageId::new(source.incarnation, 99)?;
    let (first, second) = (*nth(&letters, 0)?, *nth(&letters, 1)?);
    let asked = [second, *only(&own)?, first, unknown, second];
    let told = origins(ctx, &dead, &asked).await?;
    let known: Vec<bool> = told.iter().map(Option::is_some).collect();
    check_eq!(known, [true, false, true, false, true], "which of them have an origin");
    let of_source = |origin: &DeadLetterOrigin| origin.queue == source.key.name;
    check!(told.iter().flatten().all(of_source), "another queue is told: {told:?}");
    check_eq!(origins(ctx, &dead, &[]).await?, [], "the origins of nothing");
    check_eq!(origins(ctx, &source, &letters).await?, [None, None], "origins at the source");
    ctx.data.heads().head_close(&dead).await?;
    let closed = ctx.data.messages().message_origins(&dead, &letters).await;
    expect_err(closed, is_gone, "the origins of a closed queue")?;
    Ok(())
}

async fn origin_survives(ctx: &Context) -> CaseResult {
    needs(ctx, Capability::DeadLetter)?;
    let (source, dead) = (ctx.queue("source").await?, ctx.queue("dead").await?);
    let posted = parked(ctx, &source, 1).await?;
    arrive(ctx, &dead).await?;
    let before = origins(ctx, &dead, &posted).await?;
    check!(before.iter().all(Option::is_some), "no origin: {before:?}");
    let ctx = ctx.reopen().await?;
    check_eq!(origins(&ctx, &dead, &posted).await?, before, "the origin after a restart");
    ctx.close().await;
    Ok(())
}
