//! When to send: at once, or at instants that do not depend on the answers.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::StdRng};

/// The arrivals of one connection.
///
/// With a rate they are a Poisson process fixed by the seed. An arrival that the previous answer
/// kept waiting counts its wait, so a stall shows in the latencies of all requests it delays.
#[derive(Debug)]
pub struct Pacer {
    rate: Option<f64>,
    next: Instant,
    random: StdRng,
}

impl Pacer {
    /// Arrivals at `rate` per second from now on; without a rate as soon as asked for.
    #[must_use]
    pub fn new(rate: Option<f64>, seed: u64) -> Self {
        let mut pacer = Self { rate, next: Instant::now(), random: StdRng::seed_from_u64(seed) };
        pacer.advance();
        pacer
    }

    fn advance(&mut self) {
        if let Some(rate) = self.rate {
            let uniform: f64 = 1.0 - self.random.random::<f64>();
            self.next += Duration::try_from_secs_f64(-uniform.ln() / rate).unwrap_or_default();
        }
    }

    /// Waits for the next arrival and answers the instant its latency counts from.
    pub async fn arrival(&mut self) -> Instant {
        if self.rate.is_none() {
            return Instant::now();
        }
        let arrival = self.next;
        self.advance();
        if arrival <= Instant::now() {
            return arrival;
        }
        tokio::time::sleep_until(arrival.into()).await;
        // The timer wakes up to a millisecond late, which is not the server's doing.
        Instant::now()
    }
}
