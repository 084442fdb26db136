//! A pool that does not answer: what is out, and what becomes of new queues.
//!
//! Its queues are out, and their requests; the engine serves those of other pools as before (its own
//! tests show that). Placement does not know which pools answer, so a new queue is refused if it is
//! placed there; a repeat places it anew. Weight 0 ends that.

use anyhow::Context;
use serde::Serialize;

use crate::installation::Installation;
use crate::options::Options;
use crate::popularity::shares;
use crate::random::{Part, generator};
use crate::text::{Table, percent};

/// Attempts to make a queue while the pool is lost.
const CREATES: u32 = 100_000;

/// Least, middle and greatest of the figures of all pools.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    /// Least.
    pub min: f64,
    /// Median.
    pub median: f64,
    /// Greatest.
    pub max: f64,
}

/// What is out when one pool is lost, whichever that is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Loss {
    /// Queues.
    pub queues: Range,
    /// Parts of all requests.
    pub requests: Range,
    /// The part of new queues that is refused.
    pub refused: f64,
    /// The same of those that are repeated once.
    pub refused_twice: f64,
    /// The same as `refused` once the pool has weight 0.
    pub refused_at_weight_0: f64,
    /// What `refused` should be: the pool's part of the weights.
    pub expected: f64,
}

/// Loses each pool in turn.
///
/// # Errors
/// A queue finds no pool.
pub fn run(options: &Options) -> anyhow::Result<Loss> {
    let pools = Installation::equal(options.pools)?;
    let mut random = generator(options.seed, Part::Placement, 0);
    let places = pools.place_all(options.queues, &mut random)?;
    let counts = pools.count(&places).into_iter().map(|count| count as f64).collect();
    let requests = pools.sum(&places, &shares(options.queues, options.zipf));

    let mut random = generator(options.seed, Part::Loss, 0);
    let lost = 0;
    let (mut refused, mut twice) = (0_u32, 0_u32);
    for _ in 0..CREATES {
        if pools.place(None, &mut random)? == lost {
            refused += 1;
            twice += u32::from(pools.place(None, &mut random)? == lost);
        }
    }
    let weight = |pool| if pool as usize == lost { 0 } else { 100 };
    let without = Installation::new((0..options.pools).map(|pool| (weight(pool), None)))?;
    let mut still = 0_u32;
    for _ in 0..CREATES {
        still += u32::from(without.place(None, &mut random)? == lost);
    }
    let share = |count: u32| f64::from(count) / f64::from(CREATES);
    Ok(Loss {
        queues: range(counts)?,
        requests: range(requests)?,
        refused: share(refused),
        refused_twice: share(twice),
        refused_at_weight_0: share(still),
        expected: 1.0 / f64::from(options.pools),
    })
}

fn range(mut figures: Vec<f64>) -> anyhow::Result<Range> {
    figures.sort_by(f64::total_cmp);
    let at = |place: usize| figures.get(place).copied().context("there is no pool");
    let last = figures.len().saturating_sub(1);
    Ok(Range { min: at(0)?, median: at(last / 2)?, max: at(last)? })
}

/// What contradicts the weights.
#[must_use]
pub fn failures(loss: &Loss) -> Vec<String> {
    let mut failures = Vec::new();
    // Five standard deviations of the binomial distribution.
    let tolerance = 5.0 * (loss.expected / f64::from(CREATES)).sqrt();
    if (loss.refused - loss.expected).abs() > tolerance {
        let (got, due) = (percent(loss.refused), percent(loss.expected));
        failures.push(format!("loss: {got} of the new queues refused, due {due}"));
    }
    if loss.refused_at_weight_0 > 0.0 {
        failures.push("loss: a queue was placed in a pool of weight 0".to_owned());
    }
    failures
}

pub(crate) fn text(loss: &Loss) -> String {
    let mut out = Table::new("Out when a pool is lost", &["", "least", "median", "most"]);
    let Range { min, median, max } = loss.queues;
    out.row(["queues".to_owned(), min.to_string(), median.to_string(), max.to_string()]);
    let Range { min, median, max } = loss.requests;
    out.row(["of all requests".to_owned(), percent(min), percent(median), percent(max)]);
    let mut refused = Table::new("New queues refused while it is lost", &["", ""]);
    for (what, share) in [
        ("at the first attempt", loss.refused),
        ("twice in a row", loss.refused_twice),
        ("once its weight is 0", loss.refused_at_weight_0),
    ] {
        refused.row([what.to_owned(), format!("{:.4} %", share * 100.0)]);
    }
    format!("{out}\n{refused}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_the_ends_and_the_middle() {
        let expected = Range { min: 1.0, median: 2.0, max: 9.0 };
        assert_eq!(range(vec![9.0, 1.0, 2.0]).unwrap(), expected);
        assert!(range(Vec::new()).is_err());
    }
}
