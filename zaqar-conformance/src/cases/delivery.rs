//! Leases on deliveries, their outcomes, and what the outbox keeps afterwards (G13).

use zaqar_core::{
    Delivery, DeliveryOutcome, Error, LeaseDeliveries, LeaseId, MessageId, Timestamp,
};

use super::outbox::{complete, lease, sent, served, subscribe};
use super::support::{gc, limit, nth, only, pick, span};
use crate::case::{CaseResult, cases, check, check_eq, expect_err};
use crate::context::Context;

cases! {
    lease_is_exclusive = "delivery.lease.exclusive" {
        level: Extended(Subscriptions),
        guarantees: [G5, G13],
        methods: ["delivery_lease"],
        summary: "A leased subscription is handed to nobody else, at no node, not even for later messages.",
    }
    lost_lease_hands_out_again = "delivery.lease.hands_out_again" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease"],
        summary: "When a lease ends without completion the same messages are handed out again.",
    }
    lost_lease_records_nothing = "delivery.complete.lost_lease" {
        level: Extended(Subscriptions),
        guarantees: [G6, G13],
        methods: ["delivery_complete", "delivery_renew"],
        summary: "A lease that is over, or taken over by another, records and prolongs nothing.",
    }
    renewed_lease_holds_longer = "delivery.renew.holds_longer" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_renew", "delivery_complete"],
        summary: "A renewed lease holds for its new time from then on, and completes.",
    }
    part_that_was_not_mentioned_comes_again = "delivery.complete.prefix" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_complete", "delivery_lease"],
        summary: "What an outcome does not mention is handed out again, and only that.",
    }
    kept_lease_stays_exclusive = "delivery.complete.without_release" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_complete", "delivery_lease"],
        summary: "A completion that does not release keeps the lease until its end.",
    }
    retry_comes_no_earlier = "delivery.retry.not_before" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_complete", "delivery_lease", "outbox_backlog"],
        summary: "A failed message comes again at its time and no earlier, counts its attempts, and stops nobody behind it.",
    }
    retries_come_before_new_messages = "delivery.retry.before_new_ones" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease", "delivery_complete"],
        summary: "Due retries are handed out before new messages, each oldest first.",
    }
    exhausted_delivery_is_recorded = "delivery.exhausted.recorded" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_complete", "delivery_list_exhausted", "outbox_backlog"],
        summary: "A delivery given up is not tried again and is listed with message, address, attempts, reason and time.",
    }
    exhausted_deliveries_are_paged = "delivery.exhausted.paged" {
        level: Extended(Subscriptions),
        guarantees: [G9, G13],
        methods: ["delivery_list_exhausted"],
        summary: "Records of deliveries given up ascend by number and page to an end, each queue for itself.",
    }
    other_subscriptions_are_not_held_up = "delivery.complete.others_go_on" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease", "delivery_complete"],
        summary: "One subscription's failures, retries and lost leases neither delay nor repeat another's deliveries.",
    }
    delivered_entries_are_trimmed = "delivery.trim.returns_to_zero" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["outbox_backlog", "gc"],
        summary: "Once every subscription has everything, no entry and no retry is left after a collection.",
    }
    undelivered_entries_are_not_trimmed = "delivery.trim.keeps_the_undelivered" {
        level: Extended(Subscriptions),
        guarantees: [G1, G13],
        methods: ["gc", "delivery_lease"],
        summary: "However long a collection goes on, what one slow subscription still waits for is kept.",
    }
    dead_ends_are_trimmed = "delivery.trim.after_the_last_subscription" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["gc", "outbox_backlog", "subscription_delete", "head_close"],
        summary: "When the last subscription or the queue itself is gone, what waited for it goes too.",
    }
}

fn is_lost(error: &Error) -> bool {
    matches!(error, Error::LeaseLost)
}

/// Reports `outcome` for every message and ends the lease.
async fn report(ctx: &Context, delivery: &Delivery, outcome: DeliveryOutcome) -> CaseResult {
    let outcomes: Vec<(MessageId, DeliveryOutcome)> =
        delivery.messages.iter().map(|m| (m.id, outcome.clone())).collect();
    Ok(ctx.data.outbox().delivery_complete(delivery, &outcomes, true).await?)
}

fn in_s(ctx: &Context, seconds: u64) -> Timestamp {
    zaqar_core::Clock::now(&*ctx.clock).after(span(seconds))
}

async fn lease_is_exclusive(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("leased").await?;
    let other = ctx.second_handle().await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    ctx.post_n(&queue, 1, 300).await?;
    check_eq!(lease(ctx, 60).await?.len(), 1, "deliveries under the first lease");
    for _ in 0..2 {
        ctx.post_n(&queue, 1, 300).await?;
        check!(lease(ctx, 60).await?.is_empty(), "a leased subscription is leased again");
        check!(lease(&other, 60).await?.is_empty(), "it is leased to another node");
        ctx.advance(29).await?;
    }
    other.close().await;
    Ok(())
}

async fn lost_lease_hands_out_again(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("lost").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let mut posted = ctx.post_n(&queue, 3, 300).await?;
    for round in 0..3 {
        let deliveries = lease(ctx, 60).await?;
        check_eq!(sent(&deliveries), posted, "what is handed out in round {round}");
        posted.extend(ctx.post_n(&queue, 1, 300).await?);
        ctx.advance_without_sweep(60)?;
    }
    Ok(())
}

async fn lost_lease_records_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("stale").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 2, 3_000).await?;
    let slow = lease(ctx, 60).await?;
    ctx.advance(60).await?;
    let outbox = ctx.data.outbox();
    let outcomes = [(*nth(&posted, 0)?, DeliveryOutcome::Delivered)];
    let late = outbox.delivery_complete(only(&slow)?, &outcomes, true).await;
    expect_err(late, is_lost, "completing under a lease that is over")?;
    let renewed = outbox.delivery_renew(only(&slow)?, span(60)).await;
    expect_err(renewed, is_lost, "prolonging a lease that is over")?;
    let quick = lease(ctx, 60).await?;
    check_eq!(sent(&quick), posted, "what the next lease is handed");
    let late = outbox.delivery_complete(only(&slow)?, &outcomes, true).await;
    expect_err(late, is_lost, "completing under a lease taken over")?;
    let renewed = outbox.delivery_renew(only(&slow)?, span(60)).await;
    expect_err(renewed, is_lost, "prolonging a lease taken over")?;
    complete(ctx, only(&quick)?).await?;
    check!(lease(ctx, 60).await?.is_empty(), "completed messages are handed out again");
    Ok(())
}

async fn renewed_lease_holds_longer(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("renewed").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    ctx.post_n(&queue, 2, 3_000).await?;
    let deliveries = lease(ctx, 60).await?;
    ctx.advance(59).await?;
    ctx.data.outbox().delivery_renew(only(&deliveries)?, span(100)).await?;
    ctx.advance(99).await?;
    check!(lease(ctx, 60).await?.is_empty(), "a renewed lease is taken over before its end");
    complete(ctx, only(&deliveries)?).await?;
    check!(lease(ctx, 60).await?.is_empty(), "completed messages are handed out again");
    Ok(())
}

async fn part_that_was_not_mentioned_comes_again(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("partial").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    // Two posts, so that the cut falls inside one of them and behind the other.
    let posted = [ctx.post_n(&queue, 3, 300).await?, ctx.post_n(&queue, 3, 300).await?].concat();
    for done in [2, 1, 0, 2] {
        let deliveries = lease(ctx, 60).await?;
        let delivery = only(&deliveries)?;
        let start = posted.len() - delivery.messages.len();
        check_eq!(sent(&deliveries), pick(&posted, start..6)?, "what is handed out");
        let outcomes: Vec<_> = delivery
            .messages
            .iter()
            .take(done)
            .map(|message| (message.id, DeliveryOutcome::Delivered))
            .collect();
        ctx.data.outbox().delivery_complete(delivery, &outcomes, true).await?;
    }
    check_eq!(sent(&lease(ctx, 60).await?), pick(&posted, [5])?, "what is left at last");
    Ok(())
}

async fn kept_lease_stays_exclusive(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("kept").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 3, 300).await?;
    let deliveries = lease(ctx, 60).await?;
    let outcomes = [(*nth(&posted, 0)?, DeliveryOutcome::Delivered)];
    ctx.data.outbox().delivery_complete(only(&deliveries)?, &outcomes, false).await?;
    ctx.advance(59).await?;
    check!(lease(ctx, 60).await?.is_empty(), "a kept lease is taken over before its end");
    let outcomes = [(*nth(&posted, 1)?, DeliveryOutcome::Delivered)];
    ctx.data.outbox().delivery_complete(only(&deliveries)?, &outcomes, false).await?;
    ctx.advance(1).await?;
    check_eq!(sent(&lease(ctx, 60).await?), pick(&posted, [2])?, "what is left after its end");
    Ok(())
}

async fn retry_comes_no_earlier(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("retried").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 3, 86_400).await?;
    let deliveries = lease(ctx, 60).await?;
    let outcomes = [
        (*nth(&posted, 0)?, DeliveryOutcome::Delivered),
        (*nth(&posted, 1)?, DeliveryOutcome::Retry { not_before: in_s(ctx, 100) }),
        (*nth(&posted, 2)?, DeliveryOutcome::Delivered),
    ];
    ctx.data.outbox().delivery_complete(only(&deliveries)?, &outcomes, true).await?;
    check_eq!(ctx.data.outbox().outbox_backlog().await?.retries, 1, "retries that wait");
    ctx.advance(99).await?;
    check!(lease(ctx, 60).await?.is_empty(), "a retry comes before its time");
    for attempts in 1..=4 {
        ctx.advance_without_sweep(if attempts == 1 { 1 } else { 50 })?;
        let deliveries = lease(ctx, 60).await?;
        check_eq!(sent(&deliveries), pick(&posted, [1])?, "the retry");
        let message = only(&only(&deliveries)?.messages)?;
        check_eq!((message.attempts, message.body.clone()), (attempts, Context::body(1)), "it");
        let again = DeliveryOutcome::Retry { not_before: in_s(ctx, 50) };
        report(ctx, only(&deliveries)?, again).await?;
        check!(lease(ctx, 60).await?.is_empty(), "a retry comes at once");
    }
    ctx.advance(50).await?;
    complete(ctx, only(&lease(ctx, 60).await?)?).await?;
    check_eq!(ctx.data.outbox().outbox_backlog().await?.retries, 0, "retries at last");
    ctx.advance(1_000).await?;
    check!(lease(ctx, 60).await?.is_empty(), "a delivered retry comes again");
    Ok(())
}

async fn retries_come_before_new_messages(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("ordered").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let old = ctx.post_n(&queue, 3, 86_400).await?;
    let deliveries = lease(ctx, 60).await?;
    report(ctx, only(&deliveries)?, DeliveryOutcome::Retry { not_before: in_s(ctx, 10) }).await?;
    let new = ctx.post_n(&queue, 2, 86_400).await?;
    ctx.advance(10).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), [old, new.clone()].concat(), "what is handed out");
    complete(ctx, only(&deliveries)?).await?;
    check!(lease(ctx, 60).await?.is_empty(), "something is handed out again");
    Ok(())
}

async fn exhausted_delivery_is_recorded(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("exhausted").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 2, 86_400).await?;
    let deliveries = lease(ctx, 60).await?;
    let outcomes = [
        (*nth(&posted, 0)?, DeliveryOutcome::Retry { not_before: in_s(ctx, 10) }),
        (*nth(&posted, 1)?, DeliveryOutcome::Delivered),
    ];
    ctx.data.outbox().delivery_complete(only(&deliveries)?, &outcomes, true).await?;
    ctx.advance(10).await?;
    let deliveries = lease(ctx, 60).await?;
    let reason = "answered 500 \u{2013} twice".to_owned();
    report(ctx, only(&deliveries)?, DeliveryOutcome::Exhausted { reason: reason.clone() }).await?;
    let at = in_s(ctx, 0);
    ctx.advance(10_000).await?;
    check!(lease(ctx, 60).await?.is_empty(), "an exhausted delivery is tried again");
    let outbox = ctx.data.outbox();
    let page = outbox.delivery_list_exhausted(&queue, None, limit(10)?).await?;
    let record = only(&page.items)?;
    check_eq!(record.message, *nth(&posted, 0)?, "the message");
    check_eq!(record.subscriber, "http://a.example/", "the address");
    check_eq!((record.attempts, &record.reason), (2, &reason), "attempts and reason");
    check_eq!(record.at, at, "the time");
    let backlog = outbox.outbox_backlog().await?;
    check_eq!((backlog.retries, backlog.exhausted), (0, 1), "retries and given up");
    Ok(())
}

async fn exhausted_deliveries_are_paged(ctx: &Context) -> CaseResult {
    let (queue, other) = (ctx.queue("paged").await?, ctx.queue("other").await?);
    for queue in [&queue, &other] {
        subscribe(ctx, queue, "http://a.example/").await?;
    }
    let mut posted = Vec::new();
    for _ in 0..5 {
        posted.extend(ctx.post_n(&queue, 3, 86_400).await?);
        ctx.post_n(&other, 1, 86_400).await?;
        for delivery in lease(ctx, 60).await? {
            let reason = "gone".to_owned();
            report(ctx, &delivery, DeliveryOutcome::Exhausted { reason }).await?;
        }
    }
    let outbox = ctx.data.outbox();
    let (mut marker, mut found, mut numbers) = (None, Vec::new(), Vec::new());
    loop {
        let page = outbox.delivery_list_exhausted(&queue, marker, limit(4)?).await?;
        if page.items.is_empty() {
            break;
        }
        check!(page.next.is_some() && found.len() < 20, "a walk of the records does not end");
        found.extend(page.items.iter().map(|record| record.message));
        numbers.extend(page.items.iter().map(|record| record.number));
        marker = page.next;
    }
    check_eq!(found, posted, "the messages given up");
    check!(numbers.is_sorted_by(|a, b| a < b), "numbers do not ascend: {numbers:?}");
    let page = outbox.delivery_list_exhausted(&other, None, limit(100)?).await?;
    check_eq!(page.items.len(), 5, "records of the other queue");
    Ok(())
}

async fn other_subscriptions_are_not_held_up(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("unequal").await?;
    let bad = subscribe(ctx, &queue, "http://bad.example/").await?.id;
    let good = subscribe(ctx, &queue, "http://good.example/").await?.id;
    let mut posted = Vec::new();
    for round in 0..4 {
        let batch = ctx.post_n(&queue, 2, 86_400).await?;
        let deliveries = lease(ctx, 60).await?;
        let fresh: Vec<&Delivery> =
            deliveries.iter().filter(|d| d.subscription.id == good).collect();
        let fresh: &Delivery = *only(&fresh)?;
        check_eq!(sent(std::slice::from_ref(fresh)), batch, "for the good one in round {round}");
        complete(ctx, fresh).await?;
        for delivery in deliveries.iter().filter(|d| d.subscription.id == bad) {
            if round % 2 == 0 {
                let not_before = in_s(ctx, 10_000);
                report(ctx, delivery, DeliveryOutcome::Retry { not_before }).await?;
            }
        }
        posted.extend(batch);
        ctx.advance(60).await?;
    }
    ctx.advance(10_000).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(served(&deliveries), [bad], "who still waits");
    let mut waiting = sent(&deliveries);
    waiting.sort();
    check_eq!(waiting, posted, "what the bad one still waits for");
    Ok(())
}

async fn delivered_entries_are_trimmed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("trimmed").await?;
    for address in ["http://a.example/", "http://b.example/"] {
        subscribe(ctx, &queue, address).await?;
    }
    for _ in 0..5 {
        ctx.post_n(&queue, 3, 300).await?;
    }
    let outbox = ctx.data.outbox();
    check!(outbox.outbox_backlog().await?.entries > 0, "posts left no entry in the outbox");
    let deliveries = lease(ctx, 60).await?;
    complete(ctx, nth(&deliveries, 0)?).await?;
    let not_before = in_s(ctx, 10);
    report(ctx, nth(&deliveries, 1)?, DeliveryOutcome::Retry { not_before }).await?;
    ctx.advance(10).await?;
    complete(ctx, only(&lease(ctx, 60).await?)?).await?;
    ctx.advance(1_000).await?;
    gc(ctx, 300).await?;
    let backlog = outbox.outbox_backlog().await?;
    check_eq!((backlog.entries, backlog.retries), (0, 0), "entries and retries left");
    let posted = ctx.post_n(&queue, 1, 300).await?;
    check_eq!(sent(&lease(ctx, 60).await?), [posted.clone(), posted].concat(), "what comes next");
    Ok(())
}

async fn undelivered_entries_are_not_trimmed(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("slow").await?;
    let slow = subscribe(ctx, &queue, "http://slow.example/").await?.id;
    subscribe(ctx, &queue, "http://quick.example/").await?;
    let posted = ctx.post_n(&queue, 3, 60).await?;
    for delivery in lease(ctx, 60).await? {
        if delivery.subscription.id != slow {
            complete(ctx, &delivery).await?;
        }
    }
    for _ in 0..5 {
        ctx.advance(1_000).await?;
        gc(ctx, 0).await?;
    }
    let deliveries = lease(ctx, 60).await?;
    check_eq!(served(&deliveries), [slow], "who still waits");
    check_eq!(sent(&deliveries), posted, "what it still waits for");
    let not_before = in_s(ctx, 5_000);
    report(ctx, only(&deliveries)?, DeliveryOutcome::Retry { not_before }).await?;
    ctx.advance(5_000).await?;
    gc(ctx, 0).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), posted, "what is tried again much later");
    for (number, message) in only(&deliveries)?.messages.iter().enumerate() {
        check_eq!(message.body, Context::body(number), "the body of message {number}");
    }
    Ok(())
}

async fn dead_ends_are_trimmed(ctx: &Context) -> CaseResult {
    let (queue, closed) = (ctx.queue("unsubscribed").await?, ctx.queue("closed").await?);
    let outbox = ctx.data.outbox();
    let doomed = subscribe(ctx, &queue, "http://a.example/").await?;
    subscribe(ctx, &closed, "http://b.example/").await?;
    ctx.post_n(&queue, 3, 300).await?;
    ctx.post_n(&closed, 3, 300).await?;
    for delivery in lease(ctx, 60).await? {
        report(ctx, &delivery, DeliveryOutcome::Retry { not_before: in_s(ctx, 10) }).await?;
    }
    ctx.data.subscriptions().subscription_delete(&queue, doomed.id).await?;
    ctx.delete_queue(&closed).await?;
    ctx.advance(1_000).await?;
    let options = LeaseDeliveries::new(LeaseId::random(), span(60));
    let deliveries = outbox.delivery_lease(options).await?;
    check!(deliveries.is_empty(), "something is delivered to nobody: {deliveries:?}");
    gc(ctx, 300).await?;
    let backlog = outbox.outbox_backlog().await?;
    check_eq!((backlog.entries, backlog.retries), (0, 0), "entries and retries left");
    Ok(())
}
