//! How long moving queues would take, until pools are near their fair shares.
//!
//! **A model**: the engine moves queues when an administrator says so, and in parts, while they are in
//! use. Here one mover copies one queue at a time at a bounded rate, several work at once, and each
//! pool takes part in a few moves at most. The policy is greedy ([`policy`]): from the pool that is furthest above its fair share to the one
//! that is furthest below, the largest queue that fits.
//!
//! A queue is not divided. A pool that is above its fair share because of one queue gives away
//! all that it can and stays above it; the others are then levelled among themselves.

pub mod policy;
mod run;

pub(crate) use run::text;
pub use run::{Case, failures, run};
