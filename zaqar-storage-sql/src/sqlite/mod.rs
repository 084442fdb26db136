//! SQLite: one file, one writer, many readers.
//!
//! ```text
//! callers ──operations──▶ intake (a bounded queue per project, round robin)
//!                           └─▶ writer: BEGIN IMMEDIATE · everything waiting · COMMIT · answers
//! callers ──queries──▶ readers (WAL snapshots)          checkpoint: its own connection
//! ```
//!
//! [`tables`] draws the data; [`writer`] is the heart (group commit); [`posts`], [`takes`] (served by
//! [`deal`]) and [`removals`] are the hot operations, executed kind by kind for all callers of a
//! batch; everything else is a [`task::Task`].

mod available;
mod checkpoint;
mod claims;
mod config;
mod deal;
mod deliveries;
mod driver;
mod engine;
mod file;
mod gc;
mod gone;
mod head_cache;
mod heads;
mod intake;
mod leases;
mod messages;
mod moves;
mod moving;
mod moving_arrivals;
mod moving_open;
mod moving_parts;
mod moving_records;
mod open;
mod outbox;
mod post_keys;
mod posts;
mod reader;
mod removals;
mod rows;
pub(crate) mod scratch;
mod shared;
mod statement;
mod stats;
mod step;
mod subscription_changes;
mod subscriptions;
mod sweep;
mod tables;
mod takes;
mod task;
mod transfers;
mod writer;

pub(crate) use open::open;
