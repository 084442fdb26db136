//! Drivers that take the time from elsewhere than from the clock that they were given must be found
//! out by what the suite does to nodes' clocks.

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use zaqar_conformance::reference::ReferenceHarness;
    use zaqar_conformance::{
        Drivers, Harness, Namespace, Outcome, ProcessControl, Subject, Suite, Waiver,
    };
    use zaqar_core::{
        Capabilities, ClaimController, Clock, DataDriver, DriverInfo, GcOptions, GcReport, Health,
        MessageController, OutboxController, QueueHeadController, Result, StoreVolume,
        SubscriptionController, Timestamp,
    };

    const TRIAL: &str = "fault.clock.nothing_lost_whatever_the_nodes_take_for_the_time";

    /// What is wrong with the driver.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Bug {
        /// Nothing.
        None,
        /// Every other node asks a clock of its own, which has jumped a minute ahead.
        OwnClock,
        /// Only its background work does.
        OwnClockForUpkeep,
    }

    #[derive(Debug)]
    struct Jumped(Arc<dyn Clock>);

    impl Clock for Jumped {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(self.0.now().as_millis() + 60_000)
        }
    }

    struct Planted {
        inner: ReferenceHarness,
        bug: Bug,
        opened: AtomicUsize,
    }

    #[async_trait]
    impl Harness for Planted {
        fn subject(&self) -> Subject {
            self.inner.subject()
        }

        async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
            let jumped: Arc<dyn Clock> = Arc::new(Jumped(Arc::clone(&clock)));
            let odd = self.opened.fetch_add(1, Ordering::SeqCst) % 2 == 1;
            match self.bug {
                Bug::OwnClock if odd => self.inner.open(ns, jumped).await,
                Bug::OwnClockForUpkeep => {
                    let Drivers { control, data } = self.inner.open(ns, clock).await?;
                    let upkeep = self.inner.open(ns, jumped).await?.data;
                    Ok(Drivers { control, data: Arc::new(Kept { data, upkeep }) })
                }
                _ => self.inner.open(ns, clock).await,
            }
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
    }

    /// A driver whose background work is another handle's.
    #[derive(Debug)]
    struct Kept {
        data: Arc<dyn DataDriver>,
        upkeep: Arc<dyn DataDriver>,
    }

    #[async_trait]
    impl DataDriver for Kept {
        fn heads(&self) -> &dyn QueueHeadController {
            self.data.heads()
        }
        fn messages(&self) -> &dyn MessageController {
            self.data.messages()
        }
        fn claims(&self) -> &dyn ClaimController {
            self.data.claims()
        }
        fn subscriptions(&self) -> &dyn SubscriptionController {
            self.data.subscriptions()
        }
        fn outbox(&self) -> &dyn OutboxController {
            self.data.outbox()
        }
        fn info(&self) -> DriverInfo {
            self.data.info()
        }
        fn capabilities(&self) -> Capabilities {
            self.data.capabilities()
        }
        async fn health(&self) -> Result<Health> {
            self.data.health().await
        }
        async fn volume(&self) -> Result<StoreVolume> {
            self.data.volume().await
        }
        async fn sweep(&self) -> Result<GcReport> {
            self.upkeep.sweep().await
        }
        async fn gc(&self, options: GcOptions) -> Result<GcReport> {
            self.upkeep.gc(options).await
        }
        async fn close(&self) {
            self.data.close().await;
        }
    }

    /// Seeds by one of which the trial must catch a bug: who comes first decides too, whether it shows.
    const RANDOM_SEEDS: usize = 16;

    async fn outcomes(bug: Bug, ids: &[&str], seed: Option<u64>) -> Vec<(String, Outcome)> {
        let (inner, opened) = (ReferenceHarness::new(), AtomicUsize::new(0));
        let suite = Suite::new(Arc::new(Planted { inner, bug, opened }));
        let suite = match seed {
            Some(seed) => suite.seed(seed),
            None => suite,
        };
        let report = suite.only(ids.iter().copied()).run().await.expect("the reference opens");
        let outcomes: Vec<_> = report.entries.into_iter().map(|e| (e.id, e.outcome)).collect();
        assert_eq!(outcomes.len(), ids.len(), "an id of the list is none of the suite's");
        outcomes
    }

    /// The case catches the bug, the trial does by one of some seeds, and neither blames who has none.
    async fn assert_caught(bug: Bug, case: &str) {
        for (id, outcome) in outcomes(bug, &[case], None).await {
            assert!(matches!(outcome, Outcome::Failed { .. }), "{id} missed {bug:?}: {outcome:?}");
        }
        let seeds: [u64; RANDOM_SEEDS] = rand::random();
        let mut caught = false;
        for seed in seeds {
            let tried = outcomes(bug, &[TRIAL], Some(seed)).await;
            caught = tried.iter().all(|(_, outcome)| matches!(outcome, Outcome::Failed { .. }));
            if caught {
                break;
            }
        }
        assert!(caught, "{TRIAL} missed {bug:?} by each of the seeds {seeds:?}");
        for (id, outcome) in outcomes(Bug::None, &[TRIAL, case], None).await {
            assert!(matches!(outcome, Outcome::Passed { .. }), "{id}: {outcome:?}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_node_that_asks_a_clock_of_its_own_is_caught() {
        assert_caught(Bug::OwnClock, "clock.ahead.ends_leases_by_its_lead").await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn background_work_by_a_clock_that_jumped_is_caught() {
        assert_caught(Bug::OwnClockForUpkeep, "clock.ahead.ends_lives_by_its_lead").await;
    }
}
