//! Ratios between two servers, from rounds that alternated between them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::round::Round;
use super::spread::Spread;

/// The first server's figures divided by the second's, round by round.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// The server above the line.
    pub url: String,
    /// The server below the line.
    pub base_url: String,
    /// Messages per second: above 1 the first is faster.
    pub messages_per_s: Option<Spread>,
    /// Requests per second: above 1 the first is faster.
    pub requests_per_s: Option<Spread>,
    /// Median latencies: below 1 the first is faster.
    pub p50: BTreeMap<&'static str, Spread>,
    /// 99th percentiles: below 1 the first is faster.
    pub p99: BTreeMap<&'static str, Spread>,
    /// Server processor time for each message: below 1 the first is cheaper.
    pub cpu_per_message: Option<Spread>,
}

/// Compares pairs of rounds, each pair measured one after the other.
#[must_use]
pub fn compare(pairs: &[(Round, Round)]) -> Option<Comparison> {
    let (first, base) = pairs.first()?;
    let over = |figure: &dyn Fn(&Round) -> Option<f64>| {
        Spread::of(pairs.iter().filter_map(|(first, base)| ratio(figure(first)?, figure(base)?)))
    };
    let latency = |pick: &dyn Fn(&crate::measure::Latency) -> f64| {
        let names = first.latencies.keys();
        names
            .filter_map(|name| Some((*name, over(&|round| round.latencies.get(name).map(pick))?)))
            .collect()
    };
    Some(Comparison {
        url: first.url.clone(),
        base_url: base.url.clone(),
        messages_per_s: over(&|round| Some(round.messages_per_s)),
        requests_per_s: over(&|round| Some(round.requests_per_s)),
        p50: latency(&|latency| latency.p50_us),
        p99: latency(&|latency| latency.p99_us),
        cpu_per_message: over(&|round| round.server.as_ref().map(|s| s.cpu_us_per_message)),
    })
}

fn ratio(above: f64, below: f64) -> Option<f64> {
    (below > 0.0).then(|| above / below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_leave_out_what_was_not_measured() {
        assert_eq!(ratio(3.0, 2.0), Some(1.5));
        assert_eq!(ratio(3.0, 0.0), None);
        assert!(compare(&[]).is_none());
    }
}
