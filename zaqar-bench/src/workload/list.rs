//! Walks through full queues again and again; every whole walk must meet every message.

use std::sync::Arc;

use super::setup::{fill, is_over};
use super::walker::{Walked, Walker};
use super::{measured_phase, queue_of_turn};
use crate::measure::{Op, Window};
use crate::run::{Context, Measured, Session, drive};

/// Default number of messages in each queue.
const MESSAGES: u64 = 10_000;

pub(super) fn run(context: &Arc<Context>) -> anyhow::Result<Measured> {
    for queue in 0..context.queues {
        fill(context, queue, context.options.messages.unwrap_or(MESSAGES))?;
    }
    let phase = measured_phase(context, usize::from(context.options.connections));
    drive(context, &phase, |session, window| Box::pin(read(session, window)))
}

async fn read(mut session: Session, window: Window) {
    let context = Arc::clone(&session.context);
    let mut walker = Walker::new(&context);
    let mut turn = 0;
    while !is_over(&mut session, window.until) {
        let queue = queue_of_turn(&context, session.index, turn);
        match walker.walk(&mut session, Op::List, queue, Some(window.until)).await {
            Walked::Whole(walk) => {
                context.ledger().settle(walk);
            }
            Walked::Cut(walk) => context.ledger().settle_cut(walk),
            Walked::Failed => return,
        }
        turn = turn.wrapping_add(1);
    }
}
