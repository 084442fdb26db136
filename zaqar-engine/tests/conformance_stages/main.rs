//! The conformance suite around each stage: the reference driver keeps every promise behind them.

mod meddler;

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::{
    Drivers, Harness, Namespace, Outcome, ProcessControl, Subject, Suite, Waiver,
};
use zaqar_core::{Capabilities, Capability, Clock, NewMessage, QueueRef};
use zaqar_engine::Stage;
use zaqar_engine::stages::{
    EncryptionKeys, EncryptionStage, FilterStage, MessageFilter, MetricsStage,
};

use crate::meddler::{Meddler, Meddling};

/// Makes the stages for a clock, the first one outermost.
type Stages = fn(&Arc<dyn Clock>) -> Vec<Arc<dyn Stage>>;

/// The reference driver behind stages.
struct Staged {
    inner: ReferenceHarness,
    stages: Stages,
    /// The only case that is left out: with the reason why it does not hold behind the stages.
    waiver: Option<Waiver>,
}

impl Staged {
    fn new(stages: Stages) -> Self {
        Self { inner: ReferenceHarness::new(), stages, waiver: None }
    }

    /// Behind a stage that encrypts every message.
    fn encrypted(stages: Stages) -> Self {
        let waiver = Waiver {
            case: "dead_letter.transfer.describes_the_message".into(),
            reason: "a dead letter moves as it is stored, so that no key is needed for it".into(),
        };
        Self { waiver: Some(waiver), ..Self::new(stages) }
    }
}

#[async_trait]
impl Harness for Staged {
    fn subject(&self) -> Subject {
        Subject { mode: "staged".into(), ..self.inner.subject() }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let Drivers { control, data } = self.inner.open(ns, Arc::clone(&clock)).await?;
        let stages = (self.stages)(&clock);
        let data = stages.iter().rev().fold(data, |data, stage| stage.wrap(data));
        Ok(Drivers { control, data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.inner.wipe(ns).await
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        self.waiver.iter().cloned().collect()
    }
}

/// Changes nothing.
#[derive(Debug)]
struct PassThrough;

#[async_trait]
impl MessageFilter for PassThrough {
    fn name(&self) -> &'static str {
        "pass_through"
    }

    async fn post(&self, _: &QueueRef, _: &mut [NewMessage]) -> zaqar_core::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
fn encryption(clock: &Arc<dyn Clock>) -> Arc<dyn Stage> {
    let keys = EncryptionKeys::parse(&["k1:0123456789abcdef0123456789abcdef".to_owned()]);
    Arc::new(EncryptionStage::new(keys.unwrap(), Arc::clone(clock)))
}

fn filter() -> Arc<dyn Stage> {
    Arc::new(FilterStage::new(PassThrough))
}

fn metrics() -> Arc<dyn Stage> {
    Arc::new(MetricsStage::new())
}

fn meddler(meddling: Meddling) -> Arc<dyn Stage> {
    Arc::new(Meddler(meddling))
}

/// Runs the whole suite, which must pass and be asked of all that the bare driver declares.
#[cfg(test)]
async fn assert_conformant(staged: Staged) {
    let report = Suite::new(Arc::new(staged)).run().await.unwrap();
    assert_eq!(report.exit_code(), 0, "{}", report.text());
    let bare = Suite::new(Arc::new(ReferenceHarness::new())).only([""]).run().await.unwrap();
    // Queues are moved below the stages: one that changes what is stored need not let a move through.
    let besides = |declared: Capabilities| declared.without(Capability::LiveMove);
    assert_eq!(besides(report.capabilities), besides(bare.capabilities));
}

/// Runs the cases that a bug must fail.
#[cfg(test)]
async fn assert_caught(stages: Stages, cases: &[&str]) {
    let suite = Suite::new(Arc::new(Staged::new(stages))).only(cases.iter().copied());
    let report = suite.run().await.unwrap();
    assert_eq!(report.entries.len(), cases.len(), "an id is none of the suite: {cases:?}");
    for entry in &report.entries {
        let outcome = &entry.outcome;
        assert!(matches!(outcome, Outcome::Failed { .. }), "{} missed it: {outcome:?}", entry.id);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_around_encryption_of_nothing() {
    assert_conformant(Staged::new(|clock| vec![encryption(clock)])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_around_encryption_of_everything() {
    assert_conformant(Staged::encrypted(|clock| {
        vec![meddler(Meddling::EncryptAll), encryption(clock)]
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_around_metrics() {
    assert_conformant(Staged::new(|_| vec![metrics()])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_around_a_filter() {
    assert_conformant(Staged::new(|_| vec![filter()])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_passes_around_all_stages_together() {
    assert_conformant(Staged::encrypted(|clock| {
        vec![metrics(), filter(), meddler(Meddling::EncryptAll), encryption(clock)]
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_forgets_by_which_claim_a_delete_was_asked_for_is_caught() {
    assert_caught(
        |clock| vec![meddler(Meddling::ForgetClaim), encryption(clock)],
        &["delete.single.expired_claim_refused", "fence.stale_holder.changes_nothing"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stage_that_swaps_two_messages_of_a_list_is_caught() {
    assert_caught(
        |clock| vec![metrics(), meddler(Meddling::SwapListed), encryption(clock)],
        &["message.post.queue_order", "model.driver_agrees_with_the_reference"],
    )
    .await;
}
