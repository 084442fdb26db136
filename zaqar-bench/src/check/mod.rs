//! The oracle: what was posted, what came out, and what the difference says.
//!
//! Every post is acknowledged, refused or unsure (no answer, or one of the 5xx kind: it may have
//! happened). At the end all queues are walked from front to back and each message must be in
//! exactly one place: still listed, or deleted. Unsure operations excuse either outcome.

mod bits;
mod faults;
mod ledger;
mod order;
mod walk;

pub use faults::{Fault, Faults};
pub use ledger::{Ledger, Verdict};
pub use order::Order;
pub use walk::Walk;
