//! The outbox: what is posted reaches every subscription that is active at that moment (G13).

use zaqar_core::{
    Delivery, DeliveryOutcome, LeaseDeliveries, LeaseId, MessageId, NewSubscription, QueueRef,
    Subscription, SubscriptionId, UpdateSubscription,
};

use super::support::{ids, limit, nth, only, pick, post_many, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq};
use crate::context::Context;

cases! {
    posts_are_delivered_in_order = "outbox.deliver.in_order" {
        level: Extended(Subscriptions),
        guarantees: [G4, G13],
        methods: ["delivery_lease", "delivery_complete"],
        summary: "A subscription is handed what was posted, in queue order, with body, ttl, delay and time of post.",
    }
    every_subscription_gets_everything = "outbox.deliver.to_every_subscription" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease"],
        summary: "Twenty-five subscriptions of a queue are each handed every message, whatever the page.",
    }
    bounded_lease_takes_what_it_returns = "outbox.deliver.bounded_across_queues" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease"],
        summary: "A lease of a few subscriptions among several queues holds those that it returned and no others.",
    }
    nothing_without_subscription = "outbox.deliver.nothing_without_subscription" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease", "outbox_backlog"],
        summary: "A post to a queue without active subscription leaves nothing to deliver.",
    }
    new_subscription_gets_nothing_older = "outbox.since.nothing_older" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["subscription_create", "delivery_lease"],
        summary: "A subscription is sent what is posted after it was made, not what another still waits for.",
    }
    unconfirmed_gets_nothing = "outbox.since.from_confirmation" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["subscription_confirm", "delivery_lease"],
        summary: "Where confirmation is needed, only what is posted after it is delivered, and nothing after it is taken back.",
    }
    needless_confirmation_loses_nothing = "outbox.since.needless_confirmation" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["subscription_confirm", "delivery_lease"],
        summary: "Confirming a subscription that was active already takes nothing from what waits for it.",
    }
    new_address_gets_nothing_older = "outbox.since.new_address" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["subscription_update", "delivery_lease"],
        summary: "A changed address is sent only what is posted from then on; a changed ttl or option loses nothing.",
    }
    deleting_the_message_robs_nobody = "outbox.deliver.despite_consumers" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease", "message_delete", "message_pop", "message_purge"],
        summary: "Messages deleted, popped or purged at once are delivered all the same, bodies and all.",
    }
    deleted_subscription_gets_nothing = "outbox.end.deleted_subscription" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["subscription_delete", "subscription_purge", "delivery_lease"],
        summary: "Nothing is delivered to a deleted subscription any more, retries included.",
    }
    expired_subscription_gets_nothing = "outbox.end.expired_subscription" {
        level: Extended(Subscriptions),
        guarantees: [G8, G13],
        methods: ["delivery_lease"],
        summary: "Nothing is delivered to a subscription from the second at which it ends.",
    }
    owned_subscription_goes_to_its_owner = "outbox.owner.alone" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease"],
        summary: "A subscription with an owner is leased to that web head alone; others are leased to anyone.",
    }
    repeated_post_is_delivered_once = "outbox.deliver.repeated_post_once" {
        level: Extended(Subscriptions),
        guarantees: [G3, G13],
        methods: ["message_post", "delivery_lease"],
        summary: "A post repeated under its idempotency key is delivered once.",
    }
    delayed_subscription_misses_nothing = "outbox.deliver.batches_and_pages" {
        level: Extended(Subscriptions),
        guarantees: [G13],
        methods: ["delivery_lease", "delivery_complete"],
        summary: "Posts of unequal size are handed out whole, in pages of any size, none skipped and none twice.",
    }
}

/// A subscription of `address` for a day, active at once.
pub(super) async fn subscribe(
    ctx: &Context,
    queue: &QueueRef,
    address: &str,
) -> Result<Subscription, Failure> {
    let new = NewSubscription::new(address, span(86_400));
    let made = ctx.data.subscriptions().subscription_create(queue, new).await?;
    check!(made.is_new(), "{address} has a subscription already: {made:?}");
    Ok(made.into_inner())
}

/// Leases whatever can be delivered by a web head that owns nothing.
pub(super) async fn lease(ctx: &Context, ttl_s: u64) -> Result<Vec<Delivery>, Failure> {
    lease_with(ctx, LeaseDeliveries::new(LeaseId::random(), span(ttl_s))).await
}

/// Leases under `options`, with room for every subscription and message of a case.
pub(super) async fn lease_with(
    ctx: &Context,
    options: LeaseDeliveries,
) -> Result<Vec<Delivery>, Failure> {
    let most = limit(1_000)?;
    let options = options.subscriptions_max(most).messages_max(most);
    let lease = options.lease;
    let deliveries = ctx.data.outbox().delivery_lease(options).await?;
    for delivery in &deliveries {
        check_eq!(delivery.lease, lease, "the lease of {delivery:?}");
        check!(!delivery.messages.is_empty(), "a delivery without messages: {delivery:?}");
    }
    Ok(deliveries)
}

/// The ids of the messages to deliver, one subscription after the other.
pub(super) fn sent(deliveries: &[Delivery]) -> Vec<MessageId> {
    deliveries.iter().flat_map(|delivery| delivery.messages.iter().map(|m| m.id)).collect()
}

/// Who is served.
pub(super) fn served(deliveries: &[Delivery]) -> Vec<SubscriptionId> {
    let mut served: Vec<_> = deliveries.iter().map(|d| d.subscription.id).collect();
    served.sort();
    served
}

/// Reports all of a delivery as taken and ends its lease.
pub(super) async fn complete(ctx: &Context, delivery: &Delivery) -> CaseResult {
    let outcomes: Vec<(MessageId, DeliveryOutcome)> =
        delivery.messages.iter().map(|m| (m.id, DeliveryOutcome::Delivered)).collect();
    Ok(ctx.data.outbox().delivery_complete(delivery, &outcomes, true).await?)
}

async fn posts_are_delivered_in_order(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("sent").await?;
    let subscription = subscribe(ctx, &queue, "http://a.example/").await?;
    let posted_at = zaqar_core::Clock::now(&*ctx.clock);
    let mut posted = ctx.post_n(&queue, 3, 300).await?;
    let delay = if ctx.has(zaqar_core::Capability::Delay) { span(20) } else { span(0) };
    posted.extend(ctx.post(&queue, vec![Context::message(3, 400).delay(delay)]).await?);
    ctx.advance(7).await?;
    let deliveries = lease(ctx, 60).await?;
    let delivery = only(&deliveries)?;
    check_eq!(delivery.queue, queue, "the queue");
    check_eq!(delivery.subscription.id, subscription.id, "the subscription");
    check_eq!(delivery.subscription.subscriber, "http://a.example/", "the address");
    check_eq!(sent(&deliveries), posted, "the messages");
    for (number, message) in delivery.messages.iter().enumerate() {
        check_eq!(message.body, Context::body(number), "the body of message {number}");
        check_eq!((message.posted_at, message.attempts), (posted_at, 0), "its time and attempts");
    }
    let last = nth(&delivery.messages, 3)?;
    check_eq!((last.ttl, last.delay), (span(400), delay), "ttl and delay of the last");
    complete(ctx, delivery).await?;
    check!(lease(ctx, 60).await?.is_empty(), "completed messages are handed out again");
    let next = ctx.post_n(&queue, 1, 300).await?;
    check_eq!(sent(&lease(ctx, 60).await?), next, "what comes after the completed ones");
    Ok(())
}

async fn every_subscription_gets_everything(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("many").await?;
    let mut made = Vec::new();
    for number in 0..25 {
        made.push(subscribe(ctx, &queue, &format!("http://{number}.example/")).await?.id);
    }
    let posted = ctx.post_n(&queue, 3, 300).await?;
    let mut seen = Vec::new();
    for _ in 0..5 {
        // The default: ten subscriptions, ten messages each.
        let options = LeaseDeliveries::new(LeaseId::random(), span(600));
        let deliveries = ctx.data.outbox().delivery_lease(options).await?;
        check!(deliveries.len() <= 10, "{} subscriptions leased at once", deliveries.len());
        for delivery in &deliveries {
            check_eq!(sent(std::slice::from_ref(delivery)), posted, "what one is handed");
        }
        seen.extend(served(&deliveries));
    }
    seen.sort();
    check_eq!(seen, made, "the subscriptions served");
    Ok(())
}

async fn bounded_lease_takes_what_it_returns(ctx: &Context) -> CaseResult {
    let mut made = Vec::new();
    for label in ["a", "b", "c"] {
        let queue = ctx.queue(label).await?;
        for number in 0..3 {
            made.push(subscribe(ctx, &queue, &format!("http://{number}.example/")).await?.id);
        }
        ctx.post_n(&queue, 1, 300).await?;
    }
    let mut seen = Vec::new();
    for _ in 0..made.len() {
        let options =
            LeaseDeliveries::new(LeaseId::random(), span(600)).subscriptions_max(limit(2)?);
        let deliveries = ctx.data.outbox().delivery_lease(options).await?;
        check!(deliveries.len() <= 2, "{} subscriptions leased at once", deliveries.len());
        seen.extend(served(&deliveries));
    }
    seen.sort();
    check_eq!(seen, made, "the subscriptions served while no lease ended");
    Ok(())
}

async fn nothing_without_subscription(ctx: &Context) -> CaseResult {
    let (queue, other) = (ctx.queue("alone").await?, ctx.queue("other").await?);
    subscribe(ctx, &other, "http://a.example/").await?;
    ctx.post_n(&queue, 5, 300).await?;
    check!(lease(ctx, 60).await?.is_empty(), "something is delivered to nobody");
    check_eq!(ctx.data.outbox().outbox_backlog().await?.entries, 0, "entries in the outbox");
    Ok(())
}

async fn new_subscription_gets_nothing_older(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("since").await?;
    ctx.post_n(&queue, 2, 300).await?;
    let first = subscribe(ctx, &queue, "http://a.example/").await?;
    let early = ctx.post_n(&queue, 2, 300).await?;
    let second = subscribe(ctx, &queue, "http://b.example/").await?;
    let late = ctx.post_n(&queue, 2, 300).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(served(&deliveries), [first.id, second.id], "the subscriptions served");
    for delivery in &deliveries {
        let wanted = if delivery.subscription.id == first.id {
            [early.clone(), late.clone()].concat()
        } else {
            late.clone()
        };
        check_eq!(sent(std::slice::from_ref(delivery)), wanted, "for {:?}", delivery.subscription);
    }
    Ok(())
}

async fn unconfirmed_gets_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("confirmed").await?;
    // Another one keeps every entry alive, so that there always is something older to send.
    subscribe(ctx, &queue, "http://slow.example/").await?;
    let mut new = NewSubscription::new("http://a.example/", span(86_400));
    new.needs_confirmation = true;
    let subscriptions = ctx.data.subscriptions();
    let id = subscriptions.subscription_create(&queue, new).await?.into_inner().id;
    let due = async || {
        let mut deliveries = lease(ctx, 60).await?;
        deliveries.retain(|delivery| delivery.subscription.id == id);
        ctx.advance(60).await?;
        Ok::<Vec<MessageId>, Failure>(sent(&deliveries))
    };
    ctx.post_n(&queue, 2, 300).await?;
    check_eq!(due().await?, [], "what an unconfirmed address is sent");
    subscriptions.subscription_confirm(&queue, id, true).await?;
    check_eq!(due().await?, [], "what is older than the confirmation");
    let posted = ctx.post_n(&queue, 2, 300).await?;
    check_eq!(due().await?, posted, "what is sent after the confirmation");
    subscriptions.subscription_confirm(&queue, id, false).await?;
    ctx.post_n(&queue, 1, 300).await?;
    check_eq!(due().await?, [], "what is sent once the confirmation was taken back");
    subscriptions.subscription_confirm(&queue, id, true).await?;
    check_eq!(due().await?, [], "what is older than the second confirmation");
    let posted = ctx.post_n(&queue, 1, 300).await?;
    check_eq!(due().await?, posted, "what is sent after the second confirmation");
    Ok(())
}

async fn needless_confirmation_loses_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("needless").await?;
    let id = subscribe(ctx, &queue, "http://a.example/").await?.id;
    let mut posted = ctx.post_n(&queue, 2, 300).await?;
    for confirmed in [true, true, false] {
        ctx.data.subscriptions().subscription_confirm(&queue, id, confirmed).await?;
        posted.extend(ctx.post_n(&queue, 1, 300).await?);
    }
    check_eq!(sent(&lease(ctx, 60).await?), posted, "what is sent");
    Ok(())
}

async fn new_address_gets_nothing_older(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("moved").await?;
    let subscriptions = ctx.data.subscriptions();
    let id = subscribe(ctx, &queue, "http://a.example/").await?.id;
    let kept = ctx.post_n(&queue, 2, 300).await?;
    let change = UpdateSubscription::new().ttl(span(80_000)).options(zaqar_core::JsonObject::new());
    subscriptions.subscription_update(&queue, id, change).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), kept, "what is sent after a change of ttl and options");
    ctx.advance(60).await?;
    let change = UpdateSubscription::new().subscriber("http://b.example/".to_owned());
    subscriptions.subscription_update(&queue, id, change).await?;
    check!(lease(ctx, 60).await?.is_empty(), "the new address is sent what is older");
    let posted = ctx.post_n(&queue, 2, 300).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), posted, "what the new address is sent");
    check_eq!(only(&deliveries)?.subscription.subscriber, "http://b.example/", "the address");
    Ok(())
}

async fn deleting_the_message_robs_nobody(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("robbed").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let posted = ctx.post_n(&queue, 6, 300).await?;
    let messages = ctx.data.messages();
    messages.message_delete(&queue, *nth(&posted, 0)?, None).await?;
    messages.message_bulk_delete(&queue, &pick(&posted, [1, 2])?, None).await?;
    let popped = messages.message_pop(&queue, limit(1)?).await?;
    check_eq!(ids(&popped), pick(&posted, [3])?, "the pop");
    messages.message_purge(&queue).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(sent(&deliveries), posted, "what is sent");
    for (number, message) in only(&deliveries)?.messages.iter().enumerate() {
        check_eq!(message.body, Context::body(number), "the body of message {number}");
    }
    Ok(())
}

async fn deleted_subscription_gets_nothing(ctx: &Context) -> CaseResult {
    let (queue, other) = (ctx.queue("ended").await?, ctx.queue("purged").await?);
    let subscriptions = ctx.data.subscriptions();
    let doomed = subscribe(ctx, &queue, "http://a.example/").await?;
    let kept = subscribe(ctx, &queue, "http://b.example/").await?;
    subscribe(ctx, &other, "http://c.example/").await?;
    let posted = ctx.post_n(&queue, 2, 300).await?;
    ctx.post_n(&other, 2, 300).await?;
    // One of them waits for a retry when it is deleted.
    let deliveries = lease(ctx, 60).await?;
    let not_before = zaqar_core::Clock::now(&*ctx.clock).after(span(100));
    for delivery in deliveries.iter().filter(|d| d.subscription.id == doomed.id) {
        let outcomes = [(*nth(&posted, 0)?, DeliveryOutcome::Retry { not_before })];
        ctx.data.outbox().delivery_complete(delivery, &outcomes, true).await?;
    }
    subscriptions.subscription_delete(&queue, doomed.id).await?;
    subscriptions.subscription_purge(&other).await?;
    ctx.advance(200).await?;
    let deliveries = lease(ctx, 60).await?;
    check_eq!(served(&deliveries), [kept.id], "who is served afterwards");
    check_eq!(sent(&deliveries), posted, "what is sent");
    let again = subscribe(ctx, &queue, "http://a.example/").await?;
    ctx.advance(60).await?;
    check_eq!(served(&lease(ctx, 60).await?), [kept.id], "who is served, {} not", again.id);
    Ok(())
}

async fn expired_subscription_gets_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("expired").await?;
    let new = NewSubscription::new("http://a.example/", span(60));
    let id = ctx.data.subscriptions().subscription_create(&queue, new).await?.into_inner().id;
    ctx.post_n(&queue, 2, 3_000).await?;
    ctx.advance(30).await?;
    check_eq!(served(&lease(ctx, 10).await?), [id], "who is served while it lasts");
    ctx.advance_without_sweep(30)?;
    check!(lease(ctx, 10).await?.is_empty(), "an expired subscription is served");
    ctx.post_n(&queue, 1, 3_000).await?;
    ctx.advance(100).await?;
    check!(lease(ctx, 10).await?.is_empty(), "an expired subscription is served later");
    Ok(())
}

async fn owned_subscription_goes_to_its_owner(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("owned").await?;
    let mut new = NewSubscription::new("ws://connection", span(86_400));
    new.owner = Some("head-1".to_owned());
    let owned = ctx.data.subscriptions().subscription_create(&queue, new).await?.into_inner().id;
    let free = subscribe(ctx, &queue, "http://a.example/").await?.id;
    let posted = ctx.post_n(&queue, 1, 300).await?;
    let of = |owner: Option<&str>| {
        LeaseDeliveries::new(LeaseId::random(), span(60)).owner(owner.map(ToOwned::to_owned))
    };
    check_eq!(served(&lease_with(ctx, of(None)).await?), [free], "for a head that owns nothing");
    let none = lease_with(ctx, of(Some("head-2"))).await?;
    check!(none.is_empty(), "another head is given {none:?}");
    let deliveries = lease_with(ctx, of(Some("head-1"))).await?;
    check_eq!((served(&deliveries), sent(&deliveries)), (vec![owned], posted), "its owner's");
    ctx.advance(60).await?;
    let both = lease_with(ctx, of(Some("head-1"))).await?;
    check_eq!(served(&both), [owned, free], "what its owner is given when all leases are over");
    Ok(())
}

async fn repeated_post_is_delivered_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("repeated").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let mut posted = Vec::new();
    for _ in 0..3 {
        let key = super::idempotency::key("k", 1, 600)?;
        let batch = vec![Context::message(0, 300), Context::message(1, 300)];
        let options = zaqar_core::PostMessages::new().key(key);
        posted = ctx.data.messages().message_post(&queue, batch, options).await?.ids;
    }
    check_eq!(sent(&lease(ctx, 60).await?), posted, "what is sent");
    Ok(())
}

async fn delayed_subscription_misses_nothing(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("paged").await?;
    subscribe(ctx, &queue, "http://a.example/").await?;
    let mut posted = Vec::new();
    for batch in [1, 7, 2, 30, 1] {
        posted.extend(post_many(ctx, &queue, batch, |n| Context::message(n, 300)).await?);
    }
    let mut seen = Vec::new();
    for size in [1, 3, 10, 4].into_iter().cycle().take(40) {
        let options = LeaseDeliveries::new(LeaseId::random(), span(60)).messages_max(limit(size)?);
        let deliveries = ctx.data.outbox().delivery_lease(options).await?;
        let Some(delivery) = deliveries.first() else { break };
        check!(delivery.messages.len() <= limit(size)?.as_usize(), "{size} became {delivery:?}");
        seen.extend(sent(&deliveries));
        complete(ctx, delivery).await?;
    }
    check_eq!(seen, posted, "what is sent in all");
    Ok(())
}
