//! What the case files share: short spellings, and the steps that several subjects begin with.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use zaqar_core::{
    Capability, Claimed, CreateClaim, Error, GcOptions, JsonObject, ListMessages, Message,
    MessageId, NewMessage, PageLimit, PostMessages, Posted, QueueRef, QueueStats, Redrive, Ttl,
};

use crate::case::Failure;
use crate::context::Context;

/// Calls after which a loop that must come to an end is taken for endless.
const STEPS_MAX: usize = 100_000;

/// A span of `seconds`.
pub(super) fn span(seconds: u64) -> Ttl {
    Ttl::from_secs_clamped(seconds)
}

/// A limit of `items`.
#[track_caller]
pub(super) fn limit(items: u32) -> Result<PageLimit, Failure> {
    PageLimit::new(items).map_err(Failure::broken)
}

/// Item `index`.
#[track_caller]
pub(super) fn nth<T: fmt::Debug>(items: &[T], index: usize) -> Result<&T, Failure> {
    match items.get(index) {
        Some(item) => Ok(item),
        None => Err(Failure::broken(format!("there is no item {index} among {items:?}"))),
    }
}

/// The one item that there must be.
#[track_caller]
pub(super) fn only<T: fmt::Debug>(items: &[T]) -> Result<&T, Failure> {
    match items {
        [item] => Ok(item),
        _ => Err(Failure::broken(format!("found {items:?}, wanted one item"))),
    }
}

/// The ids of `messages`, in their order.
pub(super) fn ids(messages: &[Message]) -> Vec<MessageId> {
    messages.iter().map(|message| message.id).collect()
}

/// The items at `indexes`, in that order.
#[track_caller]
pub(super) fn pick<T: fmt::Debug + Copy>(
    items: &[T],
    indexes: impl IntoIterator<Item = usize>,
) -> Result<Vec<T>, Failure> {
    indexes.into_iter().map(|index| nth(items, index).copied()).collect()
}

/// The bodies of `messages` as text, in their order.
pub(super) fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.body.as_str()).collect()
}

/// Metadata from JSON text.
#[track_caller]
pub(super) fn object(text: &str) -> Result<JsonObject, Failure> {
    serde_json::from_str(text).map_err(|error| Failure::broken(format!("{text}: {error}")))
}

/// A listing that leaves nothing out.
pub(super) fn everything() -> ListMessages {
    ListMessages::new().include_claimed(true).include_delayed(true)
}

/// Ends the case if the driver lacks a second capability that it needs: there is nothing to ask.
#[track_caller]
pub(super) fn needs(ctx: &Context, capability: Capability) -> Result<(), Failure> {
    if ctx.has(capability) { Ok(()) } else { Err(Failure::lacking(capability)) }
}

/// Whether the driver refused because the incarnation is closed.
pub(super) fn is_gone(error: &Error) -> bool {
    matches!(error, Error::QueueGone { .. })
}

/// Whether the driver says that the message is not there.
pub(super) fn is_no_message(error: &Error) -> bool {
    matches!(error, Error::MessageNotFound { .. })
}

/// Whether the driver says that the claim is not there.
pub(super) fn is_no_claim(error: &Error) -> bool {
    matches!(error, Error::ClaimNotFound { .. })
}

/// Whether the message may not be deleted because it is under no claim.
pub(super) fn is_not_claimed(error: &Error) -> bool {
    matches!(error, Error::MessageNotClaimed { .. })
}

/// Whether the fence of claims refused: the named claim does not hold the message (G6).
pub(super) fn is_fenced(error: &Error) -> bool {
    matches!(
        error,
        Error::MessageNotClaimed { .. }
            | Error::MessageNotClaimedBy { .. }
            | Error::ClaimNotFound { .. }
    )
}

/// Statistics as of now: they may be a second old, so two seconds pass first.
pub(super) async fn stats(ctx: &Context, queue: &QueueRef) -> Result<QueueStats, Failure> {
    ctx.advance_without_sweep(2)?;
    Ok(ctx.data.messages().message_stats(queue).await?)
}

/// Claimed and free messages as of now, as [`stats`].
pub(super) async fn counts(ctx: &Context, queue: &QueueRef) -> Result<(u64, u64), Failure> {
    let stats = stats(ctx, queue).await?;
    Ok((stats.claimed, stats.free))
}

/// Claims under `options`.
pub(super) async fn claim_with(
    ctx: &Context,
    queue: &QueueRef,
    options: CreateClaim,
) -> Result<Claimed, Failure> {
    Ok(ctx.data.claims().claim_create(queue, options).await?)
}

/// Claims one message for `ttl_s` under a new claim, dead letters going where `redrive` says.
pub(super) async fn claim_redriven(
    ctx: &Context,
    queue: &QueueRef,
    ttl_s: u64,
    items: u32,
    redrive: &Redrive,
) -> Result<(zaqar_core::ClaimId, Claimed), Failure> {
    let id = zaqar_core::ClaimId::random();
    let options =
        CreateClaim::new(id, span(ttl_s), Ttl::ZERO).limit(limit(items)?).redrive(redrive.clone());
    Ok((id, claim_with(ctx, queue, options).await?))
}

/// Posts `n` messages and returns whatever the driver answers.
pub(super) async fn try_post(ctx: &Context, queue: &QueueRef, n: usize) -> Result<Posted, Error> {
    let messages = (0..n).map(|number| Context::message(number, 300)).collect();
    ctx.data.messages().message_post(queue, messages, PostMessages::new()).await
}

/// Posts `n` messages of `ttl_s` that are delayed by `delay_s`.
pub(super) async fn post_delayed(
    ctx: &Context,
    queue: &QueueRef,
    n: usize,
    ttl_s: u64,
    delay_s: u64,
) -> Result<Vec<MessageId>, Failure> {
    let message = |number| Context::message(number, ttl_s).delay(span(delay_s));
    ctx.post(queue, (0..n).map(message).collect()).await
}

/// Posts `n` messages of `ttl_s` in posts of at most a thousand.
pub(super) async fn post_many(
    ctx: &Context,
    queue: &QueueRef,
    n: usize,
    make: impl Fn(usize) -> NewMessage,
) -> Result<Vec<MessageId>, Failure> {
    let mut posted = Vec::with_capacity(n);
    while posted.len() < n {
        let end = n.min(posted.len() + 1_000);
        posted.extend(ctx.post(queue, (posted.len()..end).map(&make).collect()).await?);
    }
    Ok(posted)
}

/// Collects with that margin until nothing more is due; returns the rows removed.
pub(super) async fn gc(ctx: &Context, margin_s: u64) -> Result<u64, Failure> {
    let mut rows: u64 = 0;
    for _ in 0..STEPS_MAX {
        let report = ctx.data.gc(GcOptions::new().margin(span(margin_s))).await?;
        rows = rows.saturating_add(report.rows);
        if !report.more {
            return Ok(rows);
        }
    }
    Err(Failure::broken("gc always has more to do"))
}

/// Polls `operation` at most `polls` times and drops it if that was not enough (G16).
///
/// Between polls it waits to be woken, so the driver's own tasks get on with their work.
pub(super) async fn drop_at_poll<F: Future>(operation: F, polls: usize) -> Option<F::Output> {
    let mut operation = pin!(operation);
    let mut polled = 0;
    std::future::poll_fn(move |task| {
        if polled == polls {
            return Poll::Ready(None);
        }
        polled += 1;
        match operation.as_mut().poll(task) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            // Dropped at once, while the driver still works on it.
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
