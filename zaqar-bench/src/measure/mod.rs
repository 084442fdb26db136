//! What is measured: latencies, counts, errors, and processor time of both sides.

mod procfs;
mod recorder;

pub use procfs::{Usage, find_listeners, usage};
pub use recorder::{Latency, Op, Recorder, Window};
