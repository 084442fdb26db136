//! Dropped calls that change subscriptions and leases of deliveries (G16).

use zaqar_core::{NewSubscription, UpdateSubscription};

use super::cancel::{POLLS_MAX, answered, settle};
use super::outbox::{complete, lease, sent, subscribe};
use super::support::{drop_at_poll, limit, object, only, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq};
use crate::context::Context;

cases! {
    dropped_subscription_update_is_whole = "cancel.subscription.update_and_purge" {
        level: Extended(Subscriptions),
        guarantees: [G13, G16],
        methods: ["subscription_update", "subscription_purge"],
        summary: "A dropped update of a subscription changed all that it names or nothing; a dropped purge removed all subscriptions or none.",
    }
    dropped_delivery_renewal_is_whole = "cancel.delivery.renewal" {
        level: Extended(Subscriptions),
        guarantees: [G13, G16],
        methods: ["delivery_renew", "delivery_lease"],
        summary: "After a dropped renewal the delivery is handed out again at the end of the old lease or of the new one, none lost.",
    }
}

const TOO_MANY: &str = "a call needs more polls than the case drops at";

async fn dropped_subscription_update_is_whole(ctx: &Context) -> CaseResult {
    let subscriptions = ctx.data.subscriptions();
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("changed-{polls}")).await?;
        let old = subscribe(ctx, &queue, "http://old.example/").await?;
        let other = NewSubscription::new("http://other.example/", span(3_000));
        subscriptions.subscription_create(&queue, other).await?;
        let mut changes = UpdateSubscription::new();
        changes.subscriber = Some("http://new.example/".to_owned());
        changes.options = Some(object(r#"{"a": 1}"#)?);
        let call = subscriptions.subscription_update(&queue, old.id, changes.clone());
        let updated = answered(drop_at_poll(call, polls).await)?.is_some();
        settle(ctx, &queue).await?;
        let left = subscriptions.subscription_get(&queue, old.id).await?;
        let seen = (left.subscriber.as_str(), left.options.len());
        let kept = seen == ("http://old.example/", 0) && !updated;
        check!(kept || seen == ("http://new.example/", 1), "after {polls} polls: {left:?}");
        subscriptions.subscription_update(&queue, old.id, changes).await?;

        let call = subscriptions.subscription_purge(&queue);
        let purged = answered(drop_at_poll(call, polls).await)?.is_some();
        settle(ctx, &queue).await?;
        let left = subscriptions.subscription_list(&queue, None, limit(10)?).await?.items.len();
        check!(left == 0 || (left == 2 && !purged), "{left} of 2 left after {polls} polls");
        subscriptions.subscription_purge(&queue).await?;
        let left = subscriptions.subscription_list(&queue, None, limit(10)?).await?.items;
        check!(left.is_empty(), "left by a whole purge: {left:?}");
        if updated && purged {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}

async fn dropped_delivery_renewal_is_whole(ctx: &Context) -> CaseResult {
    for polls in 0..POLLS_MAX {
        let queue = ctx.queue(&format!("renewed-{polls}")).await?;
        subscribe(ctx, &queue, "http://a.example/").await?;
        let posted = ctx.post_n(&queue, 2, 3_000).await?;
        let deliveries = lease(ctx, 60).await?;
        ctx.advance(30).await?;
        let call = ctx.data.outbox().delivery_renew(only(&deliveries)?, span(60));
        let renewed = answered(drop_at_poll(call, polls).await)?.is_some();
        settle(ctx, &queue).await?;
        ctx.advance(30).await?;
        let early = lease(ctx, 30).await?;
        check!(early.is_empty() || !renewed, "handed out under a renewed lease: {early:?}");
        ctx.advance(30).await?;
        let again = lease(ctx, 60).await?;
        check_eq!(sent(&again), posted, "handed out at the end, after {polls} polls");
        complete(ctx, only(&again)?).await?;
        if renewed {
            return Ok(());
        }
    }
    Err(Failure::inconclusive(TOO_MANY))
}
