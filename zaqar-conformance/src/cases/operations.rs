//! Every operation on a queue once, for cases that say something about all of them.

use zaqar_core::{
    Capability, ClaimId, CreateClaim, Error, ListMessages, MessageId, MovedMessage,
    NewSubscription, PageLimit, PostMessages, QueueEnd, QueueRef, SubscriptionId,
    UpdateSubscription,
};

use super::support::span;
use crate::case::Failure;
use crate::context::Context;

/// An operation's name and its answer, whatever it held.
pub(super) type Attempt = (&'static str, Result<(), Error>);

/// Tries every data operation on `queue` that the driver's capabilities allow.
pub(super) async fn attempt_all(ctx: &Context, queue: &QueueRef) -> Result<Vec<Attempt>, Failure> {
    let mut attempts = attempt_messages(ctx, queue).await?;
    if ctx.has(Capability::Claims) {
        attempts.extend(attempt_claims(ctx, queue).await);
    }
    if ctx.has(Capability::Subscriptions) {
        attempts.extend(attempt_subscriptions(ctx, queue).await?);
    }
    if ctx.has(Capability::DeadLetter) {
        attempts.push(attempt_insert_moved(ctx, queue).await?);
        attempts.push((
            "message_origins",
            ctx.data.messages().message_origins(queue, &[]).await.map(drop),
        ));
    }
    Ok(attempts)
}

async fn attempt_messages(ctx: &Context, queue: &QueueRef) -> Result<Vec<Attempt>, Failure> {
    let messages = ctx.data.messages();
    let id = MessageId::new(queue.incarnation, 1)?;
    let limit = PageLimit::default();
    let post = vec![Context::message(0, 300), Context::message(1, 300)];
    let claim = ClaimId::random();
    Ok(vec![
        ("message_post", messages.message_post(queue, post, PostMessages::new()).await.map(drop)),
        ("message_list", messages.message_list(queue, ListMessages::new()).await.map(drop)),
        ("message_first", messages.message_first(queue, QueueEnd::Oldest).await.map(drop)),
        ("message_get", messages.message_get(queue, id).await.map(drop)),
        ("message_bulk_get", messages.message_bulk_get(queue, &[id]).await.map(drop)),
        ("message_delete", messages.message_delete(queue, id, None).await),
        ("message_delete with a claim", messages.message_delete(queue, id, Some(claim)).await),
        ("message_bulk_delete", messages.message_bulk_delete(queue, &[id], None).await),
        (
            "message_bulk_delete with a claim",
            messages.message_bulk_delete(queue, &[id], Some(&[claim])).await,
        ),
        ("message_pop", messages.message_pop(queue, limit).await.map(drop)),
        ("message_purge", messages.message_purge(queue).await),
        ("message_stats", messages.message_stats(queue).await.map(drop)),
    ])
}

pub(super) async fn attempt_claims(ctx: &Context, queue: &QueueRef) -> Vec<Attempt> {
    let claims = ctx.data.claims();
    let (id, ttl) = (ClaimId::random(), span(60));
    vec![
        (
            "claim_create",
            claims.claim_create(queue, CreateClaim::new(id, ttl, ttl)).await.map(drop),
        ),
        ("claim_get", claims.claim_get(queue, id).await.map(drop)),
        ("claim_update", claims.claim_update(queue, id, ttl, ttl).await),
        ("claim_delete", claims.claim_delete(queue, id).await),
    ]
}

pub(super) async fn attempt_subscriptions(
    ctx: &Context,
    queue: &QueueRef,
) -> Result<Vec<Attempt>, Failure> {
    let subscriptions = ctx.data.subscriptions();
    let id = SubscriptionId::new(queue.incarnation, 1)?;
    let limit = PageLimit::default();
    let new = NewSubscription::new("http://subscriber.example/", span(600));
    let change = UpdateSubscription::new().ttl(span(700));
    Ok(vec![
        ("subscription_create", subscriptions.subscription_create(queue, new).await.map(drop)),
        ("subscription_list", subscriptions.subscription_list(queue, None, limit).await.map(drop)),
        ("subscription_get", subscriptions.subscription_get(queue, id).await.map(drop)),
        (
            "subscription_find",
            subscriptions.subscription_find(queue, "http://a.example/").await.map(drop),
        ),
        ("subscription_update", subscriptions.subscription_update(queue, id, change).await),
        ("subscription_confirm", subscriptions.subscription_confirm(queue, id, true).await),
        ("subscription_delete", subscriptions.subscription_delete(queue, id).await),
        ("subscription_purge", subscriptions.subscription_purge(queue).await),
        (
            "delivery_list_exhausted",
            ctx.data.outbox().delivery_list_exhausted(queue, None, limit).await.map(drop),
        ),
    ])
}

pub(super) async fn attempt_insert_moved(
    ctx: &Context,
    queue: &QueueRef,
) -> Result<Attempt, Failure> {
    let elsewhere = ctx.unopened("elsewhere").await?;
    let message = MovedMessage {
        id: MessageId::new(elsewhere.incarnation, 1)?,
        body: Context::body(1),
        ttl: span(300),
        claim_count: 2,
        posted_at: zaqar_core::Clock::now(&*ctx.clock),
        checksum: None,
        source: elsewhere.key.name.clone(),
        last_claim: None,
    };
    let answer = ctx.data.messages().message_insert_moved(queue, message).await.map(drop);
    Ok(("message_insert_moved", answer))
}
