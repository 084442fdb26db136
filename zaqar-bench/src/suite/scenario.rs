//! The workloads of the suite in their fixed forms.

use super::SuiteOptions;
use crate::options::Options;
use crate::workload::{DeleteMode, Workload};

/// One scenario.
#[derive(Debug)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) connections: u16,
    pub(super) batch: Option<u16>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Plain(Workload),
    Deep,
}

const fn plain(
    name: &'static str,
    workload: Workload,
    connections: u16,
    batch: Option<u16>,
) -> Scenario {
    Scenario { name, connections, batch, kind: Kind::Plain(workload) }
}

const BULK: Workload = Workload::ClaimDelete(DeleteMode::Bulk);
const SINGLE: Workload = Workload::ClaimDelete(DeleteMode::Single);

/// All scenarios in the order they run.
pub(super) static SCENARIOS: [Scenario; 11] = [
    plain("post-1-c16", Workload::Post, 16, Some(1)),
    plain("post-1-c64", Workload::Post, 64, Some(1)),
    plain("post-10-c16", Workload::Post, 16, Some(10)),
    plain("post-10-c64", Workload::Post, 64, Some(10)),
    plain("post-20-c64", Workload::Post, 64, Some(20)),
    plain("list-20-c16", Workload::List, 16, None),
    plain("claim-delete-10-bulk-c16", BULK, 16, Some(10)),
    plain("claim-delete-10-single-c16", SINGLE, 16, Some(10)),
    plain("ping", Workload::Ping, 1, None),
    plain("calm", Workload::Calm, 8, None),
    Scenario { name: "deep", connections: 16, batch: Some(10), kind: Kind::Deep },
];

impl Scenario {
    /// The raw loop to compare with.
    pub(super) fn raw_work(&self) -> &'static str {
        match self.kind {
            Kind::Plain(Workload::ClaimDelete(_)) => "claim and delete",
            _ => "insert",
        }
    }

    /// The workload, and the operator's options with what the scenario fixes.
    pub(super) fn adapt(&self, suite: &SuiteOptions) -> (Workload, Options) {
        let workload = match self.kind {
            Kind::Plain(workload) => workload,
            Kind::Deep => Workload::Deep { depth: suite.depth, claims: suite.claims },
        };
        let options = Options {
            connections: self.connections,
            batch: self.batch,
            messages: None,
            rate: None,
            ..suite.options.clone()
        };
        (workload, options)
    }
}
