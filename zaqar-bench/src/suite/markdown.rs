//! The suite's figures as a table.

use std::fmt::Write;

use super::{RawSeries, Series, SuiteReport};
use crate::measure::Latency;
use crate::report::{Round, Spread};

/// Renders the report; medians over the rounds, with least and greatest for the throughput.
pub(super) fn render(report: &SuiteReport) -> String {
    let mut text = String::new();
    let machine = &report.machine;
    let memory_gib = machine.memory_bytes as f64 / f64::from(1 << 30);
    let mut line = |words: String| {
        // Writing to a string does not fail.
        writeln!(text, "{words}").ok();
    };
    line(format!("Command: `{}`\n", report.command));
    line(format!(
        "Machine: {}, {} cores, {memory_gib:.0} GiB, Linux {}; load generator on the same machine \
         unless the URL says otherwise.\n",
        machine.processor, machine.cores, machine.kernel
    ));
    if !report.raw.is_empty() {
        line("| raw SQLite loop | rows per commit | rows/s (least to greatest) |".to_owned());
        line("|---|---|---|".to_owned());
        report.raw.iter().for_each(|series| line(raw_row(series)));
        line(String::new());
    }
    line(
        "| scenario | messages/s (least to greatest) | operation | p50 ms | p95 ms | p99 ms | \
         max ms | server CPU µs/message | RSS MiB | of raw 100 |"
            .to_owned(),
    );
    line("|---|---|---|---|---|---|---|---|---|---|".to_owned());
    for series in &report.scenarios {
        series_rows(series).into_iter().for_each(&mut line);
    }
    for series in &report.scenarios {
        for words in deep_lines(series, report.depth) {
            line(format!("\n{words}"));
        }
    }
    text
}

fn raw_row(series: &RawSeries) -> String {
    let spread = Spread::of(series.rows_per_s.iter().copied());
    format!("| {} | {} | {} |", series.work, series.rows_per_commit, spread_text(spread, 0))
}

/// A row for each operation; what belongs to the scenario stands in the first.
fn series_rows(series: &Series) -> Vec<String> {
    let rounds = &series.rounds;
    let failed = if rounds.iter().all(|round| round.passed) { "" } else { " **checks failed**" };
    let throughput = Spread::of(rounds.iter().map(|round| round.messages_per_s));
    let server = |figure: fn(&crate::report::ServerUsage) -> f64| {
        let spread = Spread::of(rounds.iter().filter_map(|r| r.server.as_ref()).map(figure));
        spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.1}", spread.median))
    };
    let head = format!("{}{failed} | {}", series.name, spread_text(throughput, 0));
    let tail = format!(
        "{} | {} | {}",
        server(|usage| usage.cpu_us_per_message),
        server(|usage| (usage.rss_bytes_after >> 20) as f64),
        spread_text(series.of_raw, 2)
    );
    let operations = rounds.first().map(|round| round.latencies.keys().copied());
    let mut rows = Vec::new();
    for operation in operations.into_iter().flatten() {
        let (head, tail) =
            if rows.is_empty() { (head.as_str(), tail.as_str()) } else { (" | ", " | | ") };
        rows.push(format!(
            "| {head} | {operation} | {} | {tail} |",
            latency_cells(rounds, operation)
        ));
    }
    rows
}

fn latency_cells(rounds: &[Round], operation: &str) -> String {
    let median = |figure: fn(&Latency) -> f64| {
        let values = rounds.iter().filter_map(|round| round.latencies.get(operation)).map(figure);
        Spread::of(values)
            .map_or_else(|| "–".to_owned(), |spread| format!("{:.2}", spread.median / 1000.0))
    };
    let cells = [
        median(|latency| latency.p50_us),
        median(|latency| latency.p95_us),
        median(|latency| latency.p99_us),
        median(|latency| latency.max_us),
    ];
    cells.join(" | ")
}

/// How much dearer a claim is behind many messages.
fn deep_lines(series: &Series, depth: u64) -> Vec<String> {
    use crate::measure::Op;
    let ratio = |deep: Op, figure: fn(&Latency) -> f64| {
        Spread::of(series.rounds.iter().filter_map(|round| {
            let shallow = figure(round.latency(Op::ClaimShallow)?);
            Some(figure(round.latency(deep)?) / shallow)
        }))
    };
    let cases =
        [(Op::ClaimBehindInFlight, "in flight ahead"), (Op::ClaimManyWaiting, "waiting behind")];
    cases
        .into_iter()
        .filter(|(op, _)| ratio(*op, |latency| latency.p50_us).is_some())
        .map(|(op, name)| {
            let p50 = spread_text(ratio(op, |latency| latency.p50_us), 2);
            let p99 = spread_text(ratio(op, |latency| latency.p99_us), 2);
            format!("Claim with {depth} {name}, over a shallow queue: p50 × {p50}, p99 × {p99}.")
        })
        .collect()
}

fn spread_text(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or_else(
        || "–".to_owned(),
        |Spread { median, min, max }| {
            format!("{median:.decimals$} ({min:.decimals$} to {max:.decimals$})")
        },
    )
}
