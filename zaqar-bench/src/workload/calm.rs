//! How long a message takes from its producer to a waiting consumer when little happens.
//!
//! A consumer claims the moment a post is acknowledged, so the figure holds the two requests and
//! nothing of a polling interval. All connections but the producer's are consumers, so that one
//! that is still deleting keeps no message waiting.

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
pub(super) const RATE: f64 = 100.0;
/// The only queue.
const QUEUE: u32 = 0;
/// How often a message that was acknowledged is asked for before the consumer moves on.
const CLAIMS_MAX: u32 = 100;

pub(super) fn run(context: &Arc<Context>) -> anyhow::Result<Measured> {
    let (posted, arrived) = unbounded_channel();
    // The producer takes its end away, so that the consumers' end closes when it is done.
    let posted = Arc::new(Mutex::new(Some(posted)));
    let arrived = Arc::new(Mutex::new(arrived));
    let phase = measured_phase(context, usize::from(context.options.connections).max(2));
    drive(context, &phase, move |session, window| {
        let (posted, arrived) = (Arc::clone(&posted), Arc::clone(&arrived));
        Box::pin(async move {
            if session.index == 0 {
                let posted = posted.lock().await.take();
                produce(session, window, posted).await;
            } else {
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

async fn consume(mut session: Session, arrived: Arc<Mutex<UnboundedReceiver<()>>>) {
    let context = Arc::clone(&session.context);
    let mut consumer = Consumer::new(&context, 1, DeleteMode::Single);
    while next(&arrived).await.is_some() {
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

/// Waits for the next acknowledged post; the lock is released before the claim.
async fn next(arrived: &Mutex<UnboundedReceiver<()>>) -> Option<()> {
    arrived.lock().await.recv().await
}
