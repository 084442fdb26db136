//! Trials of their own.

use crate::harness::Drivers;
use crate::suite::SuiteTrial;

/// The trials that this module adds to the suite.
pub(crate) fn trials() -> Vec<SuiteTrial> {
    Vec::new()
}

/// Serves workload commands in a child process, a line for a line, until its input ends.
pub(crate) async fn serve(_drivers: Drivers) -> anyhow::Result<()> {
    anyhow::bail!("there is no workload to serve")
}
