//! What heads ask the control plane that have just started and know no queue.
//!
//! A cold head resolves each queue at its first request, so it cannot ask more than it is asked;
//! what it remembered first runs out together one time to live later, the *echo*. All heads start at
//! once when an installation is restarted, or when the control plane was away for longer than the
//! time to live.

use std::collections::HashSet;

use serde::Serialize;

use crate::head::{Answer, Head};
use crate::installation::Installation;
use crate::lookups::{formula, streams_for};
use crate::options::Options;
use crate::popularity::shares;
use crate::random::{Part, generator};
use crate::text::{Table, number};
use crate::traffic::Traffic;

/// Requests to simulate for a case.
const REQUESTS_MAX: f64 = 4_000_000.0;
/// Times to live that are watched.
const WATCHED: f64 = 1.6;
/// Parts of a time to live that are counted by themselves, unless they are longer than a second.
const PARTS_MIN: f64 = 5.0;

/// What one head asks after a cold start, in resolutions a second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// How long it remembers, in seconds.
    pub ttl_s: f64,
    /// Over how long each figure is an average, in seconds.
    pub bucket_s: f64,
    /// Requests a second that it gets.
    pub requests_per_s: f64,
    /// At the start.
    pub first_per_s: f64,
    /// Half a time to live later.
    pub half_per_s: f64,
    /// When what it remembered first runs out: the most after that.
    pub echo_per_s: f64,
    /// In steady state, by the formula.
    pub steady_per_s: f64,
    /// Requests a second, at the start, that found a resolution of their queue under way.
    pub joined_per_s: f64,
    /// Pools that it opened at the start.
    pub pools_opened: f64,
    /// Heads that may start together.
    pub heads: u32,
}

/// Cold starts with the time to live that was asked for, and with a longer one.
///
/// # Errors
/// The shares of queues cannot be drawn from.
pub fn run(options: &Options) -> anyhow::Result<Vec<Case>> {
    let shares = shares(options.queues, options.zipf);
    let traffic = Traffic::new(&shares)?;
    let pools = Installation::equal(options.pools)?;
    let mut random = generator(options.seed, Part::Placement, 0);
    let places = pools.place_all(options.queues, &mut random)?;
    let cases = [1.0, 12.0].map(|factor| options.ttl_s() * factor);
    let watch = |(turn, ttl_s)| watch(options, &shares, &traffic, &places, (turn, ttl_s));
    Ok((0..).zip(cases).map(watch).collect())
}

fn watch(
    options: &Options,
    shares: &[f64],
    traffic: &Traffic,
    places: &[usize],
    (turn, ttl_s): (u32, f64),
) -> Case {
    let mut random = generator(options.seed, Part::Herd, turn);
    let rate = options.requests_per_s / f64::from(options.heads);
    let end_s = ttl_s * WATCHED;
    let bucket_s = (ttl_s / PARTS_MIN).min(1.0);
    let sample = streams_for(REQUESTS_MAX, rate * end_s, options.heads);
    let mut head = Head::cold(shares.len(), ttl_s, options.resolve_s());
    let mut buckets = vec![0_u64; (end_s / bucket_s) as usize];
    let (mut joined, mut opened) = (0_u64, 0);
    for _ in 0..sample {
        head.restart();
        let mut pools = HashSet::<usize>::new();
        for (now_s, queue) in traffic.until(end_s, rate, &mut random) {
            let answer = head.ask(queue, now_s);
            if answer == Answer::Resolved
                && let Some(count) = buckets.get_mut((now_s / bucket_s) as usize)
            {
                *count += 1;
            }
            if now_s < bucket_s {
                joined += u64::from(answer == Answer::Joined);
                pools.extend(places.get(queue));
            }
        }
        opened += pools.len();
    }
    let each = 1.0 / f64::from(sample);
    let per_s = |count: u64| count as f64 * each / bucket_s;
    let at = |from_s: f64| buckets.iter().skip((from_s / bucket_s) as usize).copied();
    let remembered_s = ttl_s + options.resolve_s();
    Case {
        ttl_s,
        bucket_s,
        requests_per_s: rate,
        first_per_s: per_s(at(0.0).next().unwrap_or(0)),
        half_per_s: per_s(at(ttl_s / 2.0).next().unwrap_or(0)),
        echo_per_s: per_s(at(ttl_s).max().unwrap_or(0)),
        steady_per_s: formula(shares, rate, 1.0, remembered_s),
        joined_per_s: per_s(joined),
        pools_opened: opened as f64 * each,
        heads: options.heads,
    }
}

pub(crate) fn text(cases: &[Case]) -> String {
    let mut table = Table::new(
        "A head that starts cold, resolutions/s",
        &[
            "",
            "requests/s",
            "at the start",
            "half a ttl later",
            "echo",
            "steady",
            "joined/s",
            "pools opened",
            "all heads at once, start",
            "echo",
            "steady",
        ],
    );
    for case in cases {
        let heads = f64::from(case.heads);
        table.row([
            format!("ttl {:.1} s, in steps of {:.1} s", case.ttl_s, case.bucket_s),
            number(case.requests_per_s),
            number(case.first_per_s),
            number(case.half_per_s),
            number(case.echo_per_s),
            number(case.steady_per_s),
            number(case.joined_per_s),
            number(case.pools_opened),
            number(case.first_per_s * heads),
            number(case.echo_per_s * heads),
            number(case.steady_per_s * heads),
        ]);
    }
    table.to_string()
}
