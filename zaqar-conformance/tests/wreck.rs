//! The backend ring is tested too: over a backend in memory that keeps or loses what it holds when
//! it is killed, and whose connections are cut or only said to be.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use zaqar_conformance::fault::backend::{
    BackendControl, CUTS, Cut, FAILOVER, FREEZE, FULL_DISK, HANDOVER, SIGKILL, failover, full_disk,
    handover, trials,
};
use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::suite::{Budget, TrialEnd, TrialResult, TrialRun};
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::{Clock, ManualClock, ProjectId, QueueKey, QueueName};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// A killed backend has lost a queue's messages when it is back.
    Forgets,
    /// Cuts are ordered and never made.
    CutsNothing,
}

/// The reference driver over a backend that can be broken.
struct Wreck {
    inner: ReferenceHarness,
    flaw: Flaw,
    namespace: Mutex<Option<Namespace>>,
    cuts: [AtomicU64; 3],
}

impl Wreck {
    fn new(flaw: Flaw) -> Arc<Self> {
        let (inner, namespace) = (ReferenceHarness::new(), Mutex::default());
        Arc::new(Self { inner, flaw, namespace, cuts: Default::default() })
    }

    fn opened(&self) -> anyhow::Result<Namespace> {
        let namespace = self.namespace.lock().unwrap_or_else(PoisonError::into_inner);
        namespace.clone().ok_or_else(|| anyhow::anyhow!("nothing was opened"))
    }
}

#[async_trait]
impl Harness for Wreck {
    fn subject(&self) -> Subject {
        self.inner.subject()
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        *self.namespace.lock().unwrap_or_else(PoisonError::into_inner) = Some(ns.clone());
        self.inner.open(ns, clock).await
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        self.inner.wipe(ns).await
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }

    fn backend(&self) -> Option<&dyn BackendControl> {
        Some(self)
    }
}

#[async_trait]
impl BackendControl for Wreck {
    fn uri(&self) -> String {
        String::new()
    }

    async fn kill(&self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn restart(&self) -> anyhow::Result<()> {
        if self.flaw != Flaw::Forgets {
            return Ok(());
        }
        let ns = self.opened()?;
        let Drivers { control, data } =
            self.inner.open(&ns, Arc::new(ManualClock::default())).await?;
        let project = ProjectId::new(format!("{ns}-main"))?;
        let key = QueueKey::queue(project, QueueName::new("work-0")?);
        if let Some(record) = control.queues().queue_find(&key).await? {
            data.messages().message_purge(&key.incarnate(record.incarnation)).await?;
        }
        Ok(())
    }

    async fn pause(&self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn resume(&self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn fail_over(&self) -> anyhow::Result<()> {
        self.restart().await
    }

    async fn hand_over(&self) -> anyhow::Result<()> {
        self.restart().await
    }

    async fn fill_disk(&self) -> anyhow::Result<()> {
        Ok(())
    }

    async fn free_disk(&self) -> anyhow::Result<()> {
        Ok(())
    }

    fn cut(&self, cut: Cut) -> bool {
        let [mid_request, before_reply, all] = &self.cuts;
        let counter = match cut {
            Cut::MidRequest(_) => mid_request,
            Cut::BeforeReply => before_reply,
            Cut::All => all,
        };
        counter.fetch_add(u64::from(self.flaw != Flaw::CutsNothing), Ordering::Relaxed);
        true
    }

    fn heal(&self) {}

    fn cuts(&self) -> [u64; 3] {
        self.cuts.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
async fn outcome(name: &str, flaw: Flaw) -> TrialResult {
    let mut trials = trials().into_iter().chain([failover(), handover(), full_disk()]);
    let trial = trials.find(|trial| trial.name == name).expect("a trial of the ring");
    (trial.run)(TrialRun { harness: Wreck::new(flaw), seed: 7, budget: Budget::Smoke }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_forgets_when_it_is_killed_is_caught() {
    for name in [SIGKILL, FAILOVER, HANDOVER] {
        let failure = outcome(name, Flaw::Forgets).await.unwrap_err();
        assert!(!failure.inconclusive && failure.evidence.contains("lost"), "{}", failure.evidence);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_keeps_everything_passes() {
    for name in [SIGKILL, FAILOVER, HANDOVER, CUTS] {
        match outcome(name, Flaw::None).await {
            Ok(TrialEnd::Passed { counts }) => {
                assert!(counts.seen.contains_key("messages_acknowledged"), "{counts}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_which_no_connection_was_cut_is_no_pass() {
    let failure = outcome(CUTS, Flaw::CutsNothing).await.unwrap_err();
    assert!(failure.inconclusive, "{}", failure.evidence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_on_which_there_is_room_for_everything_is_no_pass() {
    let failure = outcome(FULL_DISK, Flaw::None).await.unwrap_err();
    assert!(failure.inconclusive, "{}", failure.evidence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_under_which_the_work_goes_on_is_no_pass() {
    let failure = outcome(FREEZE, Flaw::None).await.unwrap_err();
    assert!(failure.inconclusive, "{}", failure.evidence);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harness_without_a_backend_of_its_own_is_left_alone() {
    for trial in trials() {
        let harness: Arc<dyn Harness> = Arc::new(ReferenceHarness::new());
        let ended = (trial.run)(TrialRun { harness, seed: 7, budget: Budget::Smoke }).await;
        assert!(matches!(ended, Ok(TrialEnd::Skipped { .. })), "{}: {ended:?}", trial.name);
    }
}
