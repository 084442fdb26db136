//! What the sockets workload found.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

/// What a run found.
#[derive(Debug, Clone, Serialize)]
pub struct SocketsResult {
    /// Connections, each subscribed to the queue.
    pub sockets: u32,
    /// Messages posted.
    pub messages: u64,
    /// Bytes of one message body.
    pub body_bytes: usize,
    /// Time to open and subscribe all connections.
    pub open_s: f64,
    /// Time until the last post was answered.
    pub post_s: f64,
    /// Time from the first post until every connection had what it got.
    pub deliver_s: f64,
    /// Messages that a connection did not get, over all connections.
    pub missing: u64,
    /// Messages that a connection got more than once.
    pub doubled: u64,
    /// Messages that came to a connection out of order.
    pub misordered: u64,
    /// From the start of a post to its arrival at a connection.
    pub push_ms: Spread,
    /// Resident memory of the server before the first connection.
    pub rss_before: Option<u64>,
    /// The same with all of them open and subscribed.
    pub rss_open: Option<u64>,
    /// The most that was seen while messages were posted and pushed.
    pub rss_most: Option<u64>,
}

/// A few quantiles, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    pub(crate) fn of(micros: &Histogram<u64>) -> Self {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1_000.0;
        Self { p50: at(0.5), p99: at(0.99), max: micros.max() as f64 / 1_000.0 }
    }
}

impl SocketsResult {
    /// Whether every connection got every message.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.missing == 0
    }
}

impl fmt::Display for SocketsResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pushes = u64::from(self.sockets) * self.messages - self.missing;
        let Spread { p50, p99, max } = self.push_ms;
        writeln!(
            f,
            "sockets  {} open and subscribed in {:.2} s; {} messages of {} B posted in {:.2} s",
            self.sockets, self.open_s, self.messages, self.body_bytes, self.post_s
        )?;
        writeln!(
            f,
            "         {pushes} pushed in {:.2} s ({:.0}/s); post to push p50 {p50:.1} ms, p99 \
             {p99:.1} ms, max {max:.1} ms",
            self.deliver_s,
            pushes as f64 / self.deliver_s
        )?;
        writeln!(
            f,
            "         server's memory: {} before, {} with all open, {} at most",
            mebibytes(self.rss_before),
            mebibytes(self.rss_open),
            mebibytes(self.rss_most)
        )?;
        let verdict = if self.is_good() { "ok" } else { "FAILED" };
        write!(
            f,
            "         {verdict}: {} missing, {} doubled, {} misordered",
            self.missing, self.doubled, self.misordered
        )
    }
}

fn mebibytes(bytes: Option<u64>) -> String {
    bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    )
}
