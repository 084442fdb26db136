//! How requests are shared out among queues.

/// Each queue's share of all requests, the most popular queue first; shares fall as
/// `rank ^ -exponent` (Zipf's law). With exponent 0 all are equal.
#[must_use]
pub fn shares(queues: u32, exponent: f64) -> Vec<f64> {
    let weights: Vec<f64> = (1..=queues).map(|rank| f64::from(rank).powf(-exponent)).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_sum_to_one_and_fall_with_the_rank() {
        for exponent in [0.0, 0.8, 1.2] {
            let shares = shares(1_000, exponent);
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            assert!(shares.is_sorted_by(|before, after| before >= after));
            let ratio = shares[0] / shares[9];
            assert!((ratio - 10_f64.powf(exponent)).abs() < 1e-9, "{ratio}");
        }
    }
}
