//! How many requests meet what a head should not remember any more.
//!
//! *Queues* that are moved, or deleted and made again: a head that remembers the old place is refused
//! there by the queue's head, once, and resolves the queue again: the fence costs one request to a
//! store that refuses it and one resolution. A head remembers a queue that it is asked for µ times a
//! second with probability `x / (1 + x)`, where `x = µ * ttl`, and is asked again before that runs
//! out with probability `1 - (1 - e^-x) / x`. So a change of a queue is met by
//!
//! ```text
//! heads * (x - 1 + e^-x) / (1 + x)
//! ```
//!
//! requests: at most one at each head, and hardly any for a queue that is seldom asked for.
//!
//! *The list of pools*: new queues are placed by an old list for half a time to live on average.

use serde::Serialize;

use crate::head::{Answer, Head, READS};
use crate::installation::Installation;
use crate::lookups::streams_for;
use crate::options::Options;
use crate::popularity::shares;
use crate::random::{Part, generator};
use crate::text::{Table, number, percent};
use crate::traffic::{Traffic, pause};

/// Requests to simulate for a case.
const REQUESTS_MAX: f64 = 4_000_000.0;
/// Parts of a time to live in which refusals are counted, for their peak.
const PARTS: f64 = 50.0;

/// A change of many queues at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Moved {
    /// Which queues.
    pub what: &'static str,
    /// How many.
    pub queues: usize,
    /// Requests for them within the time to live.
    pub requests: f64,
    /// Of these, refused by a store because they came by a stale entry.
    pub refused: f64,
    /// What the formula says.
    pub formula: f64,
    /// Refusals a second at their peak.
    pub peak_per_s: f64,
    /// Reads of the control plane that they caused.
    pub reads: f64,
    /// How many refusals a count may be from the formula: five standard deviations.
    pub tolerance: f64,
}

/// A pool whose weight became 0, and the queues made in the time to live after that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// Queues made in a second.
    pub creates_per_s: f64,
    /// Queues that were made.
    pub created: u64,
    /// Placed by an old list.
    pub by_old_list: u64,
    /// Placed in the pool that was to have no more.
    pub misplaced: u64,
}

/// Both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Staleness {
    /// Queues.
    pub moved: Vec<Moved>,
    /// The list of pools.
    pub listed: Vec<Listed>,
}

/// Refusals that a change of one queue is met with, on average.
#[must_use]
pub fn formula(rate_per_s: f64, heads: f64, ttl_s: f64) -> f64 {
    let x = rate_per_s / heads * ttl_s;
    heads * (x - 1.0 + (-x).exp()) / (1.0 + x)
}

/// Changes of more and more queues, and of the list of pools.
///
/// # Errors
/// The shares of queues cannot be drawn from.
pub fn run(options: &Options) -> anyhow::Result<Staleness> {
    let shares = shares(options.queues, options.zipf);
    let traffic = Traffic::new(&shares)?;
    let pools = Installation::equal(options.pools)?;
    let mut random = generator(options.seed, Part::Placement, 0);
    let places = pools.place_all(options.queues, &mut random)?;
    let newcomers = options.pools.div_ceil(10) as usize;
    let cases: [(&str, Vec<bool>); 3] = [
        ("the queue with most requests", (0..places.len()).map(|queue| queue == 0).collect()),
        ("all queues of a pool", places.iter().map(|pool| *pool == 1).collect()),
        (
            "all queues of a tenth of the pools",
            places.iter().map(|pool| *pool < newcomers).collect(),
        ),
    ];
    let moved = (0..).zip(cases).map(|(turn, (what, chosen))| {
        let change = Change { what, chosen, shares: &shares };
        change.watch(options, &traffic, turn)
    });
    let rates = [options.creates_per_s(), options.creates_per_s() * 100.0];
    let listed = (100..).zip(rates).map(|(turn, rate)| listed(options, rate, turn));
    Ok(Staleness { moved: moved.collect(), listed: listed.collect::<anyhow::Result<_>>()? })
}

struct Change<'s> {
    what: &'static str,
    chosen: Vec<bool>,
    shares: &'s [f64],
}

impl Change<'_> {
    fn is_chosen(&self, queue: usize) -> bool {
        self.chosen.get(queue).copied().unwrap_or(false)
    }

    fn watch(&self, options: &Options, traffic: &Traffic, turn: u32) -> Moved {
        let mut random = generator(options.seed, Part::Staleness, turn);
        let (ttl_s, heads) = (options.ttl_s(), f64::from(options.heads));
        let rate = options.requests_per_s / heads;
        let sample = streams_for(REQUESTS_MAX, rate * ttl_s * 2.5, options.heads);
        let mut head = Head::cold(self.shares.len(), ttl_s, options.resolve_s());
        let mut parts = vec![0_u64; PARTS as usize];
        let (mut requests, mut refused) = (0_u64, 0_u64);
        for _ in 0..sample {
            head.restart();
            // At a random moment of the life of what is remembered.
            let change_s = ttl_s * (1.0 + rand::Rng::random::<f64>(&mut random));
            for (now_s, queue) in traffic.until(change_s + ttl_s, rate, &mut random) {
                let answer = head.ask(queue, now_s);
                if now_s < change_s || !self.is_chosen(queue) {
                    continue;
                }
                requests += 1;
                if matches!(answer, Answer::Known { since_s } if since_s < change_s) {
                    refused += 1;
                    head.resolve(queue, now_s);
                    let part = (now_s - change_s) / ttl_s * PARTS;
                    if let Some(count) = parts.get_mut(part as usize) {
                        *count += 1;
                    }
                }
            }
        }
        let all = heads / f64::from(sample);
        let peak = parts.into_iter().max().unwrap_or(0);
        let chosen = (0..).zip(self.shares).filter(|(queue, _)| self.is_chosen(*queue));
        let rates = chosen.map(|(_, share)| share * options.requests_per_s);
        let formula: f64 = rates.map(|rate| formula(rate, heads, ttl_s)).sum();
        Moved {
            what: self.what,
            queues: self.chosen.iter().filter(|chosen| **chosen).count(),
            requests: requests as f64 * all,
            refused: refused as f64 * all,
            formula,
            peak_per_s: peak as f64 * all * PARTS / ttl_s,
            reads: refused as f64 * all * READS,
            tolerance: 5.0 * (formula / all).sqrt().max(1.0) * all,
        }
    }
}

fn listed(options: &Options, creates_per_s: f64, turn: u32) -> anyhow::Result<Listed> {
    let mut random = generator(options.seed, Part::Staleness, turn);
    let ttl_s = options.ttl_s();
    let old = Installation::equal(options.pools)?;
    let new =
        Installation::new((0..options.pools).map(|pool| (if pool == 0 { 0 } else { 100 }, None)))?;
    // The head that was asked to change the weight reads the list anew at once.
    let renewed_s: Vec<f64> = (0..options.heads)
        .map(|head| if head == 0 { 0.0 } else { ttl_s * rand::Rng::random::<f64>(&mut random) })
        .collect();
    let (mut created, mut by_old_list, mut misplaced) = (0, 0, 0);
    let mut now_s = pause(creates_per_s, &mut random);
    while now_s < ttl_s {
        let head = rand::Rng::random_range(&mut random, 0..renewed_s.len());
        let is_old = renewed_s.get(head).is_some_and(|renewed_s| now_s < *renewed_s);
        let list = if is_old { &old } else { &new };
        created += 1;
        by_old_list += u64::from(is_old);
        misplaced += u64::from(list.place(None, &mut random)? == 0);
        now_s += pause(creates_per_s, &mut random);
    }
    Ok(Listed { creates_per_s, created, by_old_list, misplaced })
}

/// What contradicts the formula.
#[must_use]
pub fn failures(staleness: &Staleness) -> Vec<String> {
    let off = |moved: &&Moved| (moved.refused - moved.formula).abs() > moved.tolerance;
    let say = |moved: &Moved| {
        let Moved { what, refused, formula, .. } = moved;
        format!("staleness, {what}: {refused:.0} refusals, {formula:.0} by the formula")
    };
    staleness.moved.iter().filter(off).map(say).collect()
}

pub(crate) fn text(staleness: &Staleness, ttl_s: f64) -> String {
    let mut moved = Table::new(
        &format!("Queues that are moved at one moment; the {ttl_s:.1} s after it"),
        &[
            "",
            "queues",
            "requests for them",
            "refused once",
            "formula",
            "of requests",
            "most refusals/s",
            "control reads",
        ],
    );
    for case in &staleness.moved {
        moved.row([
            case.what.to_owned(),
            case.queues.to_string(),
            number(case.requests),
            number(case.refused),
            number(case.formula),
            percent(case.refused / case.requests.max(1.0)),
            number(case.peak_per_s),
            number(case.reads),
        ]);
    }
    let mut listed = Table::new(
        &format!("A pool whose weight becomes 0; the {ttl_s:.1} s after it"),
        &["queues made", "in all", "placed by an old list", "placed in that pool"],
    );
    for case in &staleness.listed {
        listed.row([
            format!("{} a second", number(case.creates_per_s)),
            case.created.to_string(),
            case.by_old_list.to_string(),
            case.misplaced.to_string(),
        ]);
    }
    format!("{moved}\n{listed}")
}
