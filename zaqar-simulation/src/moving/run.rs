//! Movers at work.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::Context;
use serde::Serialize;

use super::policy::{Levelling, Next, Order};
use crate::balance::Spread;
use crate::installation::Installation;
use crate::options::Options;
use crate::popularity::shares;
use crate::random::{Part, generator};
use crate::staleness;
use crate::text::{Table, duration, number, percent};
use crate::traffic::pause;

/// A queue's share of requests as a whole number: the unit.
const LOAD_UNIT: f64 = 1e15;
/// Room for rounding when levels are compared.
const ROUNDING: f64 = 1e-6;

/// What pools are to have equal parts of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// Bytes held.
    Bytes,
    /// Requests.
    Requests,
}

/// One levelling.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Case {
    /// What came before.
    pub what: &'static str,
    /// What is levelled.
    pub goal: Goal,
    /// Queues that were moved; one may be moved twice.
    pub moves: u64,
    /// What they hold, in GiB.
    pub gib: f64,
    /// The part of all that is held.
    pub share: f64,
    /// How long it took.
    pub seconds: f64,
    /// How long copying alone takes if every mover is always busy.
    pub seconds_min: f64,
    /// Before.
    pub before: Spread,
    /// After.
    pub after: Spread,
    /// Pools that stayed above their fair share for a queue that is too large.
    pub stuck: usize,
    /// The others, after, among themselves.
    pub rest: Spread,
    /// What is left on pools of weight 0.
    pub left_without_weight: f64,
    /// Furthest that the others may be from 1.
    pub near: f64,
    /// Requests that were refused for a stale entry, by the formula.
    pub refused: f64,
}

/// The queues of an installation.
struct Queues {
    places: Vec<usize>,
    bytes: Vec<u64>,
    shares: Vec<f64>,
}

/// Levels installations after changes.
///
/// # Errors
/// A queue finds no pool.
pub fn run(options: &Options) -> anyhow::Result<Vec<Case>> {
    let pools = options.pools as usize;
    let few = vec![100; pools];
    let more = vec![100; pools + pools.div_ceil(10)];
    let drained: Vec<u32> = (0..pools).map(|pool| if pool == 0 { 0 } else { 100 }).collect();
    let placed = queues(options, &Installation::equal(options.pools)?)?;
    let lone = queues(options, &Installation::equal(1)?)?;
    let double = vec![100; 2];
    let cases = [
        ("10 % more pools", &more, &placed, Goal::Bytes),
        ("from 1 pool to 2", &double, &lone, Goal::Bytes),
        ("a pool to be emptied", &drained, &placed, Goal::Bytes),
        ("as it was placed", &few, &placed, Goal::Requests),
        ("10 % more pools", &more, &placed, Goal::Requests),
    ];
    cases
        .into_iter()
        .map(|(what, weights, queues, goal)| level(options, what, weights, queues, goal))
        .collect()
}

/// Places queues, and gives each a random (exponential) number of bytes.
fn queues(options: &Options, installation: &Installation) -> anyhow::Result<Queues> {
    let places =
        installation.place_all(options.queues, &mut generator(options.seed, Part::Placement, 0))?;
    let mut random = generator(options.seed, Part::Sizes, 0);
    let per_byte = 1.0 / (options.queue_kib * 1024.0);
    let bytes = places.iter().map(|_| pause(per_byte, &mut random) as u64).collect();
    Ok(Queues { places, bytes, shares: shares(options.queues, options.zipf) })
}

fn level(
    options: &Options,
    what: &'static str,
    weights: &[u32],
    queues: &Queues,
    goal: Goal,
) -> anyhow::Result<Case> {
    let sizes: Vec<u64> = match goal {
        Goal::Bytes => queues.bytes.clone(),
        Goal::Requests => queues.shares.iter().map(|share| (share * LOAD_UNIT) as u64).collect(),
    };
    let near = f64::from(options.spread_percent) / 100.0;
    let placed = queues.places.iter().copied().zip(sizes);
    let mut levelling = Levelling::new(weights, placed, options.moves_per_pool, near);
    let before = levelling.spread();
    let mut movers = Movers::new(options);
    loop {
        match levelling.decide() {
            Next::Move(order) => {
                let bytes = queues.bytes.get(order.queue).context("an unknown queue is moved")?;
                let share = queues.shares.get(order.queue).context("an unknown queue is moved")?;
                if let Some(ended) = movers.begin(order, *bytes, *share) {
                    levelling.end(ended);
                }
            }
            Next::Wait => levelling.end(movers.wait().context("nobody is at work")?),
            Next::Done => break,
        }
    }
    let held: u64 = queues.bytes.iter().sum();
    Ok(Case {
        what,
        goal,
        moves: movers.moves,
        gib: movers.bytes as f64 / f64::from(1 << 30),
        share: movers.bytes as f64 / held.max(1) as f64,
        seconds: movers.now_us as f64 / 1e6,
        seconds_min: movers.bytes as f64 / (movers.bytes_per_s * f64::from(options.movers)),
        before,
        after: levelling.spread(),
        stuck: levelling.stuck(),
        rest: levelling.spread_of_rest(),
        left_without_weight: levelling.held_without_weight(),
        near,
        refused: movers.refused,
    })
}

/// Movers, and what they have done.
struct Movers<'o> {
    options: &'o Options,
    bytes_per_s: f64,
    now_us: u64,
    busy: BinaryHeap<Reverse<(u64, Order)>>,
    moves: u64,
    bytes: u64,
    refused: f64,
}

impl<'o> Movers<'o> {
    fn new(options: &'o Options) -> Self {
        Self {
            options,
            bytes_per_s: options.mover_mib_per_s * f64::from(1 << 20),
            now_us: 0,
            busy: BinaryHeap::new(),
            moves: 0,
            bytes: 0,
            refused: 0.0,
        }
    }

    /// Gives a move to a mover, and returns the one that ended if all are busy then.
    fn begin(&mut self, order: Order, bytes: u64, share: f64) -> Option<Order> {
        let copying_us = bytes as f64 / self.bytes_per_s * 1e6;
        let takes_us = u64::from(self.options.move_overhead_ms) * 1_000 + copying_us as u64;
        self.busy.push(Reverse((self.now_us + takes_us, order)));
        self.moves += 1;
        self.bytes += bytes;
        let Options { requests_per_s, heads, .. } = self.options;
        self.refused +=
            staleness::formula(share * requests_per_s, f64::from(*heads), self.options.ttl_s());
        if self.busy.len() < self.options.movers as usize { None } else { self.wait() }
    }

    /// Waits for the next move that ends.
    fn wait(&mut self) -> Option<Order> {
        let Reverse((ends_us, order)) = self.busy.pop()?;
        self.now_us = ends_us;
        Some(order)
    }
}

/// What was not reached.
#[must_use]
pub fn failures(cases: &[Case]) -> Vec<String> {
    let is_far = |case: &&Case| {
        let far = case.near + ROUNDING;
        case.rest.max > 1.0 + far || case.rest.min < 1.0 - far || case.left_without_weight > 0.0
    };
    let say = |case: &Case| {
        let Case { what, rest, left_without_weight, .. } = case;
        format!("moving, {what}: {rest:?}, {left_without_weight} left on pools of weight 0")
    };
    cases.iter().filter(is_far).map(say).collect()
}

pub(crate) fn text(cases: &[Case], options: &Options) -> String {
    let title = format!(
        "Moving queues (a model: the engine does not do it yet): {} movers of {} MiB/s, {} at a pool, \
         {} ms each, until within {} %",
        options.movers,
        number(options.mover_mib_per_s),
        options.moves_per_pool,
        options.move_overhead_ms,
        options.spread_percent
    );
    let headers = [
        "",
        "moves",
        "GiB",
        "of all",
        "time",
        "copying alone",
        "most/fair before",
        "after",
        "pools stuck",
        "most of the rest",
        "refused requests",
    ];
    let mut table = Table::new(&title, &headers);
    for case in cases {
        let goal = match case.goal {
            Goal::Bytes => "bytes",
            Goal::Requests => "requests",
        };
        table.row([
            format!("{}, by {goal}", case.what),
            case.moves.to_string(),
            number(case.gib),
            percent(case.share),
            duration(case.seconds),
            duration(case.seconds_min),
            format!("{:.3}", case.before.max),
            format!("{:.3}", case.after.max),
            case.stuck.to_string(),
            format!("{:.3}", case.rest.max),
            number(case.refused),
        ]);
    }
    table.to_string()
}
