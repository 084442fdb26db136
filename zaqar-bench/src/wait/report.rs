//! What the wait workload found.

use std::fmt;

use serde::Serialize;

use crate::sockets::Spread;

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct WaitResult {
    /// Clients that waited.
    pub waiters: u32,
    /// Queues that they waited for.
    pub queues: u32,
    /// How long one request waited at most.
    pub wait_s: u64,
    /// How long nothing was posted.
    pub idle_s: f64,
    /// Waits that ended meanwhile and were begun anew.
    pub renewed: u64,
    /// Processor time of the server meanwhile, in percent of one core.
    pub idle_cpu_percent: Option<f64>,
    /// Resident memory of the server with all of them waiting.
    pub rss_waiting: Option<u64>,
    /// Messages posted.
    pub wakes: u32,
    /// Messages that no waiter got.
    pub missing: u64,
    /// Messages that waiters got more than once.
    pub doubled: u64,
    /// From the start of a post to its arrival at a waiter.
    pub wake_ms: Spread,
}

impl WaitResult {
    /// Whether every message woke somebody, and one alone.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.missing == 0 && self.doubled == 0
    }
}

impl fmt::Display for WaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self
            .idle_cpu_percent
            .map_or_else(|| "unknown".to_owned(), |percent| format!("{percent:.1} % of a core"));
        let memory = self.rss_waiting.map_or_else(
            || "unknown".to_owned(),
            |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        );
        let Spread { p50, p99, max } = self.wake_ms;
        writeln!(
            f,
            "wait     {} waiters for {} queues, {} s a request; idle for {:.1} s, {} renewed",
            self.waiters, self.queues, self.wait_s, self.idle_s, self.renewed
        )?;
        writeln!(f, "         the server meanwhile: {cpu}, memory {memory}")?;
        writeln!(
            f,
            "         {} posts; post to arrival p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms",
            self.wakes
        )?;
        let verdict = if self.is_good() { "ok" } else { "FAILED" };
        write!(f, "         {verdict}: {} missing, {} doubled", self.missing, self.doubled)
    }
}
