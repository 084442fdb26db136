//! How even a distribution over pools is.

use serde::Serialize;

/// Furthest that a pool's number of queues may be from what its weight lets expect, in standard
/// deviations of the binomial distribution: a correct placement of a million queues on 200 pools
/// gets there once in some ten thousand runs.
const SIGMA_MAX: f64 = 5.0;

/// Loads of pools, each divided by its fair share, which is its weight's part of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Least.
    pub min: f64,
    /// Greatest.
    pub max: f64,
    /// Standard deviation from 1.
    pub standard_deviation: f64,
}

impl Spread {
    /// The spread of these loads on pools of these weights. Those of weight 0 are left out.
    #[must_use]
    pub fn of(loads: &[f64], weights: &[u32]) -> Self {
        let whole: f64 = loads.iter().sum();
        let weight: f64 = weights.iter().copied().map(f64::from).sum();
        let ratios: Vec<f64> = loads
            .iter()
            .zip(weights)
            .filter(|(_, own)| **own > 0)
            .map(|(load, own)| load / (whole * f64::from(*own) / weight))
            .collect();
        let squares: f64 = ratios.iter().map(|ratio| (ratio - 1.0).powi(2)).sum();
        Self {
            min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            max: ratios.iter().copied().fold(0.0, f64::max),
            standard_deviation: (squares / ratios.len().max(1) as f64).sqrt(),
        }
    }
}

/// How numbers of queues agree with the weights of their pools.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Balance {
    /// Pools that have a weight.
    pub pools: usize,
    /// Queues on all pools.
    pub queues: u64,
    /// Queues on a pool, on average.
    pub queues_per_pool: f64,
    /// The numbers beside the fair shares.
    pub spread: Spread,
    /// Furthest from the expected number, in standard deviations of the binomial distribution.
    pub sigma_max: f64,
    /// Pearson's statistic.
    pub chi_square: f64,
    /// What it is expected to be, its degrees of freedom.
    pub degrees: f64,
    /// Queues on pools of weight 0.
    pub astray: u64,
}

impl Balance {
    /// Compares numbers of queues with weights, pool by pool.
    #[must_use]
    pub fn of(counts: &[u64], weights: &[u32]) -> Self {
        let queues: u64 = counts.iter().sum();
        let weight: f64 = weights.iter().copied().map(f64::from).sum();
        let loads: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
        let (mut pools, mut astray, mut sigma_max, mut chi_square) = (0_usize, 0, 0.0_f64, 0.0);
        for (count, own) in counts.iter().zip(weights) {
            if *own == 0 {
                astray += count;
                continue;
            }
            pools += 1;
            let share = f64::from(*own) / weight;
            let expected = queues as f64 * share;
            let off = *count as f64 - expected;
            let sigma = (expected * (1.0 - share)).sqrt();
            // A lone pool gets everything: there is nothing to deviate.
            if sigma > 0.0 {
                sigma_max = sigma_max.max(off.abs() / sigma);
                chi_square += off * off / expected;
            }
        }
        Self {
            pools,
            queues,
            queues_per_pool: queues as f64 / pools.max(1) as f64,
            spread: Spread::of(&loads, weights),
            sigma_max,
            chi_square,
            degrees: pools.saturating_sub(1) as f64,
            astray,
        }
    }

    /// What contradicts a placement by weight, if anything does.
    ///
    /// # Errors
    /// The contradiction.
    pub fn check(&self) -> Result<(), String> {
        if self.astray > 0 {
            return Err(format!("{} queues on pools of weight 0", self.astray));
        }
        if self.sigma_max > SIGMA_MAX {
            return Err(format!("a pool is {:.1} standard deviations off", self.sigma_max));
        }
        let chi_off = (self.chi_square - self.degrees).abs() / (2.0 * self.degrees).sqrt();
        if chi_off > SIGMA_MAX {
            let (chi_square, degrees) = (self.chi_square, self.degrees);
            return Err(format!("chi-square {chi_square:.1} for {degrees} degrees of freedom"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_relative_to_the_weights() {
        let even = Spread::of(&[10.0, 30.0, 0.0], &[1, 3, 0]);
        assert_eq!(even, Spread { min: 1.0, max: 1.0, standard_deviation: 0.0 });
        let skewed = Spread::of(&[30.0, 10.0], &[1, 1]);
        assert_eq!(skewed, Spread { min: 0.5, max: 1.5, standard_deviation: 0.5 });
    }

    #[test]
    fn what_follows_the_weights_passes() {
        let balance = Balance::of(&[1_010, 2_000, 2_990, 0], &[1, 2, 3, 0]);
        assert_eq!((balance.pools, balance.queues, balance.astray), (3, 6_000, 0));
        // 0.1 + 0 + 1/30.
        assert!((balance.chi_square - 0.1333).abs() < 1e-3, "{}", balance.chi_square);
        balance.check().unwrap();
    }

    #[test]
    fn a_queue_on_a_pool_of_weight_0_is_told() {
        let balance = Balance::of(&[1_000, 1], &[1, 0]);
        assert!(balance.check().unwrap_err().contains("weight 0"));
    }

    #[test]
    fn one_pool_far_off_is_told() {
        let balance = Balance::of(&[1_200, 1_000, 1_000, 1_000], &[1, 1, 1, 1]);
        assert!(balance.check().unwrap_err().contains("standard deviations"));
    }

    #[test]
    fn many_pools_a_little_off_are_told_and_so_is_what_is_too_even() {
        let weights = [1; 200];
        let off: Vec<u64> =
            (0..200).map(|pool| if pool % 2 == 0 { 4_800 } else { 5_200 }).collect();
        assert!(Balance::of(&off, &weights).check().unwrap_err().contains("chi-square"));
        assert!(Balance::of(&[5_000; 200], &weights).check().unwrap_err().contains("chi-square"));
    }
}
