//! What a driver does not declare it refuses, and changes nothing.

use zaqar_core::{
    Capability, Error, LeaseDeliveries, LeaseId, MoveOpening, MovePart, PostMessages, Redrive,
};

use super::operations::{attempt_claims, attempt_insert_moved, attempt_subscriptions};
use super::support::{ids, limit, span};
use crate::case::{CaseResult, cases, check_eq, expect_err};
use crate::context::Context;

cases! {
    undeclared_claims_are_refused = "refusal.claims" {
        level: Refusal(Claims),
        guarantees: [],
        methods: ["claim_create", "claim_get", "claim_update", "claim_delete"],
        summary: "Without claims every claim operation is refused and the messages stay free.",
    }
    undeclared_subscriptions_are_refused = "refusal.subscriptions" {
        level: Refusal(Subscriptions),
        guarantees: [],
        methods: ["subscription_create", "subscription_list", "delivery_lease"],
        summary: "Without subscriptions every operation on them and every delivery lease is refused.",
    }
    undeclared_delay_is_refused = "refusal.delay" {
        level: Refusal(Delay),
        guarantees: [G2],
        methods: ["message_post"],
        summary: "Without delays a batch with one delayed message is refused and nothing of it is stored.",
    }
    undeclared_moves_are_refused = "refusal.live_move" {
        level: Refusal(LiveMove),
        guarantees: [],
        methods: ["move_begin", "move_open", "move_freeze", "move_part", "move_insert", "move_remove", "move_reveal", "move_records", "move_insert_records", "move_leave"],
        summary: "Without moves every step of one is refused, and the queue stays as it is.",
    }
    undeclared_dead_letters_are_refused = "refusal.dead_letter" {
        level: Refusal(DeadLetter),
        guarantees: [],
        methods: ["claim_create", "transfer_lease", "message_insert_moved"],
        summary: "Without dead letters a claim with a redrive, a transfer and a moved message are refused.",
    }
}

/// Whether the driver refused for want of `capability`.
fn lacks(capability: Capability) -> impl Fn(&Error) -> bool {
    move |error| matches!(error, Error::Unsupported { capability: of, .. } if *of == capability)
}

async fn undeclared_claims_are_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("claimless").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    for (operation, answer) in attempt_claims(ctx, &queue).await {
        expect_err(answer, lacks(Capability::Claims), operation)?;
    }
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the free messages");
    Ok(())
}

async fn undeclared_subscriptions_are_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("unsubscribed").await?;
    for (operation, answer) in attempt_subscriptions(ctx, &queue).await? {
        expect_err(answer, lacks(Capability::Subscriptions), operation)?;
    }
    let options = LeaseDeliveries::new(LeaseId::random(), span(60));
    let leased = ctx.data.outbox().delivery_lease(options).await;
    expect_err(leased, lacks(Capability::Subscriptions), "delivery_lease")?;
    ctx.post_n(&queue, 1, 300).await?;
    Ok(())
}

async fn undeclared_delay_is_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("undelayed").await?;
    let batch = vec![Context::message(0, 300), Context::message(1, 300).delay(span(10))];
    let posted = ctx.data.messages().message_post(&queue, batch, PostMessages::new()).await;
    expect_err(posted, lacks(Capability::Delay), "a post with a delay")?;
    check_eq!(ctx.list_all(&queue).await?.len(), 0, "messages stored of the refused batch");
    ctx.post_n(&queue, 2, 300).await?;
    Ok(())
}

async fn undeclared_moves_are_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("unmoved").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    let moves = ctx.data.moves();
    let opening = MoveOpening { start: 9, subscriptions: Vec::new() };
    let part = MovePart { from: 8, to: 9, messages: Vec::new() };
    let answers = [
        ("move_begin", moves.move_begin(&queue).await.map(drop)),
        ("move_open", moves.move_open(&queue, &opening).await.map(drop)),
        ("move_freeze", moves.move_freeze(&queue, limit(1)?).await.map(drop)),
        ("move_part", moves.move_part(&queue).await.map(drop)),
        ("move_insert", moves.move_insert(&queue, &part).await),
        ("move_remove", moves.move_remove(&queue, 1).await),
        ("move_reveal", moves.move_reveal(&queue, 1).await),
        ("move_records", moves.move_records(&queue, None, limit(1)?).await.map(drop)),
        ("move_insert_records", moves.move_insert_records(&queue, &[]).await),
        ("move_leave", moves.move_leave(&queue).await.map(drop)),
    ];
    for (operation, answer) in answers {
        expect_err(answer, lacks(Capability::LiveMove), operation)?;
    }
    check_eq!(ids(&ctx.list_all(&queue).await?), posted, "the queue");
    Ok(())
}

async fn undeclared_dead_letters_are_refused(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("letterless").await?;
    let posted = ctx.post_n(&queue, 1, 300).await?;
    if ctx.has(Capability::Claims) {
        let target = zaqar_core::QueueName::new("dead")?;
        let redrive = Redrive { claims_max: 1, target, ttl: span(60) };
        let options =
            zaqar_core::CreateClaim::new(zaqar_core::ClaimId::random(), span(60), span(0))
                .redrive(redrive);
        let claimed = ctx.data.claims().claim_create(&queue, options).await;
        expect_err(claimed, lacks(Capability::DeadLetter), "a claim with a redrive")?;
    }
    let outbox = ctx.data.outbox();
    let leased = outbox.transfer_lease(None, LeaseId::random(), span(60), limit(1)?).await;
    expect_err(leased, lacks(Capability::DeadLetter), "transfer_lease")?;
    let (operation, answer) = attempt_insert_moved(ctx, &queue).await?;
    expect_err(answer, lacks(Capability::DeadLetter), operation)?;
    let told = ctx.data.messages().message_origins(&queue, &posted).await;
    expect_err(told, lacks(Capability::DeadLetter), "message_origins")?;
    check_eq!(ids(&ctx.list_free(&queue).await?), posted, "the free messages");
    Ok(())
}
