//! Producers and consumers at once, and how long messages take from one to the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::claim_delete::BATCH;
use super::consumer::{Consumer, DeleteMode};
use super::post::produce;
use super::{measured_phase, queue_of_turn};
use crate::measure::Op;
use crate::run::{Context, Measured, Session, drive};

pub(super) fn run(context: &Arc<Context>, mode: DeleteMode) -> anyhow::Result<Measured> {
    if let Some(messages) = context.options.messages {
        context.set_budget(messages);
    }
    let actors = usize::from(context.options.connections).max(2);
    let producers = actors.div_ceil(2);
    let posting = Arc::new(AtomicUsize::new(producers));
    let phase = measured_phase(context, actors);
    drive(context, &phase, move |session, window| {
        let posting = Arc::clone(&posting);
        if session.index < producers {
            Box::pin(async move {
                produce(session, window, producers, Op::Post, false).await;
                posting.fetch_sub(1, Ordering::Release);
            })
        } else {
            Box::pin(consume(session, posting, mode))
        }
    })
}

/// Consumes until all producers are done and every queue was found empty after that.
async fn consume(mut session: Session, posting: Arc<AtomicUsize>, mode: DeleteMode) {
    let context = Arc::clone(&session.context);
    let mut consumer = Consumer::new(&context, usize::from(BATCH), mode);
    let poll = Duration::from_millis(context.options.poll_ms);
    let (mut turn, mut empty) = (0, 0);
    while empty < context.queues && !session.gives_up() {
        let last = posting.load(Ordering::Acquire) == 0;
        let queue = queue_of_turn(&context, session.index, turn);
        turn = turn.wrapping_add(1);
        match consumer.claim(&mut session, Op::Claim, queue, Instant::now()).await {
            Some(0) if last => empty += 1,
            Some(0) => tokio::time::sleep(poll).await,
            Some(_) => {
                empty = 0;
                for stamp in consumer.pending() {
                    session.span(Op::PostToClaim, context.instant(stamp.sent_us));
                }
                consumer.delete(&mut session, Op::Delete, queue).await;
            }
            None => {}
        }
    }
}
