//! How fast the ledger is: runs concurrent callers against the reference driver on one core, with
//! every call recorded and the whole history judged, and says how long 10,000 calls take.
//!
//! ```sh
//! cargo run --release -p zaqar-conformance --example ledger_speed
//! ```

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::{Budget, Suite};

/// Many producers and claimers, poppers, readers and a keeper of time, on four queues.
const TRIAL: &str = "loss.concurrent.many_producers_many_claimers";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    for budget in [Budget::Smoke, Budget::Standard] {
        for seed in 1..=3 {
            let harness = Arc::new(ReferenceHarness::new());
            let suite = Suite::new(harness).only([TRIAL]).seed(seed).budget(budget);
            let begun = Instant::now();
            let report = suite.run().await?;
            let elapsed = begun.elapsed();
            anyhow::ensure!(report.exit_code() == 0, "{}", report.text());
            let calls = report.counts().seen.get("calls_recorded").copied();
            let calls = calls.context("the trial counted no calls")?;
            let per_10_000 = elapsed.as_millis().saturating_mul(10_000) / u128::from(calls.max(1));
            println!(
                "seed {seed}: {calls} calls in {} ms, 10000 in {per_10_000} ms",
                elapsed.as_millis()
            );
        }
    }
    Ok(())
}
