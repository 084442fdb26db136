//! The figures of one round.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::check::Verdict;
use crate::measure::{Latency, Op};
use crate::run::{Context, Measured};

/// What one round measured and found.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// The server.
    pub url: String,
    /// Length of the measured time.
    pub seconds: f64,
    /// Requests answered as expected.
    pub requests: u64,
    /// Messages carried by them (claims count when the messages are deleted).
    pub messages: u64,
    /// Requests per second.
    pub requests_per_s: f64,
    /// Messages per second.
    pub messages_per_s: f64,
    /// Latencies by operation.
    pub latencies: BTreeMap<&'static str, Latency>,
    /// Failed requests by class.
    pub errors: BTreeMap<String, u64>,
    /// Actors that gave up.
    pub gave_up: u64,
    /// The server's side, when its process is known.
    pub server: Option<ServerUsage>,
    /// Processor time of this program for each request.
    pub client_cpu_us_per_request: Option<f64>,
    /// What the checks found.
    pub checks: Verdict,
    /// True when the checks were conclusive and found nothing.
    pub passed: bool,
}

/// Processor time and memory of the server.
#[derive(Debug, Clone, Serialize)]
pub struct ServerUsage {
    /// The processes summed up.
    pub pids: Vec<u32>,
    /// Processor time for each message.
    pub cpu_us_per_message: f64,
    /// Processor time for each request.
    pub cpu_us_per_request: f64,
    /// Cores busy on average.
    pub cpu_cores: f64,
    /// Resident memory when measuring began.
    pub rss_bytes_before: u64,
    /// Resident memory when measuring ended.
    pub rss_bytes_after: u64,
}

impl Round {
    /// Puts the figures of a round together.
    #[must_use]
    pub fn new(context: &Context, measured: &Measured) -> Self {
        let recorder = &measured.recorder;
        let seconds = measured.elapsed.as_secs_f64();
        let rate = |count: u64| if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        let checks = context.ledger().verdict();
        let latencies = recorder.latencies();
        let errors = recorder.errors.iter();
        Self {
            url: context.target.url().to_owned(),
            seconds,
            requests: recorder.requests,
            messages: recorder.messages,
            requests_per_s: rate(recorder.requests),
            messages_per_s: rate(recorder.messages),
            latencies: latencies.iter().map(|(op, latency)| (op.name(), *latency)).collect(),
            errors: errors.map(|(class, count)| (class.to_string(), *count)).collect(),
            gave_up: recorder.gave_up,
            server: server_usage(context, measured, seconds),
            client_cpu_us_per_request: measured
                .client_cpu
                .map(|cpu| per(cpu.as_secs_f64() * 1e6, recorder.requests)),
            passed: checks.passed(!context.options.unordered) && recorder.requests > 0,
            checks,
        }
    }

    /// The latency of an operation.
    #[must_use]
    pub fn latency(&self, op: Op) -> Option<&Latency> {
        self.latencies.get(op.name())
    }
}

fn server_usage(context: &Context, measured: &Measured, seconds: f64) -> Option<ServerUsage> {
    let (before, after) = measured.server?;
    let cpu_s = after.cpu.saturating_sub(before.cpu).as_secs_f64();
    Some(ServerUsage {
        pids: context.server_pids.clone(),
        cpu_us_per_message: per(cpu_s * 1e6, measured.recorder.messages),
        cpu_us_per_request: per(cpu_s * 1e6, measured.recorder.requests),
        cpu_cores: if seconds > 0.0 { cpu_s / seconds } else { 0.0 },
        rss_bytes_before: before.rss_bytes,
        rss_bytes_after: after.rss_bytes,
    })
}

fn per(total: f64, count: u64) -> f64 {
    if count > 0 { total / count as f64 } else { 0.0 }
}
