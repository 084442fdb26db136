//! Keeps the subscriptions of one connection alive while it is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use zaqar_core::{
    Error, QueueKey, Subscription, SubscriptionId, Timestamp, Ttl, UpdateSubscription,
};
use zaqar_engine::{Engine, EngineError, EngineResult};

use super::session::Holdings;
use crate::socket_lease;

/// How many connections renew at a time: they must not keep the store from its work.
pub(super) const AT_ONCE: usize = 8;

/// A subscription that has to be kept alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) id: SubscriptionId,
    /// How long it was asked to live.
    asked: Ttl,
    /// For how long it was stored last.
    stored: Ttl,
    /// It is stored until then, at least.
    until: Timestamp,
    /// When the life that was asked for ends.
    end: Timestamp,
}

impl Held {
    /// What was made and not renewed since.
    pub(super) fn new(made: &Subscription) -> Self {
        let (asked_s, _) = socket_lease::shown(made);
        let later = Ttl::from_secs_clamped(asked_s.saturating_sub(made.ttl.as_secs()));
        Self {
            id: made.id,
            asked: Ttl::from_secs_clamped(asked_s),
            stored: made.ttl,
            until: made.expires_at,
            end: made.expires_at.after(later),
        }
    }
}

/// What became of a renewal.
#[derive(Debug, PartialEq, Eq)]
enum Renewed {
    /// It lives on.
    Alive(Held),
    /// Somebody removed it, or its life is over.
    Over,
    /// It ended although it should have lived on.
    Lapsed,
}

/// Renews what a connection holds, every `period`, until the connection has gone or one has lapsed.
pub(super) async fn run(
    engine: Engine,
    holdings: Arc<Holdings>,
    turns: Arc<Semaphore>,
    period: Duration,
) {
    let mut ticks = interval_at(Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = holdings.closed() => return,
            _ = ticks.tick() => {}
        }
        let Ok(_turn) = turns.acquire().await else { return };
        for (key, held) in holdings.held_ones() {
            if holdings.is_closed() {
                return;
            }
            match renew(&engine, &key, held).await {
                Ok(Renewed::Alive(held)) => holdings.renewed(&key, held),
                Ok(Renewed::Over) => holdings.forget(&key, held.id),
                Ok(Renewed::Lapsed) => {
                    tracing::warn!(subscription = %held.id, "a connection's subscription lapsed");
                    holdings.lapse();
                    return;
                }
                // There is time for another try before it lapses.
                Err(error) => tracing::debug!(%error, "a subscription could not be renewed"),
            }
        }
    }
}

async fn renew(engine: &Engine, key: &QueueKey, held: Held) -> EngineResult<Renewed> {
    match try_to_renew(engine, key, held).await {
        Err(EngineError::Store(Error::SubscriptionNotFound { .. })) => {
            let now = engine.clock().now();
            let is_over = now < held.until || held.until == held.end;
            Ok(if is_over { Renewed::Over } else { Renewed::Lapsed })
        }
        renewed => renewed.map(Renewed::Alive),
    }
}

async fn try_to_renew(engine: &Engine, key: &QueueKey, mut held: Held) -> EngineResult<Held> {
    // As of before the store is asked: what is stored ends no earlier than is thought here.
    let now = engine.clock().now();
    let found = engine.subscription_get(key, held.id).await?;
    let is_changed = found.ttl != held.stored;
    if is_changed {
        // Somebody gave it another life.
        let (life, end) = (found.ttl, found.expires_at);
        held = Held { asked: life, stored: life, until: end, end, ..held };
    }
    let left = Ttl::from_secs_clamped(held.end.seconds_since(now));
    let stored = socket_lease::span(left);
    if held.until == held.end && (!is_changed || stored == left) {
        return Ok(held);
    }
    let mut options = found.options;
    socket_lease::note(&mut options, held.asked, stored);
    let changes = UpdateSubscription::new().ttl(stored).options(options);
    engine.subscription_update(key, held.id, changes).await?;
    let until = if stored == left { held.end } else { now.after(stored) };
    Ok(Held { stored, until, ..held })
}
