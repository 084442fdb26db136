//! How long a message takes from its producer to a waiting consumer when little happens.
//!
//! The consumer claims the moment a post is acknowledged, so the figure holds the two requests
//! and nothing of a polling interval.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::consumer::{Consumer, DeleteMode};
use super::measured_phase;
use super::poster::Poster;
use super::setup::is_over;
use crate::http::ErrorClass;
use crate::measure::{Op, Window};
use crate::run::{Context, Measured, Pacer, Session, drive};

/// Default posts per second.
const RATE: f64 = 100.0;
/// The only queue.
const QUEUE: u32 = 0;
/// How often a message that was acknowledged is asked for before the consumer moves on.
const CLAIMS_MAX: u32 = 100;

pub(super) fn run(context: &Arc<Context>) -> anyhow::Result<Measured> {
    let (posted, arrived) = unbounded_channel();
    // Each end is taken by one of the two actors.
    let ends = Arc::new((Mutex::new(Some(posted)), Mutex::new(Some(arrived))));
    let phase = measured_phase(context, 2);
    drive(context, &phase, move |session, window| {
        let ends = Arc::clone(&ends);
        Box::pin(async move {
            if session.index == 0 {
                let posted = ends.0.lock().await.take();
                produce(session, window, posted).await;
            } else if let Some(arrived) = ends.1.lock().await.take() {
                consume(session, arrived).await;
            }
        })
    })
}

async fn produce(mut session: Session, window: Window, posted: Option<UnboundedSender<()>>) {
    let Some(posted) = posted else {
        return;
    };
    let context = Arc::clone(&session.context);
    let rate = context.options.rate.unwrap_or(RATE);
    let mut pacer = Pacer::new(Some(rate), context.options.seed);
    let mut poster = Poster::new(&context, 1);
    while !is_over(&mut session, window.until) {
        let started = pacer.arrival().await;
        let acknowledged = poster.post(&mut session, Op::Post, QUEUE, started).await;
        if acknowledged && posted.send(()).is_err() {
            return;
        }
    }
}

async fn consume(mut session: Session, mut arrived: UnboundedReceiver<()>) {
    let context = Arc::clone(&session.context);
    let mut consumer = Consumer::new(&context, 1, DeleteMode::Single);
    while arrived.recv().await.is_some() {
        for _ in 0..CLAIMS_MAX {
            let claimed = consumer.claim(&mut session, Op::Claim, QUEUE, Instant::now()).await;
            for stamp in consumer.pending() {
                session.span(Op::PostToClaim, context.instant(stamp.sent_us));
            }
            match claimed {
                Some(0) => session.fail(ErrorClass::NotYetVisible),
                Some(_) => {
                    consumer.delete(&mut session, Op::Delete, QUEUE).await;
                    break;
                }
                None if session.gives_up() => return,
                None => {}
            }
        }
    }
}
