//! How evenly queues are spread over pools, and how evenly what they are asked for.
//!
//! Weights govern *numbers of queues*. What a pool has to do is the sum of what its queues are asked
//! for; where shares of requests `s` differ, the standard deviation of that from a pool's fair share
//! is `sqrt((pools - 1) * sum of s²)`, whatever places queues without knowing `s`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::Rng;
use rand::rngs::StdRng;
use serde::Serialize;
use zaqar_core::FlavorName;

use crate::balance::{Balance, Spread};
use crate::installation::{Draw, Installation, engine_draw};
use crate::options::Options;
use crate::popularity::shares;
use crate::random::{Part, generator};
use crate::text::{Table, number};

/// Weights of unequal pools, in turn.
const WEIGHTS: [u32; 4] = [50, 100, 200, 400];
/// Of ten pools, and of ten queues, how many have which flavor.
const FLAVORS: [(&str, u32, u32); 2] = [("gold", 3, 2), ("archive", 1, 1)];
/// How unequally queues are asked for.
const EXPONENTS: [f64; 4] = [0.0, 0.8, 1.0, 1.2];

/// Numbers of queues on the pools that they could be placed in.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Numbers {
    /// Which pools.
    pub what: String,
    /// How even they are.
    pub balance: Balance,
}

/// What pools of equal weight are asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Load {
    /// How unequally queues are asked for.
    pub zipf: f64,
    /// The pools' loads beside their fair shares.
    pub spread: Spread,
    /// The standard deviation by the formula.
    pub formula: f64,
    /// What the queue with most requests is asked for, beside a pool's fair share.
    pub greatest_queue: f64,
    /// The greatest load of a pool if somebody who knew all loads had placed the queues: the busiest
    /// first, each in the pool that is least busy.
    pub best_max: f64,
}

/// Both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Placement {
    /// Numbers of queues.
    pub numbers: Vec<Numbers>,
    /// Loads.
    pub loads: Vec<Load>,
}

/// Places queues as the engine does.
///
/// # Errors
/// A queue finds no pool.
pub fn run(options: &Options) -> anyhow::Result<Placement> {
    run_with(options, engine_draw)
}

/// Places queues by another choice, to see whether the checks notice.
///
/// # Errors
/// A queue finds no pool.
pub fn run_with(options: &Options, draw: Draw) -> anyhow::Result<Placement> {
    let mut random = generator(options.seed, Part::Placement, 0);
    let equal = Installation::with_draw((0..options.pools).map(|_| (100, None)), draw)?;
    let places = equal.place_all(options.queues, &mut random)?;
    let loads = EXPONENTS.map(|zipf| load(&equal, &places, zipf)).to_vec();
    let mut numbers = vec![Numbers {
        what: "equal weights".to_owned(),
        balance: Balance::of(&equal.count(&places), &equal.weights()),
    }];
    let weights = (0..options.pools).zip(WEIGHTS.into_iter().cycle());
    let unequal = Installation::with_draw(weights.map(|(_, weight)| (weight, None)), draw)?;
    let places = unequal.place_all(options.queues, &mut random)?;
    numbers.push(Numbers {
        what: "weights 50, 100, 200, 400".to_owned(),
        balance: Balance::of(&unequal.count(&places), &unequal.weights()),
    });
    numbers.extend(flavors(options, draw, &mut random)?);
    Ok(Placement { numbers, loads })
}

/// The flavor of one in ten pools or queues, of which `part` says how many have which.
fn flavor_of(turn: u32, part: fn(&(&str, u32, u32)) -> u32) -> Option<&'static str> {
    let mut left = turn % 10;
    for flavor in &FLAVORS {
        let size = part(flavor);
        if left < size {
            return Some(flavor.0);
        }
        left -= size;
    }
    None
}

fn flavors(options: &Options, draw: Draw, random: &mut StdRng) -> anyhow::Result<Vec<Numbers>> {
    let pools: Vec<_> = (0..options.pools)
        .zip(WEIGHTS.into_iter().cycle())
        .map(|(pool, weight)| (weight, flavor_of(pool, |(_, pools, _)| *pools)))
        .collect();
    let installation = Installation::with_draw(pools.iter().copied(), draw)?;
    let names: Vec<FlavorName> =
        FLAVORS.iter().map(|(name, ..)| FlavorName::new(name)).collect::<Result<_, _>>()?;
    let mut places = vec![Vec::new(); FLAVORS.len() + 1];
    for _ in 0..options.queues {
        let flavor = flavor_of(random.random_range(0..10), |(.., queues)| *queues);
        let name = names.iter().find(|name| Some(name.as_str()) == flavor);
        let place = installation.place(name, random)?;
        let group = FLAVORS.iter().position(|(name, ..)| Some(*name) == flavor);
        if let Some(places) = places.get_mut(group.unwrap_or(FLAVORS.len())) {
            places.push(place);
        }
    }
    let groups = FLAVORS.iter().map(|(name, ..)| Some(*name)).chain([None]);
    let numbers = groups.zip(&places).map(|(flavor, places)| {
        // Whatever fell outside the flavor's own pools is astray.
        let weight = |(weight, own): &(u32, Option<&str>)| if *own == flavor { *weight } else { 0 };
        let weights: Vec<u32> = pools.iter().map(weight).collect();
        let what = match flavor {
            Some(name) => format!("the same, flavor {name}"),
            None => "the same, no flavor".to_owned(),
        };
        Numbers { what, balance: Balance::of(&installation.count(places), &weights) }
    });
    Ok(numbers.collect())
}

fn load(installation: &Installation, places: &[usize], zipf: f64) -> Load {
    let shares = shares(u32::try_from(places.len()).unwrap_or(u32::MAX), zipf);
    let weights = installation.weights();
    let pools = weights.len() as f64;
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    Load {
        zipf,
        spread: Spread::of(&installation.sum(places, &shares), &weights),
        formula: ((pools - 1.0) * squares).sqrt(),
        greatest_queue: shares.first().map_or(0.0, |share| share * pools),
        best_max: best_max(&shares, weights.len()) * pools,
    }
}

/// The greatest load of so many pools when each share, the greatest first, goes to the least loaded.
fn best_max(shares: &[f64], pools: usize) -> f64 {
    // Shares are turned into whole numbers, which have an order.
    const UNIT: f64 = 1e15;
    let mut loads: BinaryHeap<Reverse<u64>> = (0..pools).map(|_| Reverse(0)).collect();
    for share in shares {
        if let Some(mut least) = loads.peek_mut() {
            least.0 += (share * UNIT) as u64;
        }
    }
    let max = loads.into_iter().map(|Reverse(load)| load).max();
    max.unwrap_or(0) as f64 / UNIT
}

/// What contradicts a placement by weight.
#[must_use]
pub fn failures(placement: &Placement) -> Vec<String> {
    let numbers = placement.numbers.iter();
    let told = |numbers: &Numbers| {
        let told = numbers.balance.check().err();
        told.map(|told| format!("placement, {}: {told}", numbers.what))
    };
    numbers.filter_map(told).collect()
}

pub(crate) fn text(placement: &Placement) -> String {
    let mut numbers = Table::new(
        "Queues on pools",
        &[
            "",
            "pools",
            "queues",
            "per pool",
            "sd/fair",
            "least/fair",
            "most/fair",
            "furthest, sigma",
            "chi-square",
            "expected",
        ],
    );
    for Numbers { what, balance } in &placement.numbers {
        numbers.row([
            what.clone(),
            balance.pools.to_string(),
            balance.queues.to_string(),
            number(balance.queues_per_pool),
            format!("{:.4}", balance.spread.standard_deviation),
            format!("{:.3}", balance.spread.min),
            format!("{:.3}", balance.spread.max),
            number(balance.sigma_max),
            number(balance.chi_square),
            number(balance.degrees),
        ]);
    }
    let mut loads = Table::new(
        "Requests to pools of equal weight",
        &[
            "",
            "sd/fair",
            "formula",
            "least/fair",
            "most/fair",
            "greatest queue/fair",
            "best most/fair",
        ],
    );
    for load in &placement.loads {
        loads.row([
            format!("zipf {:.1}", load.zipf),
            format!("{:.3}", load.spread.standard_deviation),
            format!("{:.3}", load.formula),
            format!("{:.3}", load.spread.min),
            format!("{:.3}", load.spread.max),
            format!("{:.3}", load.greatest_queue),
            format!("{:.3}", load.best_max),
        ]);
    }
    format!("{numbers}\n{loads}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_queue_bounds_the_best_placement() {
        assert!((best_max(&[0.5, 0.2, 0.2, 0.1], 2) - 0.5).abs() < 1e-9);
        assert!((best_max(&[0.7, 0.2, 0.1], 3) - 0.7).abs() < 1e-9);
    }

    #[test]
    fn flavors_are_dealt_in_tens() {
        let count = |part: fn(&(&str, u32, u32)) -> u32, name| {
            (0..100).filter(|turn| flavor_of(*turn, part) == name).count()
        };
        assert_eq!(count(|(_, pools, _)| *pools, Some("gold")), 30);
        assert_eq!(count(|(.., queues)| *queues, Some("archive")), 10);
        assert_eq!(count(|(_, pools, _)| *pools, None), 60);
    }
}
