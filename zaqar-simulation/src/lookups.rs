//! How often heads ask the control plane where queues are, when nothing changes.
//!
//! A head that gets µ requests a second for a queue resolves it once in `ttl + 1/µ` seconds: it
//! remembers it for the time to live, then waits for the next request. So all heads together do
//!
//! ```text
//! resolutions a second  =  sum over queues of  rate / (1 + ttl * rate / heads)
//! ```
//!
//! of two reads each. It lies below the rate of requests and below `heads * active queues / ttl`. A
//! balancer that sends each queue's requests to one head makes it `rate / (1 + ttl * rate)`.

use serde::Serialize;

use crate::head::{Answer, ENTRIES_MAX, Head, READS};
use crate::options::Options;
use crate::popularity::shares;
use crate::random::{Part, generator};
use crate::text::{Table, number, percent, yes};
use crate::traffic::Traffic;

/// Requests to simulate for a case; heads do not know of each other, so some stand for all.
const REQUESTS_MAX: f64 = 4_000_000.0;
/// Times to live that are measured, after one and a random part of another to warm up.
const WINDOW: f64 = 4.0;
/// Furthest that a counted rate may be from the formula, as a part of it, chance left aside.
const OFF_MAX: f64 = 0.03;
/// Standard deviations of a count that are put down to chance.
const SIGMAS: f64 = 5.0;

/// An installation in steady state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// How it differs from the one that was asked for.
    pub what: &'static str,
    /// Heads.
    pub heads: u32,
    /// How long they remember, in seconds.
    pub ttl_s: f64,
    /// Queues that are asked for.
    pub queues: u32,
    /// How unequally.
    pub zipf: f64,
    /// Whether the balancer sends each queue's requests to one head.
    pub sticky: bool,
    /// Resolutions a second by the formula.
    pub formula_per_s: f64,
    /// Resolutions a second that were counted.
    pub counted_per_s: f64,
    /// Furthest that the two may be from each other, as a part of the formula's.
    pub tolerance: f64,
    /// Reads of the control plane a second that were counted, with those of the list of pools.
    pub reads_per_s: f64,
    /// The part of the requests that had to resolve.
    pub share: f64,
    /// Queues that a head remembered at the end.
    pub entries: f64,
    /// Whether that is more than the engine's caches hold: then reality is worse than the model.
    pub beyond_caches: bool,
}

/// Resolutions a second of all heads, by the formula.
#[must_use]
pub fn formula(shares: &[f64], requests_per_s: f64, heads: f64, remembered_s: f64) -> f64 {
    let rates = shares.iter().map(|share| share * requests_per_s);
    rates.map(|rate| rate / (1.0 + remembered_s * rate / heads)).sum()
}

/// The installation that was asked for, and others that differ from it in one thing.
///
/// # Errors
/// The shares of queues cannot be drawn from.
pub fn run(options: &Options) -> anyhow::Result<Vec<Case>> {
    let (heads, ttl_s, queues, zipf) =
        (options.heads, options.ttl_s(), options.queues, options.zipf);
    let case = |what, heads, ttl_s, queues, zipf, sticky| Setting {
        what,
        heads,
        ttl_s,
        queues,
        zipf,
        sticky,
    };
    let settings = [
        case("as asked for", heads, ttl_s, queues, zipf, false),
        case("4 x the heads", heads.saturating_mul(4), ttl_s, queues, zipf, false),
        case("12 x the time to live", heads, ttl_s * 12.0, queues, zipf, false),
        case("a hundredth of the queues", heads, ttl_s, queues.div_ceil(100), zipf, false),
        case("all queues alike", heads, ttl_s, queues, 0.0, false),
        case("a head for each queue", heads, ttl_s, queues, zipf, true),
        case("the same, 12 x the time to live", heads, ttl_s * 12.0, queues, zipf, true),
    ];
    (0..).zip(settings).map(|(turn, setting)| setting.run(options, turn)).collect()
}

struct Setting {
    what: &'static str,
    heads: u32,
    ttl_s: f64,
    queues: u32,
    zipf: f64,
    sticky: bool,
}

impl Setting {
    fn run(self, options: &Options, turn: u32) -> anyhow::Result<Case> {
        let Self { what, heads, ttl_s, queues, zipf, sticky } = self;
        let shares = shares(queues, zipf);
        let traffic = Traffic::new(&shares)?;
        let mut random = generator(options.seed, Part::Lookups, turn);
        // A balancer that keeps to one head for each queue makes all heads one, as far as this goes.
        let streams = if sticky { 1 } else { heads };
        let rate = options.requests_per_s / f64::from(streams);
        let sample = streams_for(REQUESTS_MAX, rate * ttl_s * (WINDOW + 1.5), streams);
        let mut head = Head::cold(shares.len(), ttl_s, options.resolve_s());
        let (mut asked, mut resolved, mut joined, mut entries) = (0_u64, 0_u64, 0_u64, 0);
        for _ in 0..sample {
            head.restart();
            let from_s = ttl_s * (1.0 + rand::Rng::random::<f64>(&mut random));
            let end_s = from_s + ttl_s * WINDOW;
            for (now_s, queue) in traffic.until(end_s, rate, &mut random) {
                let answer = head.ask(queue, now_s);
                if now_s >= from_s {
                    asked += 1;
                    resolved += u64::from(answer == Answer::Resolved);
                    joined += u64::from(answer == Answer::Joined);
                }
            }
            entries += head.entries(end_s);
        }
        let all = f64::from(streams) / (f64::from(sample) * ttl_s * WINDOW);
        let counted_per_s = resolved as f64 * all;
        let entries = entries as f64 * f64::from(streams) / f64::from(sample) / f64::from(heads);
        Ok(Case {
            what,
            heads,
            ttl_s,
            queues,
            zipf,
            sticky,
            formula_per_s: formula(
                &shares,
                options.requests_per_s,
                f64::from(streams),
                ttl_s + options.resolve_s(),
            ),
            counted_per_s,
            tolerance: OFF_MAX + SIGMAS / (resolved.max(1) as f64).sqrt(),
            reads_per_s: counted_per_s * READS + joined as f64 * all + f64::from(heads) / ttl_s,
            share: resolved as f64 / asked.max(1) as f64,
            entries,
            beyond_caches: entries > ENTRIES_MAX,
        })
    }
}

/// How many of these streams are simulated, of so many requests each.
pub(crate) fn streams_for(requests_max: f64, requests: f64, streams: u32) -> u32 {
    ((requests_max / requests) as u32).clamp(1, streams)
}

/// What contradicts the formula.
#[must_use]
pub fn failures(cases: &[Case]) -> Vec<String> {
    let off = |case: &Case| (case.counted_per_s / case.formula_per_s - 1.0).abs();
    cases
        .iter()
        .filter(|case| off(case) > case.tolerance)
        .map(|case| {
            format!(
                "look-ups, {}: {:.0} resolutions a second, {:.0} by the formula",
                case.what, case.counted_per_s, case.formula_per_s
            )
        })
        .collect()
}

pub(crate) fn text(cases: &[Case], requests_per_s: f64) -> String {
    let mut table = Table::new(
        &format!("Look-ups in steady state, {} requests a second", number(requests_per_s)),
        &[
            "",
            "heads",
            "ttl s",
            "queues",
            "zipf",
            "resolutions/s",
            "formula",
            "of requests",
            "control reads/s",
            "entries/head",
            "too many",
        ],
    );
    for case in cases {
        table.row([
            case.what.to_owned(),
            case.heads.to_string(),
            format!("{:.1}", case.ttl_s),
            case.queues.to_string(),
            format!("{:.1}", case.zipf),
            number(case.counted_per_s),
            number(case.formula_per_s),
            percent(case.share),
            number(case.reads_per_s),
            number(case.entries),
            yes(case.beyond_caches),
        ]);
    }
    table.to_string()
}
