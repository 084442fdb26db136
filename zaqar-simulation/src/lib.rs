//! What becomes of very many queues on many pools behind many web heads, by simulation.
//!
//! ```text
//! cargo run --release -p zaqar-simulation -- --seed 1 --queues 1000000 --pools 200 --heads 50
//! ```
//!
//! prints tables, checks them, and with `--json FILE` writes them down. What they say, and what they
//! do not, is in `docs/scaling.md`. The same seed and options give the same figures from the same
//! build.
//!
//! | module | question |
//! | --- | --- |
//! | [`placement`] | how evenly are queues spread over pools, and how evenly their requests? |
//! | [`growth`] | what do added pools, and pools of weight 0, get; how long until that has levelled itself? |
//! | [`loss`] | what is out when a pool is lost? |
//! | [`lookups`] | how often do heads ask the control plane? |
//! | [`herd`] | what does a head ask that has just started? |
//! | [`staleness`] | how many requests meet a stale entry after a change? |
//! | [`moving`] | how long would moving queues take? |
//!
//! **What is real.** Each queue is placed by `zaqar_engine::pools::placement`, the code that serves:
//! [`installation`] calls it and adds a seeded draw. **What is modelled**: traffic (requests at random
//! instants, a share for each queue that falls with its rank, [`popularity`]), what a head remembers
//! (as the engine's caches with a time to live), how long queues live, and movers ([`moving`]): which
//! queues to move is an administrator's choice, and how long a copy takes that of the stores.
//!
//! Where there is a formula for an expected figure, the report has both, and
//! [`Report::failures`](report::Report::failures) names those that disagree.

pub mod balance;
pub mod growth;
mod head;
pub mod herd;
pub mod installation;
pub mod lookups;
pub mod loss;
pub mod moving;
pub mod options;
pub mod placement;
pub mod popularity;
pub mod random;
pub mod report;
pub mod staleness;
mod text;
mod traffic;
