//! Moves of queues between pools: begun by an administrator, carried on by whichever head is there.
//!
//! That a queue is being moved, the catalogue says; how far it is, the two stores. So any head may
//! carry a move on after another died. Two that work on the same one do no harm, only double work:
//! a head leaves alone what gets on without it.

mod admin;
mod pace;
mod round;
mod step;

pub use admin::{DrainReport, MovingQueue, QueuePlace};
pub use round::MovesReport;

pub(super) use pace::Pace;
pub(super) use round::Watched;
