//! Posts and deliveries at the same time, at two nodes (G13).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{try_join, try_join_all};
use zaqar_core::{LeaseDeliveries, LeaseId, MessageId, QueueRef, SubscriptionId};

use super::outbox::{complete, subscribe};
use super::support::{limit, span};
use crate::case::{CaseResult, Failure, cases, check, check_eq};
use crate::context::Context;

cases! {
    racing_posts_are_each_delivered_once = "outbox.race.each_once_never_early" {
        level: Extended(Subscriptions),
        guarantees: [G5, G13],
        methods: ["message_post", "delivery_lease", "delivery_complete"],
        summary: "While many post and many deliver at two nodes, every subscription is handed each message once, in order, and none that cannot be read yet.",
    }
}

const POSTERS: usize = 4;
const POSTS: usize = 8;

/// What each subscription was handed.
type Handed = Mutex<BTreeMap<SubscriptionId, Vec<MessageId>>>;

async fn racing_posts_are_each_delivered_once(ctx: &Context) -> CaseResult {
    let queue = ctx.queue("raced").await?;
    let other = ctx.second_handle().await?;
    for number in 0..3 {
        subscribe(ctx, &queue, &format!("http://{number}.example/")).await?;
    }
    let (posting, handed) = (AtomicUsize::new(POSTERS), Handed::default());
    let nodes = [ctx, &other];
    let posters = nodes.into_iter().cycle().take(POSTERS).map(|node| post(node, &queue, &posting));
    let workers =
        nodes.into_iter().cycle().take(4).map(|node| deliver(node, &queue, &posting, &handed));
    let (posted, _) = try_join(try_join_all(posters), try_join_all(workers)).await?;
    let mut posted = posted.concat();
    posted.sort();
    let handed = handed.into_inner().unwrap_or_default();
    check_eq!(handed.len(), 3, "subscriptions that were served");
    for (id, messages) in handed {
        check_eq!(messages, posted, "what {id} was handed");
    }
    other.close().await;
    Ok(())
}

async fn post(
    node: &Context,
    queue: &QueueRef,
    posting: &AtomicUsize,
) -> Result<Vec<MessageId>, Failure> {
    let mut posted = Vec::new();
    for number in 0..POSTS {
        posted.extend(node.post_n(queue, 1 + number % 3, 300).await?);
        tokio::task::yield_now().await;
    }
    posting.fetch_sub(1, Ordering::SeqCst);
    Ok(posted)
}

/// Delivers until nobody posts any more and there is nothing left that no other worker holds.
async fn deliver(
    node: &Context,
    queue: &QueueRef,
    posting: &AtomicUsize,
    handed: &Handed,
) -> CaseResult {
    loop {
        let is_last = posting.load(Ordering::SeqCst) == 0;
        let options = LeaseDeliveries::new(LeaseId::random(), span(600))
            .subscriptions_max(limit(1)?)
            .messages_max(limit(5)?);
        let deliveries = node.data.outbox().delivery_lease(options).await?;
        for delivery in &deliveries {
            for message in &delivery.messages {
                let read = node.data.messages().message_get(queue, message.id).await;
                check!(read.is_ok(), "{} is delivered and cannot be read: {read:?}", message.id);
            }
            if let Ok(mut handed) = handed.lock() {
                let ids = delivery.messages.iter().map(|message| message.id);
                handed.entry(delivery.subscription.id).or_default().extend(ids);
            }
            complete(node, delivery).await?;
        }
        if deliveries.is_empty() {
            if is_last {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }
}
