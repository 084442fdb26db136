//! Making, filling, checking and removing a round's queues.

use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;

use super::poster::Poster;
use super::queue_path::QueueRequest;
use super::walker::{Walked, Walker};
use crate::measure::Op;
use crate::run::{Context, Phase, Session, drive};

/// Most messages in one post while filling.
const FILL_BATCH_MAX: usize = 20;

/// A post while filling stays below this size, which every server accepts.
const FILL_POST_BYTES_MAX: usize = 200_000;

/// Creates the queues.
///
/// # Errors
/// The server does not create one.
pub(super) fn create_queues(context: &Arc<Context>) -> anyhow::Result<()> {
    let failed = on_each_queue(context, "making queues", "PUT", &[201, 204])?;
    ensure!(failed == 0, "{}: {failed} queues could not be created", context.target.url());
    Ok(())
}

/// Removes the queues with their messages, unless the operator keeps them.
///
/// # Errors
/// A thread cannot be started.
pub(super) fn delete_queues(context: &Arc<Context>) -> anyhow::Result<()> {
    if !context.options.keep {
        on_each_queue(context, "removing queues", "DELETE", &[204])?;
    }
    Ok(())
}

/// Sends one request for each queue, in turn; answers how many failed.
fn on_each_queue(
    context: &Arc<Context>,
    name: &'static str,
    method: &'static str,
    expected: &'static [u16],
) -> anyhow::Result<u64> {
    let measured = drive(context, &Phase::until_done(name, 1), move |mut session, _| {
        Box::pin(async move {
            let mut request = QueueRequest::new(&session.context, method, "", None);
            for queue in 0..session.context.queues {
                let now = Instant::now();
                session.call(Op::Housekeeping, now, request.on(queue), expected).await;
                if session.gives_up() {
                    return;
                }
            }
        })
    })?;
    Ok(u64::from(context.queues).saturating_sub(measured.recorder.requests))
}

/// Posts `messages` messages to one queue over all connections.
///
/// # Errors
/// Some could not be posted.
pub(super) fn fill(context: &Arc<Context>, queue: u32, messages: u64) -> anyhow::Result<()> {
    let fitting = FILL_POST_BYTES_MAX / (context.shape.body_bytes() + 32);
    let batch = FILL_BATCH_MAX.min(fitting).max(1);
    let before = context.ledger().verdict().acked;
    context.set_budget(messages);
    let actors = usize::from(context.options.connections);
    let phase = Phase::until_done("filling", actors);
    drive(context, &phase, move |session, _| Box::pin(fill_part(session, queue, batch)))?;
    context.set_budget(u64::MAX);
    let posted = context.ledger().verdict().acked - before;
    ensure!(posted == messages, "only {posted} of {messages} messages could be prepared");
    Ok(())
}

async fn fill_part(mut session: Session, queue: u32, batch: usize) {
    let context = Arc::clone(&session.context);
    let mut whole = Poster::new(&context, batch);
    loop {
        let count = context.take(batch);
        if count == 0 || session.gives_up() {
            return;
        }
        let mut rest = (count < batch).then(|| Poster::new(&context, count));
        let poster = rest.as_mut().unwrap_or(&mut whole);
        // What failed is posted again under new numbers, so that the queue gets its length.
        while !poster.post(&mut session, Op::Housekeeping, queue, Instant::now()).await {
            if session.gives_up() {
                return;
            }
        }
    }
}

/// Walks all queues to their ends and settles the ledger with what is there.
///
/// # Errors
/// A thread cannot be started.
pub(super) fn account(context: &Arc<Context>) -> anyhow::Result<()> {
    let actors = usize::from(context.options.connections).min(context.queues as usize);
    let phase = Phase::until_done("checking", actors);
    drive(context, &phase, move |mut session, _| {
        Box::pin(async move {
            let mut walker = Walker::new(&session.context);
            let first = u32::try_from(session.index).unwrap_or_default();
            for queue in (first..session.context.queues).step_by(actors) {
                let walked = walker.walk(&mut session, Op::Housekeeping, queue, None).await;
                let Walked::Whole(walk) = walked else {
                    return;
                };
                session.context.ledger().settle_last(walk);
            }
        })
    })?;
    Ok(())
}

/// True when a post, claim or delete of a session should stop.
pub(super) fn is_over(session: &mut Session, until: Instant) -> bool {
    Instant::now() >= until || session.gives_up()
}
