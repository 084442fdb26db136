//! Whether a claim costs the same however much lies ahead of it or waits behind it.
//!
//! Three queues are claimed from in turn, so that whatever else the machine does hits all three:
//! one with little in it, one with many messages in flight ahead, and one with many waiting.

use std::sync::Arc;
use std::time::Instant;

use super::consumer::{Consumer, DeleteMode};
use super::setup::fill;
use crate::measure::Op;
use crate::run::{Context, Measured, Phase, Session, drive};

/// Queues used.
pub(super) const QUEUES: u32 = 3;

const SHALLOW: u32 = 0;
const IN_FLIGHT: u32 = 1;
const WAITING: u32 = 2;

/// Claims on each queue before measuring.
const WARMUP_CLAIMS: u32 = 20;
/// Default number of messages in a claim.
const BATCH: u16 = 10;
/// Messages in a claim while putting messages in flight.
const FLIGHT_BATCH: usize = 20;

pub(super) fn run(context: &Arc<Context>, depth: u64, claims: u32) -> anyhow::Result<Measured> {
    let batch = usize::from(context.options.batch.unwrap_or(BATCH));
    let needed = u64::from(claims + WARMUP_CLAIMS) * batch as u64;
    fill(context, IN_FLIGHT, depth)?;
    put_in_flight(context)?;
    for queue in [SHALLOW, IN_FLIGHT] {
        fill(context, queue, needed)?;
    }
    fill(context, WAITING, depth + needed)?;
    claims_of("warming up", context, batch, WARMUP_CLAIMS)?;
    claims_of("measuring", context, batch, claims)
}

/// Claims all that waits in the queue, over all connections, and keeps the claims.
fn put_in_flight(context: &Arc<Context>) -> anyhow::Result<()> {
    let actors = usize::from(context.options.connections);
    drive(context, &Phase::until_done("claiming ahead", actors), |mut session, _| {
        Box::pin(async move {
            let mut consumer = Consumer::new(&session.context, FLIGHT_BATCH, DeleteMode::Bulk);
            while !session.gives_up() {
                let now = Instant::now();
                let op = Op::Housekeeping;
                if consumer.claim(&mut session, op, IN_FLIGHT, now).await == Some(0) {
                    return;
                }
            }
        })
    })?;
    Ok(())
}

fn claims_of(
    name: &'static str,
    context: &Arc<Context>,
    batch: usize,
    claims: u32,
) -> anyhow::Result<Measured> {
    drive(context, &Phase::until_done(name, 1), move |session, _| {
        Box::pin(claim_in_turn(session, batch, claims))
    })
}

async fn claim_in_turn(mut session: Session, batch: usize, claims: u32) {
    let context = Arc::clone(&session.context);
    let mut consumer = Consumer::new(&context, batch, DeleteMode::Bulk);
    let mut queues = [
        (SHALLOW, Op::ClaimShallow),
        (IN_FLIGHT, Op::ClaimBehindInFlight),
        (WAITING, Op::ClaimManyWaiting),
    ];
    for _ in 0..claims {
        for (queue, op) in queues {
            if session.gives_up() {
                return;
            }
            let claimed = consumer.claim(&mut session, op, queue, Instant::now()).await;
            if claimed.is_some_and(|count| count > 0) {
                consumer.delete(&mut session, Op::Delete, queue).await;
            }
        }
        // Whichever comes first may find the server in another state than those after it.
        queues.rotate_left(1);
    }
}
