//! Claims and deletes prepared messages until none are left or time is up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::consumer::{Consumer, DeleteMode};
use super::setup::{fill, is_over};
use super::{measured_phase, queue_of_turn};
use crate::measure::{Op, Window};
use crate::run::{Context, Measured, Phase, Session, drive};

/// Default number of messages in each queue.
const MESSAGES: u64 = 100_000;
/// Default number of messages in a claim.
pub(super) const BATCH: u16 = 10;

pub(super) fn run(context: &Arc<Context>, mode: DeleteMode) -> anyhow::Result<Measured> {
    for queue in 0..context.queues {
        fill(context, queue, context.options.messages.unwrap_or(MESSAGES))?;
    }
    let actors = usize::from(context.options.connections);
    // The connections are warm from filling, and every message counts.
    let phase = Phase { warmup: Duration::ZERO, ..measured_phase(context, actors) };
    drive(context, &phase, move |session, window| Box::pin(consume(session, window, mode)))
}

async fn consume(mut session: Session, window: Window, mode: DeleteMode) {
    let context = Arc::clone(&session.context);
    let batch = usize::from(context.options.batch.unwrap_or(BATCH));
    let mut consumer = Consumer::new(&context, batch, mode);
    let (mut turn, mut empty) = (0, 0);
    while empty < context.queues && !is_over(&mut session, window.until) {
        let queue = queue_of_turn(&context, session.index, turn);
        turn = turn.wrapping_add(1);
        match consumer.claim(&mut session, Op::Claim, queue, Instant::now()).await {
            Some(0) => empty += 1,
            Some(_) => {
                empty = 0;
                consumer.delete(&mut session, Op::Delete, queue).await;
            }
            None => {}
        }
    }
}
