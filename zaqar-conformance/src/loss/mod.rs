//! The ledger that finds lost messages, and the workloads that it watches.
//!
//! [`body`] makes messages that carry who posted them; [`ledger`] records every call into a
//! [`history`], which [`lines`] keeps as JSON lines; [`verdict`] is a set of pure functions over that
//! history, [`shrink`] leaves the calls of it that show a finding, and [`explain`] tells people of it. The workloads run against a driver in this process, through faults ([`crate::fault`]), or in a process that is killed.

pub mod body;
pub mod explain;
pub mod history;
pub mod ledger;
pub mod lines;
pub mod request;
pub mod shrink;
pub mod verdict;

mod claimer;
mod deliveries;
mod doubts;
mod generations;
mod producer;
mod shuffle;
mod trials;
pub(crate) mod worker;
pub(crate) mod workload;

pub(crate) use trials::{Stage, conclude, ledger_clock};

use zaqar_core::Capability;

use crate::case::Guarantee::{G1, G2, G3, G4, G5, G6, G7, G8, G9, G11, G13};
use crate::suite::SuiteTrial;

/// The trials that this module adds to the suite.
pub(crate) fn trials() -> Vec<SuiteTrial> {
    vec![
        SuiteTrial::new(
            "loss.concurrent.many_producers_many_claimers",
            &[G1, G2, G3, G4, G5, G6, G7, G8, G9],
            trials::many_producers_many_claimers,
        )
        .needs(Capability::Claims),
        SuiteTrial::new(
            "loss.concurrent.three_handles_on_one_namespace",
            &[G1, G2, G3, G4, G5, G6, G7, G8, G9],
            trials::three_handles_on_one_namespace,
        )
        .needs(Capability::Claims),
        SuiteTrial::new(
            "loss.concurrent.marker_readers_step_over_nothing",
            &[G2, G9],
            trials::marker_readers_step_over_nothing,
        ),
        SuiteTrial::new(
            "loss.concurrent.claims_are_exclusive",
            &[G5],
            trials::claims_are_exclusive,
        )
        .needs(Capability::Claims),
        SuiteTrial::new(
            "loss.concurrent.delete_races_release",
            &[G4, G6],
            trials::delete_races_release,
        )
        .needs(Capability::Claims),
        SuiteTrial::new(
            "loss.concurrent.queue_delete_races_post",
            &[G4, G11],
            generations::queue_delete_races_post,
        )
        .needs(Capability::Claims),
        SuiteTrial::new(
            "loss.concurrent.every_subscriber_is_served",
            &[G13],
            deliveries::every_subscriber_is_served,
        )
        .needs(Capability::Subscriptions),
    ]
}
