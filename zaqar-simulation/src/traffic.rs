//! Requests at random instants, to queues by their popularity.

use anyhow::Context;
use rand::Rng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand::rngs::StdRng;

/// What requests ask for.
#[derive(Debug)]
pub(crate) struct Traffic(WeightedIndex<f64>);

impl Traffic {
    /// Requests to queues with these shares of all requests.
    pub(crate) fn new(shares: &[f64]) -> anyhow::Result<Self> {
        let shares = WeightedIndex::new(shares.iter().copied());
        Ok(Self(shares.context("the shares of queues cannot be drawn from")?))
    }

    /// Requests at `rate` a second (a Poisson process) up to a moment, each with its time and queue.
    pub(crate) fn until<'t>(
        &'t self,
        end_s: f64,
        rate: f64,
        random: &'t mut StdRng,
    ) -> impl Iterator<Item = (f64, usize)> + 't {
        let mut now = 0.0;
        std::iter::from_fn(move || {
            now += pause(rate, random);
            (now < end_s).then(|| (now, self.0.sample(random)))
        })
    }
}

/// A random time between two events of which there are `rate` a second.
pub(crate) fn pause(rate: f64, random: &mut StdRng) -> f64 {
    -(1.0 - random.random::<f64>()).ln() / rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Part, generator};

    #[test]
    fn requests_keep_to_rate_and_shares() {
        let traffic = Traffic::new(&[0.75, 0.25]).unwrap();
        let mut random = generator(1, Part::Lookups, 0);
        let requests: Vec<_> = traffic.until(100.0, 200.0, &mut random).collect();
        assert!(requests.is_sorted_by(|(before, _), (after, _)| before < after));
        // Five standard deviations are 707 and 306.
        assert!(requests.len().abs_diff(20_000) < 707, "{}", requests.len());
        let first = requests.iter().filter(|(_, queue)| *queue == 0).count();
        assert!(first.abs_diff(requests.len() * 3 / 4) < 306, "{first} of {}", requests.len());
    }
}
