//! A driver that declares less passes by refusing what it does not declare, and by that alone.

use std::sync::Arc;

use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::{Failure, Level, Outcome, Report, Suite, suite};
use zaqar_core::Capability;

/// Everything that the suite asks of the reference driver without `capability`.
async fn report_without(capability: Capability) -> Result<Report, Failure> {
    let harness = Arc::new(ReferenceHarness::new().without(capability));
    let ids = suite::cases().into_iter().map(|case| case.id);
    Suite::new(harness).only(ids).run().await
}

#[tokio::test]
async fn an_undeclared_capability_is_refused_and_nothing_else_fails() -> Result<(), Failure> {
    for capability in [
        Capability::Claims,
        Capability::Subscriptions,
        Capability::Delay,
        Capability::DeadLetter,
        Capability::LiveMove,
        Capability::VirtualTime,
    ] {
        let report = report_without(capability).await?;
        let failed: Vec<_> = report
            .entries
            .iter()
            .filter(|entry| matches!(entry.outcome, Outcome::Failed { .. }))
            .map(|entry| (&entry.id, &entry.outcome))
            .collect();
        assert!(failed.is_empty(), "without {capability:?}: {failed:?}");
        if capability == Capability::VirtualTime {
            continue; // No operation needs it: cases that turn the clock are inconclusive.
        }
        let refused = Outcome::RefusalVerified { capability };
        for entry in &report.entries {
            if entry.level == Level::Extended(capability) {
                assert_eq!(entry.outcome, refused, "{} without {capability:?}", entry.id);
            }
        }
    }
    Ok(())
}
