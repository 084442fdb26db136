//! What the fan-out workload found.

use std::fmt;

use serde::Serialize;

use crate::report::Spread;

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct FanOutResult {
    /// Subscriptions of the one queue.
    pub subscribers: u32,
    /// Messages posted to each queue.
    pub posts: u32,
    /// Bytes of one message body.
    pub body_bytes: usize,
    /// Whether posts went on while earlier ones were being delivered.
    pub busy: bool,
    /// Time until the last post was answered.
    pub post_s: f64,
    /// Time until the last delivery.
    pub deliver_s: f64,
    /// Deliveries that did not come, over all subscribers.
    pub missing: u64,
    /// Deliveries that came again.
    pub repeated: u64,
    /// Milliseconds that a post took to the queue without subscribers.
    pub plain_ms: Spread,
    /// The same for the queue that has them.
    pub fan_out_ms: Spread,
}

impl FanOutResult {
    /// Whether every subscriber got every message.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.missing == 0
    }

    /// How much longer a post takes for having subscribers: the medians' ratio.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.fan_out_ms.median / self.plain_ms.median
    }
}

impl fmt::Display for FanOutResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let manner = if self.busy { "while delivering" } else { "each when all is delivered" };
        writeln!(
            f,
            "fan-out  {} messages of {} B to each queue in {:.2} s, {manner}",
            self.posts, self.body_bytes, self.post_s
        )?;
        for (name, Spread { median, min, max }) in [
            ("no subscriber".to_owned(), self.plain_ms),
            (format!("{} subscribers", self.subscribers), self.fan_out_ms),
        ] {
            writeln!(
                f,
                "         {name}: median {median:.3} ms, min {min:.3} ms, max {max:.3} ms"
            )?;
        }
        writeln!(f, "         ratio of the medians {:.2}", self.ratio())?;
        let verdict = if self.is_good() { "ok" } else { "FAILED" };
        let came = u64::from(self.subscribers) * u64::from(self.posts);
        write!(
            f,
            "         {verdict}: {came} deliveries in {:.2} s, {} missing, {} repeated",
            self.deliver_s, self.missing, self.repeated
        )
    }
}
