//! Posts as fast as answers come, or at a rate.

use std::sync::Arc;

use super::poster::Poster;
use super::setup::is_over;
use super::{measured_phase, queue_of_turn};
use crate::measure::{Op, Window};
use crate::run::{Context, Measured, Pacer, Session, drive};

/// Default number of messages in a post.
const BATCH: u16 = 1;

pub(super) fn run(context: &Arc<Context>) -> anyhow::Result<Measured> {
    if let Some(messages) = context.options.messages {
        context.set_budget(messages);
    }
    let actors = usize::from(context.options.connections);
    let phase = measured_phase(context, actors);
    drive(context, &phase, move |session, window| {
        Box::pin(produce(session, window, actors, Op::Post, true))
    })
}

/// Posts until the window ends or the budget is used up.
///
/// `counted` says whether the messages count towards the throughput here.
pub(super) async fn produce(
    mut session: Session,
    window: Window,
    producers: usize,
    op: Op,
    counted: bool,
) {
    let context = Arc::clone(&session.context);
    let batch = usize::from(context.options.batch.unwrap_or(BATCH));
    let rate = context.options.rate.map(|rate| rate / producers as f64);
    let seed = context.options.seed.wrapping_add(session.index as u64);
    let mut pacer = Pacer::new(rate, seed);
    let mut poster = Poster::new(&context, batch);
    let mut turn = 0;
    while !is_over(&mut session, window.until) && context.take(batch) == batch {
        let started = pacer.arrival().await;
        let queue = queue_of_turn(&context, session.index, turn);
        if poster.post(&mut session, op, queue, started).await && counted {
            session.count_messages(batch);
        }
        turn = turn.wrapping_add(1);
    }
}
