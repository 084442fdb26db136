//! Running actors: each has a connection of its own and all share a ledger and a clock.

mod context;
mod drive;
mod pacer;
mod progress;
mod session;

pub use context::Context;
pub use drive::{ActorFuture, Measured, Phase, drive};
pub use pacer::Pacer;
pub use progress::Progress;
pub use session::{Reply, Session};
