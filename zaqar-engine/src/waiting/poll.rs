//! One question a second to the store, for all who wait: what comes through other servers, and what
//! time sets free, is noticed by nobody here.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};
use zaqar_core::MessageWatch;

use super::hub::Found;
use crate::engine::Engine;
use crate::error::EngineResult;
use crate::fence::Call;

const PERIOD: Duration = Duration::from_secs(1);

impl Engine {
    /// Sees to it that the store is asked while somebody waits.
    pub(super) fn poll_for_waiters(&self) {
        if self.hub().take_poll() {
            self.tasks().spawn(poll(self.clone()));
        }
    }

    async fn poll_once(&self, watches: &[MessageWatch]) -> EngineResult<()> {
        if watches.is_empty() {
            return Ok(());
        }
        let messages = self.data().messages();
        let call = Call::read("message_available");
        let answers = self.in_time(call, messages.message_available(watches)).await?;
        let places = watches.iter().map(|watch| (watch.queue.incarnation, watch.after));
        self.hub().found(&places.zip(answers).collect::<Found>());
        Ok(())
    }
}

/// Ends when nobody waits any more.
async fn poll(engine: Engine) {
    let mut ticks = tokio::time::interval_at(Instant::now() + PERIOD, PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        tokio::select! {
            biased;
            () = engine.hub().closed() => return,
            _ = ticks.tick() => {}
        }
        let Some(watches) = engine.hub().watches() else { return };
        match engine.poll_once(&watches).await {
            Ok(()) => failing = false,
            Err(error) if failing => tracing::debug!(%error, "still no answer for waiters"),
            Err(error) => {
                failing = true;
                tracing::warn!(%error, "clients that wait learn of posts through other servers late");
            }
        }
    }
}
