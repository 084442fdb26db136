//! MySQL and MariaDB: one database, any number of web heads.
//!
//! ```text
//! callers ──posts──▶ lanes (a batch for each queue) ─┐
//! callers ──everything else──────────────────────────┴▶ gate (round robin) ─▶ a connection
//!                                                        └─claims, pops, deletes──▶ lanes ─▶ one
//! ```
//!
//! [`tables`] draws the data and the locks; [`server`] is the way in; [`sql`] says why statements
//! are texts, several to a round trip; [`durable`] what is seen before it is on the disk; [`posts`]
//! (by [`guess`] if they can), [`takes`] and [`removals`] are the hot operations; everything that needs to look between its
//! statements is a [`task::Task`] in a transaction.

mod available;
mod claims;
mod config;
mod deliveries;
mod driver;
mod durable;
mod error;
mod gc;
mod guess;
mod heads;
mod health;
mod inserts;
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
mod posts;
mod removal_step;
mod removals;
mod row;
mod rows;
pub(crate) mod scratch;
mod server;
mod session;
mod settings;
mod shared;
mod sql;
mod stats;
mod step;
mod subscription_changes;
mod subscriptions;
mod sweep;
mod tables;
mod take_step;
mod takes;
mod task;
mod told;
mod transfers;

use crate::memory;
pub(crate) use open::open;
