//! PostgreSQL: one schema, any number of web heads.
//!
//! ```text
//! callers ──posts──▶ lanes (a batch for each queue) ─┐
//! callers ──everything else─────────────────────────┴▶ gate (round robin) ─▶ a connection
//! ```
//!
//! [`tables`] draws the data and the locks; [`server`] is the way in; [`posts`], [`takes`] and
//! [`removals`] are the hot operations, each a single statement; everything that needs more is a
//! [`task::Task`] in a transaction; [`session`] argues why a commit is flushed.

mod available;
mod claims;
mod config;
mod deliveries;
mod driver;
mod error;
mod gc;
mod heads;
mod health;
mod messages;
mod migrate;
mod moves;
mod moving;
mod moving_arrivals;
mod moving_open;
mod moving_parts;
mod moving_records;
mod open;
mod outbox;
#[cfg(test)]
mod plans;
mod post_step;
mod posts;
mod removals;
mod rows;
pub(crate) mod scratch;
mod server;
mod session;
mod settings;
mod shared;
mod stats;
mod step;
mod subscription_changes;
mod subscriptions;
mod sweep;
mod tables;
mod takes;
mod task;
mod told;
mod transfers;

use crate::memory;
pub(crate) use open::open;
