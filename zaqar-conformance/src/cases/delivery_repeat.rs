//! Completions that are told twice, or about messages that were not leased (G13).

use zaqar_core::{Clock as _, Delivery, DeliveryOutcome, Error, MessageId, Timestamp};

use super::outbox::{complete, lease, sent, subscribe};
use super::support::{limit, nth, only, pick, span};
use crate::case::{CaseResult, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    repeated_retry_counts_once = "delivery.retry.counted_once" {
        level: Extended(Subscriptions),
        guarantees: [G3, G13],
        methods: ["delivery_complete"],
        summary: "A retry that is told again under the same lease counts one attempt, the first time and later.",
    }
    repeated_completion_changes_nothing = "delivery.complete.repeated" {
        level: Extended(Subscriptions),
        guarantees: [G3, G13],
        methods: ["delivery_complete", "delivery_list_exhausted"],
        summary: "A completion that is told again under the same lease records nothing twice and brings nothing back.",
    }
    recorded_outcome_stays = "delivery.complete.recorded_stays" {
        level: Extended(Subscriptions),
        guarantees: [G3, G13],
        methods: ["delivery_complete", "delivery_list_exhausted"],
        summary: "What is recorded of a message stays as it is when something else is told under the same lease.",
    }
    only_leased_messages_are_completed = "delivery.complete.as_leased" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_complete"],
        summary: "Outcomes of messages that the delivery does not hold, or of one twice, are refused and record nothing.",
    }
}

fn in_s(ctx: &Context, seconds: u64) -> Timestamp {
    ctx.clock.now().after(span(seconds))
}

async fn repeated_retry_counts_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("twice").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 2, 86_400).await?;
    for attempts in 0..3 {
        let deliveries = lease(ctx, 60).await?;
        let delivery = only(&deliveries)?;
        check_eq!(sent(&deliveries), posted, "what is handed out");
        for message in &delivery.messages {
            check_eq!(message.attempts, attempts, "attempts of {}", message.id);
        }
        let again = DeliveryOutcome::Retry { not_before: in_s(ctx, 10) };
        let outcomes: Vec<_> = posted.iter().map(|id| (*id, again.clone())).collect();
        for release in [false, false, true] {
            ctx.data.outbox().delivery_complete(delivery, &outcomes, release).await?;
        }
        ctx.advance(10).await?;
    }
    check_eq!(ctx.data.outbox().outbox_backlog().await?.retries, 2, "retries that wait");
    Ok(())
}

async fn repeated_completion_changes_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("repeated").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 4, 86_400).await?;
    let outbox = ctx.data.outbox();
    let exhausted = |reason: &str| DeliveryOutcome::Exhausted { reason: reason.to_owned() };
    let retry = |seconds| DeliveryOutcome::Retry { not_before: in_s(ctx, seconds) };
    let deliveries = lease(ctx, 60).await?;
    let outcomes = [
        (*nth(&posted, 0)?, DeliveryOutcome::Delivered),
        (*nth(&posted, 1)?, exhausted("at once")),
        (*nth(&posted, 2)?, retry(10)),
    ];
    for _ in 0..3 {
        outbox.delivery_complete(only(&deliveries)?, &outcomes, false).await?;
    }
    let rest = [(*nth(&posted, 3)?, DeliveryOutcome::Delivered)];
    outbox.delivery_complete(only(&deliveries)?, &rest, true).await?;
    ctx.advance(10).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), pick(&posted, [2])?, "what is tried again");
    let outcomes = [(*nth(&posted, 2)?, exhausted("at last"))];
    for _ in 0..3 {
        outbox.delivery_complete(only(&deliveries)?, &outcomes, false).await?;
    }
    ctx.advance(1_000).await?;
    check!(lease(ctx, 60).await?.is_empty(), "something is handed out again");
    let page = outbox.delivery_list_exhausted(&queue, None, limit(10)?).await?;
    let records: Vec<(MessageId, u32)> =
        page.items.iter().map(|record| (record.message, record.attempts)).collect();
    check_eq!(records, [(*nth(&posted, 1)?, 1), (*nth(&posted, 2)?, 2)], "what is recorded");
    let backlog = outbox.outbox_backlog().await?;
    check_eq!((backlog.retries, backlog.exhausted), (0, 2), "retries and given up");
    Ok(())
}

async fn recorded_outcome_stays(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("stays").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 3, 86_400).await?;
    let outbox = ctx.data.outbox();
    let exhausted = |reason: &str| DeliveryOutcome::Exhausted { reason: reason.to_owned() };
    let retry = |seconds| DeliveryOutcome::Retry { not_before: in_s(ctx, seconds) };
    let at_first = [retry(10), DeliveryOutcome::Delivered, exhausted("at first")];
    let later = [DeliveryOutcome::Delivered, exhausted("later"), retry(5)];
    let deliveries = lease(ctx, 60).await?;
    for (outcomes, release) in [(at_first, false), (later, true)] {
        let outcomes: Vec<_> = posted.iter().copied().zip(outcomes).collect();
        outbox.delivery_complete(only(&deliveries)?, &outcomes, release).await?;
    }
    ctx.advance(5).await?;
    check!(lease(ctx, 60).await?.is_empty(), "a given-up message, or a retry before its time");
    ctx.advance(5).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), pick(&posted, [0])?, "what is tried again");
    let page = outbox.delivery_list_exhausted(&queue, None, limit(10)?).await?;
    let records: Vec<(MessageId, String)> =
        page.items.into_iter().map(|record| (record.message, record.reason)).collect();
    check_eq!(records, [(*nth(&posted, 2)?, "at first".to_owned())], "what is given up");
    Ok(())
}

async fn only_leased_messages_are_completed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("leased").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 3, 86_400).await?;
    let deliveries = lease(ctx, 60).await?;
    let whole = only(&deliveries)?;
    let later = ctx.post_n(&queue, 1, 86_400).await?;
    let outbox = ctx.data.outbox();
    let is_invalid = |error: &Error| matches!(error, Error::Invalid { .. });
    let not_before = in_s(ctx, 10);
    for outcome in [DeliveryOutcome::Delivered, DeliveryOutcome::Retry { not_before }] {
        let told = |ids: &[MessageId]| -> Vec<(MessageId, DeliveryOutcome)> {
            ids.iter().map(|id| (*id, outcome.clone())).collect()
        };
        let emptied = Delivery { messages: Vec::new(), ..whole.clone() };
        let refused = outbox.delivery_complete(&emptied, &told(&posted), true).await;
        expect_err(refused, is_invalid, "a completion of an emptied delivery")?;
        let beyond = [posted.clone(), later.clone()].concat();
        let refused = outbox.delivery_complete(whole, &told(&beyond), true).await;
        expect_err(refused, is_invalid, "a completion of a message posted after the lease")?;
        let twice = pick(&posted, [0, 0])?;
        let refused = outbox.delivery_complete(whole, &told(&twice), true).await;
        expect_err(refused, is_invalid, "two outcomes of one message")?;
    }
    check_eq!(outbox.outbox_backlog().await?.retries, 0, "retries that wait");
    ctx.advance(60).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), [posted, later].concat(), "what is handed out afterwards");
    complete(ctx, only(&deliveries)?).await
}
