//! Latencies and counts inside the measured window.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::http::ErrorClass;

/// Latencies are told apart from 100 ns on.
const LATENCY_NS_MIN: u64 = 100;
/// Longer latencies are recorded as this.
const LATENCY_NS_MAX: u64 = 600_000_000_000;

/// What a latency belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    /// Posting a batch.
    Post,
    /// Listing a page.
    List,
    /// A claim that delivered messages.
    Claim,
    /// A claim that found nothing.
    ClaimEmpty,
    /// A claim from a queue with nothing in flight ahead and little waiting.
    ClaimShallow,
    /// A claim behind many messages in flight.
    ClaimBehindInFlight,
    /// A claim from a queue with many messages waiting.
    ClaimManyWaiting,
    /// Deleting one message or a bulk.
    Delete,
    /// A request that stores nothing.
    Ping,
    /// From the start of a post to the answer of the claim that delivered the message.
    PostToClaim,
    /// Making, filling, walking and removing queues; never reported.
    Housekeeping,
}

impl Op {
    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::List => "list",
            Self::Claim => "claim",
            Self::ClaimEmpty => "claim (empty)",
            Self::ClaimShallow => "claim (shallow)",
            Self::ClaimBehindInFlight => "claim (in flight ahead)",
            Self::ClaimManyWaiting => "claim (many waiting)",
            Self::Delete => "delete",
            Self::Ping => "ping",
            Self::PostToClaim => "post to claim",
            Self::Housekeeping => "housekeeping",
        }
    }
}

/// The time that counts: operations that end outside it are not recorded.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    /// First instant that counts.
    pub from: Instant,
    /// First instant that does not.
    pub until: Instant,
}

impl Window {
    /// True when an operation that ended at `ended` counts.
    #[must_use]
    pub fn counts(&self, ended: Instant) -> bool {
        self.from <= ended && ended < self.until
    }
}

/// Percentiles of one operation.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Operations recorded.
    pub count: u64,
    /// Arithmetic mean, in microseconds, like all that follow.
    pub mean_us: f64,
    /// Median.
    pub p50_us: f64,
    /// 95th percentile.
    pub p95_us: f64,
    /// 99th percentile.
    pub p99_us: f64,
    /// Longest.
    pub max_us: f64,
}

/// What the actors of one thread have recorded.
#[derive(Debug)]
pub struct Recorder {
    window: Window,
    latencies: BTreeMap<Op, Histogram<u64>>,
    /// Requests answered as expected.
    pub requests: u64,
    /// Messages posted, listed, or claimed and deleted.
    pub messages: u64,
    /// Requests that failed, by class.
    pub errors: BTreeMap<ErrorClass, u64>,
    /// End of the last request recorded.
    pub last_ended: Option<Instant>,
    /// Actors that gave up because every request failed for too long.
    pub gave_up: u64,
}

impl Recorder {
    /// An empty record for `window`.
    #[must_use]
    pub fn new(window: Window) -> Self {
        Self {
            window,
            latencies: BTreeMap::new(),
            requests: 0,
            messages: 0,
            errors: BTreeMap::new(),
            last_ended: None,
            gave_up: 0,
        }
    }

    /// Records a request that was answered as expected.
    pub fn request(&mut self, op: Op, started: Instant, ended: Instant) {
        if self.window.counts(ended) {
            self.requests += 1;
            self.last_ended = self.last_ended.max(Some(ended));
            self.latency(op, ended.saturating_duration_since(started));
        }
    }

    /// Records a latency that is not that of a single request.
    pub fn span(&mut self, op: Op, started: Instant, ended: Instant) {
        if self.window.counts(ended) {
            self.latency(op, ended.saturating_duration_since(started));
        }
    }

    /// Counts messages whose request ended at `ended`.
    pub fn messages(&mut self, count: u64, ended: Instant) {
        if self.window.counts(ended) {
            self.messages += count;
        }
    }

    /// Counts a failed request.
    pub fn error(&mut self, class: ErrorClass, ended: Instant) {
        if self.window.counts(ended) {
            *self.errors.entry(class).or_default() += 1;
        }
    }

    fn latency(&mut self, op: Op, latency: Duration) {
        if op == Op::Housekeeping {
            return;
        }
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_NS_MAX);
        if let Some(histogram) = self.latencies.get_mut(&op) {
            histogram.saturating_record(nanoseconds);
        } else if let Ok(mut histogram) =
            Histogram::new_with_bounds(LATENCY_NS_MIN, LATENCY_NS_MAX, 3)
        {
            histogram.saturating_record(nanoseconds);
            self.latencies.insert(op, histogram);
        }
    }

    /// Adds what another thread recorded in the same window.
    ///
    /// # Errors
    /// The histograms cannot be added.
    pub fn merge(&mut self, other: Self) -> anyhow::Result<()> {
        for (op, histogram) in other.latencies {
            match self.latencies.get_mut(&op) {
                Some(mine) => mine.add(histogram)?,
                None => {
                    self.latencies.insert(op, histogram);
                }
            }
        }
        self.requests += other.requests;
        self.messages += other.messages;
        for (class, count) in other.errors {
            *self.errors.entry(class).or_default() += count;
        }
        self.last_ended = self.last_ended.max(other.last_ended);
        self.gave_up += other.gave_up;
        Ok(())
    }

    /// Percentiles by operation, in the order of [`Op`].
    #[must_use]
    pub fn latencies(&self) -> Vec<(Op, Latency)> {
        let us = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let summary = |histogram: &Histogram<u64>| Latency {
            count: histogram.len(),
            mean_us: histogram.mean() / 1000.0,
            p50_us: us(histogram.value_at_quantile(0.50)),
            p95_us: us(histogram.value_at_quantile(0.95)),
            p99_us: us(histogram.value_at_quantile(0.99)),
            max_us: us(histogram.max()),
        };
        self.latencies.iter().map(|(op, histogram)| (*op, summary(histogram))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(origin: Instant, ms: u64) -> Instant {
        origin + Duration::from_millis(ms)
    }

    #[test]
    fn only_what_ends_inside_the_window_counts() {
        let origin = Instant::now();
        let window = Window { from: at(origin, 100), until: at(origin, 200) };
        let mut recorder = Recorder::new(window);
        for ended in [99, 100, 150, 200] {
            recorder.request(Op::Post, at(origin, ended - 10), at(origin, ended));
            recorder.messages(10, at(origin, ended));
            recorder.error(ErrorClass::Timeout, at(origin, ended));
        }
        assert_eq!((recorder.requests, recorder.messages), (2, 20));
        assert_eq!(recorder.errors, BTreeMap::from([(ErrorClass::Timeout, 2)]));
        assert_eq!(recorder.last_ended, Some(at(origin, 150)));
    }

    #[test]
    fn percentiles_come_from_all_threads() {
        let origin = Instant::now();
        let window = Window { from: origin, until: at(origin, 10_000) };
        let (mut first, mut second) = (Recorder::new(window), Recorder::new(window));
        for ms in 1..=50 {
            first.request(Op::Claim, origin, at(origin, ms));
            second.request(Op::Claim, origin, at(origin, ms + 50));
        }
        first.merge(second).unwrap();
        let (op, latency) = first.latencies()[0];
        assert_eq!((op, latency.count), (Op::Claim, 100));
        let near = |value: f64, ms: f64| (value / 1000.0 - ms).abs() < ms * 0.002;
        assert!(near(latency.p50_us, 50.0) && near(latency.p99_us, 99.0), "{latency:?}");
        assert!(near(latency.max_us, 100.0), "{latency:?}");
    }
}
