//! How long a request takes that stores nothing, at the low rate of the calm workload: the floor
//! that the machine and HTTP put under each of that workload's requests.

use std::sync::Arc;

use super::calm::RATE;
use super::measured_phase;
use super::setup::is_over;
use crate::measure::{Op, Window};
use crate::run::{Context, Measured, Pacer, Session, drive};

pub(super) fn run(context: &Arc<Context>) -> anyhow::Result<Measured> {
    let phase = measured_phase(context, 1);
    drive(context, &phase, |session, window| Box::pin(ask(session, window)))
}

async fn ask(mut session: Session, window: Window) {
    let context = Arc::clone(&session.context);
    let mut pacer = Pacer::new(Some(context.options.rate.unwrap_or(RATE)), context.options.seed);
    let request = context.target.request("GET", "/", None);
    while !is_over(&mut session, window.until) {
        let started = pacer.arrival().await;
        session.call(Op::Ping, started, &request, &[300]).await;
    }
}
