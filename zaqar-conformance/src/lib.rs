//! The conformance suite that every storage driver runs.
//!
//! A driver author writes one type, a [`Harness`], and one line,
//! [`main!`](crate::main), in `tests/conformance.rs` (`harness = false`). Each case of the suite is
//! then a test of its own, and the suite says which guarantee (G1 to G17) a driver breaks, with the
//! evidence and a line that reproduces it. As a library: [`Suite`], which returns a [`Report`].
//!
//! Where to go: `cases/` holds the cases as data; [`mod@reference`] is a driver in memory, the
//! executable specification that passes everything but durability; `loss/` is the ledger that finds
//! lost messages, `fault/` injects faults, `model/` compares a driver with the reference step by
//! step. Nothing here knows a particular backend.

pub mod case;
pub mod context;
pub mod counts;
pub mod coverage;
pub mod fault;
pub mod faults_main;
pub mod harness;
pub mod loss;
pub mod main_macro;
pub mod profile;
pub mod progress;
pub mod reference;
pub mod regressions;
pub mod report;
pub mod suite;

mod budget;
mod cases;
mod model;
mod order;

pub use case::{Case, CaseResult, Failure, Guarantee, Level};
pub use context::Context;
pub use counts::Counts;
pub use fault::serve_child;
pub use harness::{
    Availability, ChildNode, Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject,
    Waiver, child_namespace,
};
pub use profile::{Profile, Verdict};
pub use regressions::Regressions;
pub use report::{Outcome, Report};
pub use suite::{Budget, Suite, SuiteTrial, TrialEnd, TrialResult, TrialRun};
