//! What keeps one host from using up the workers: few deliveries at a time, and none for a while
//! once it only lets them time out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Hosts that are remembered only because they failed once; beyond it the idle ones are forgotten.
const HOSTS_MAX: usize = 10_000;

/// A host at which nothing has ended for so long is not worth waiting for.
const STUCK_AFTER: Duration = Duration::from_millis(250);

/// How long a delivery waits for another one to the same host to end.
const TURN_WAIT: Duration = Duration::from_millis(100);
const TURN_STEP: Duration = Duration::from_millis(10);

/// How much one host may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostLimits {
    /// Deliveries at a time.
    pub at_a_time: u32,
    /// Time-outs in a row after which the host is left alone.
    pub timeouts_max: u32,
    /// For how long.
    pub pause: Duration,
}

impl Default for HostLimits {
    fn default() -> Self {
        Self { at_a_time: 8, timeouts_max: 5, pause: Duration::from_secs(10) }
    }
}

#[derive(Debug)]
struct Host {
    running: u32,
    /// When a delivery ended last, or the first one began.
    moved_at: Instant,
    timeouts: u32,
    /// Until when it is left alone; after that one delivery is let through.
    closed_until: Option<Instant>,
    probing: bool,
}

impl Host {
    fn new(now: Instant) -> Self {
        Self { running: 0, moved_at: now, timeouts: 0, closed_until: None, probing: false }
    }
}

/// Why a delivery may not begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// As many as may be are under way.
    Full,
    /// So they are, and none of them has ended for a while.
    Stuck,
    /// The host timed out too often; it is tried again after this time.
    Paused(Duration),
}

/// The hosts with deliveries under way, or that failed.
#[derive(Debug)]
pub(crate) struct Hosts {
    limits: HostLimits,
    hosts: Mutex<HashMap<String, Host>>,
}

impl Hosts {
    pub(crate) fn new(limits: HostLimits) -> Arc<Self> {
        Arc::new(Self { limits, hosts: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a delivery to `name` begin, or says why not.
    pub(crate) fn begin(self: &Arc<Self>, name: &str) -> Result<Turn, Refusal> {
        let now = Instant::now();
        let mut hosts = self.lock();
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(name) {
            hosts.retain(|_, host| host.running > 0);
        }
        let host = hosts.entry(name.to_owned()).or_insert_with(|| Host::new(now));
        if let Some(until) = host.closed_until {
            let left = until.saturating_duration_since(now);
            if !left.is_zero() || host.probing {
                return Err(Refusal::Paused(left.max(Duration::from_secs(1))));
            }
            host.probing = true;
        } else if host.running >= self.limits.at_a_time {
            let still = now.saturating_duration_since(host.moved_at);
            return Err(if still > STUCK_AFTER { Refusal::Stuck } else { Refusal::Full });
        }
        host.running += 1;
        let alone = host.running == 1;
        Ok(Turn { hosts: Arc::clone(self), name: name.to_owned(), alone, timed_out: None })
    }

    /// The same, but waits a little where others are about to end.
    pub(crate) async fn turn(self: &Arc<Self>, name: &str) -> Result<Turn, Refusal> {
        let mut waited = Duration::ZERO;
        loop {
            match self.begin(name) {
                Err(Refusal::Full) if waited < TURN_WAIT => {
                    tokio::time::sleep(TURN_STEP).await;
                    waited += TURN_STEP;
                }
                begun => return begun,
            }
        }
    }

    fn end(&self, name: &str, timed_out: Option<bool>) {
        let mut hosts = self.lock();
        let Some(host) = hosts.get_mut(name) else { return };
        host.running = host.running.saturating_sub(1);
        host.probing = false;
        host.moved_at = Instant::now();
        match timed_out {
            Some(true) => {
                host.timeouts = host.timeouts.saturating_add(1);
                if host.timeouts >= self.limits.timeouts_max {
                    host.closed_until = Some(Instant::now() + self.limits.pause);
                }
            }
            Some(false) => {
                host.timeouts = 0;
                host.closed_until = None;
            }
            // It was cut off: nothing is known.
            None => {}
        }
        if host.running == 0 && host.timeouts == 0 && host.closed_until.is_none() {
            hosts.remove(name);
        }
    }
}

/// Leave to deliver once; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Turn {
    hosts: Arc<Hosts>,
    name: String,
    alone: bool,
    timed_out: Option<bool>,
}

impl Turn {
    /// Whether no other delivery was under way when it began.
    pub(crate) fn is_alone(&self) -> bool {
        self.alone
    }

    /// Ends it, and says whether the host let the time run out.
    pub(crate) fn finish(mut self, timed_out: bool) {
        self.timed_out = Some(timed_out);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.hosts.end(&self.name, self.timed_out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Arc<Hosts> {
        let limits = HostLimits { at_a_time: 2, timeouts_max: 2, pause: Duration::from_secs(10) };
        Hosts::new(limits)
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_gets_so_many_deliveries_at_a_time_and_others_are_not_touched() {
        let hosts = hosts();
        let (first, _second) = (hosts.begin("a").unwrap(), hosts.begin("a").unwrap());
        assert_eq!(hosts.begin("a").unwrap_err(), Refusal::Full);
        assert!(hosts.begin("b").is_ok());
        tokio::time::advance(STUCK_AFTER * 2).await;
        assert_eq!(hosts.begin("a").unwrap_err(), Refusal::Stuck);
        drop(first);
        assert!(hosts.begin("a").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_that_times_out_again_and_again_is_paused_then_probed_once() {
        let hosts = hosts();
        for _ in 0..2 {
            hosts.begin("a").unwrap().finish(true);
        }
        assert_eq!(hosts.begin("a").unwrap_err(), Refusal::Paused(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        let probe = hosts.begin("a").unwrap();
        assert!(matches!(hosts.begin("a"), Err(Refusal::Paused(_))));
        probe.finish(true);
        assert_eq!(hosts.begin("a").unwrap_err(), Refusal::Paused(Duration::from_secs(10)));
        tokio::time::advance(Duration::from_secs(10)).await;
        hosts.begin("a").unwrap().finish(false);
        assert!(hosts.begin("a").is_ok());
        assert!(hosts.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_in_between_starts_the_count_anew_and_a_cut_off_attempt_counts_for_nothing() {
        let hosts = hosts();
        for timed_out in [true, false, true] {
            hosts.begin("a").unwrap().finish(timed_out);
        }
        drop(hosts.begin("a").unwrap());
        assert!(hosts.begin("a").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_of_hosts_is_bounded() {
        let hosts = hosts();
        for number in 0..HOSTS_MAX + 10 {
            hosts.begin(&number.to_string()).unwrap().finish(true);
        }
        assert!(hosts.lock().len() <= HOSTS_MAX);
    }
}
