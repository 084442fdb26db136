//! Results for people.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use super::compare::Comparison;
use super::round::Round;
use super::spread::Spread;
use crate::check::{Fault, Verdict};
use crate::measure::Op;

/// Prints a paragraph to standard output.
///
/// # Errors
/// Standard output is closed.
pub fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Prints the figures of a round.
///
/// # Errors
/// Standard output is closed.
pub fn print_round(title: &str, round: &Round) -> io::Result<()> {
    print(&round_text(title, round))
}

/// Prints ratios.
///
/// # Errors
/// Standard output is closed.
pub fn print_comparison(comparison: &Comparison) -> io::Result<()> {
    print(&comparison_text(comparison))
}

fn round_text(title: &str, round: &Round) -> String {
    let mut text = format!("{title}  {}\n", round.url);
    let mut line = |name: &str, value: String| {
        // Writing to a string does not fail.
        writeln!(text, "  {name:<24} {value}").ok();
    };
    let Round { seconds, requests_per_s, messages_per_s, .. } = round;
    line(
        "throughput",
        format!("{messages_per_s:.0} messages/s, {requests_per_s:.0} requests/s in {seconds:.1} s"),
    );
    for (name, latency) in &round.latencies {
        let [p50, p95, p99, max] =
            [latency.p50_us, latency.p95_us, latency.p99_us, latency.max_us].map(milliseconds);
        line(name, format!("p50 {p50}  p95 {p95}  p99 {p99}  max {max} ms  ({})", latency.count));
    }
    for (name, op) in [
        ("in flight ahead/shallow", Op::ClaimBehindInFlight),
        ("waiting/shallow", Op::ClaimManyWaiting),
    ] {
        if let (Some(deep), Some(shallow)) = (round.latency(op), round.latency(Op::ClaimShallow)) {
            let p50 = deep.p50_us / shallow.p50_us;
            let p99 = deep.p99_us / shallow.p99_us;
            line(name, format!("p50 ×{p50:.2}  p99 ×{p99:.2}"));
        }
    }
    let errors: Vec<String> =
        round.errors.iter().map(|(class, count)| format!("{class} {count}")).collect();
    line("errors", if errors.is_empty() { "none".to_owned() } else { errors.join(", ") });
    if round.gave_up > 0 {
        line("gave up", format!("{} connections, after 30 s of failures", round.gave_up));
    }
    match &round.server {
        Some(server) => line(
            "server",
            format!(
                "{:.1} µs CPU per message, {:.1} per request, {:.2} cores, RSS {} → {} MiB",
                server.cpu_us_per_message,
                server.cpu_us_per_request,
                server.cpu_cores,
                server.rss_bytes_before >> 20,
                server.rss_bytes_after >> 20
            ),
        ),
        None => line("server", "process unknown; give --server-pid".to_owned()),
    }
    if let Some(cpu) = round.client_cpu_us_per_request {
        line("this program", format!("{cpu:.1} µs CPU per request"));
    }
    line("checks", checks_text(round.passed, &round.checks));
    for example in &round.checks.faults.examples {
        line("", example.clone());
    }
    text
}

fn checks_text(passed: bool, checks: &Verdict) -> String {
    let found: Vec<String> = Fault::ALL
        .into_iter()
        .filter(|fault| checks.faults.count(*fault) > 0)
        .map(|fault| format!("{} {fault}", checks.faults.count(fault)))
        .collect();
    let verdict = match (passed, checks.is_conclusive(), found.is_empty()) {
        (true, _, true) => "passed: nothing lost, doubled or misordered".to_owned(),
        (true, _, false) => format!("passed, but {}", found.join(", ")),
        (false, false, true) => "INCONCLUSIVE: too little came back to judge".to_owned(),
        (false, _, _) => format!("FAILED: {}", found.join(", ")),
    };
    format!(
        "{verdict} ({} acknowledged, {} unsure of which {} happened, {} refused, {} claimed, \
         {} deleted, {} left)",
        checks.acked,
        checks.unsure,
        checks.recovered,
        checks.refused,
        checks.claimed,
        checks.deleted,
        checks.left
    )
}

fn comparison_text(comparison: &Comparison) -> String {
    let mut text = format!(
        "ratios  {} / {}  (median of the rounds, least to greatest)\n",
        comparison.url, comparison.base_url
    );
    let mut line = |name: &str, spread: Option<Spread>| {
        if let Some(Spread { median, min, max }) = spread {
            writeln!(text, "  {name:<32} ×{median:.2}  ({min:.2} to {max:.2})").ok();
        }
    };
    line("messages/s", comparison.messages_per_s);
    line("requests/s", comparison.requests_per_s);
    for (name, spread) in &comparison.p50 {
        line(&format!("{name} p50"), Some(*spread));
    }
    for (name, spread) in &comparison.p99 {
        line(&format!("{name} p99"), Some(*spread));
    }
    line("server CPU per message", comparison.cpu_per_message);
    text
}

fn milliseconds(microseconds: f64) -> String {
    format!("{:.3}", microseconds / 1000.0)
}
