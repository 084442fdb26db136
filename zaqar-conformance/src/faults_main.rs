//! [`Faults`] makes a test binary that breaks backends: `tests/faults.rs` of a driver.
//!
//! Beside [`main!`](crate::main), because these trials must not touch a backend that others use:
//! each starts one for itself.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use zaqar_core::Capabilities;

use crate::fault::backend::{failover, full_disk, handover, trials};
use crate::fault::flush::{self, Traced, Writer};
use crate::harness::{Availability, CHILD_HARNESS_VARIABLE, Harness, Subject, child_namespace};
use crate::main_macro::{Binary, Conclusions, absent, runtime};
use crate::report::Outcome;
use crate::suite::{self, Budget, SuiteTrial, TrialRun};

/// Starts a backend, and makes the harness over it.
type Make = dyn Fn() -> anyhow::Result<Availability> + Send + Sync;

/// A test binary (`harness = false`) that runs the backend ring.
///
/// ```text
/// zaqar_conformance::backend_control!(Private, zaqar_testbed);
///
/// fn main() -> ExitCode {
///     Faults::new(zaqar_conformance::binary!()).on("redis", redis).run()
/// }
/// ```
pub struct Faults {
    binary: Binary,
    backends: Vec<Endured>,
    planted: Vec<Planted>,
}

/// A backend that must endure the trials of a list.
struct Endured {
    name: &'static str,
    trials: Vec<SuiteTrial>,
    make: Arc<Make>,
}

/// A backend that must be found out.
struct Planted {
    name: &'static str,
    trial: SuiteTrial,
    findings: &'static [&'static str],
    make: Arc<Make>,
}

/// What is known of a backend for its report.
type Known = Mutex<Option<(Subject, Capabilities)>>;

impl Faults {
    /// A binary without trials.
    #[must_use]
    pub fn new(binary: Binary) -> Self {
        Self { binary, backends: Vec::new(), planted: Vec::new() }
    }

    /// Adds the ring's trials on backends that `make` starts, one for each trial.
    #[must_use]
    pub fn on<M>(mut self, name: &'static str, make: M) -> Self
    where
        M: Fn() -> anyhow::Result<Availability> + Send + Sync + 'static,
    {
        self.backends.push(Endured { name, trials: trials(), make: Arc::new(make) });
        self
    }

    /// Adds the trial that has another server take over, on backends of several servers that `make`
    /// starts.
    #[must_use]
    pub fn fails_over<M>(mut self, name: &'static str, make: M) -> Self
    where
        M: Fn() -> anyhow::Result<Availability> + Send + Sync + 'static,
    {
        self.backends.push(Endured { name, trials: vec![failover()], make: Arc::new(make) });
        self
    }

    /// Adds the trials that have another server take over, from one that is killed and from one that
    /// steps down, on backends of several servers that `make` starts.
    #[must_use]
    pub fn changes_places<M>(mut self, name: &'static str, make: M) -> Self
    where
        M: Fn() -> anyhow::Result<Availability> + Send + Sync + 'static,
    {
        let trials = vec![failover(), handover()];
        self.backends.push(Endured { name, trials, make: Arc::new(make) });
        self
    }

    /// Adds the trial that leaves no room, on backends that `make` starts on disks of their own.
    #[must_use]
    pub fn fills_up<M>(mut self, name: &'static str, make: M) -> Self
    where
        M: Fn() -> anyhow::Result<Availability> + Send + Sync + 'static,
    {
        self.backends.push(Endured { name, trials: vec![full_disk()], make: Arc::new(make) });
        self
    }

    /// Adds to the backend that was added last a trace of its system calls: whether it flushes before
    /// it acknowledges. Its log is in files that have `log` in their paths.
    #[must_use]
    pub fn logs_to(mut self, log: &'static str) -> Self {
        if let Some(backend) = self.backends.last_mut() {
            backend.trials.push(flush_of(backend.name, log));
        }
        self
    }

    /// Adds a test that such a trace finds the backend out that `make` starts, which does not flush
    /// `log` before it acknowledges.
    #[must_use]
    pub fn catches_unflushed<M>(mut self, name: &'static str, log: &'static str, make: M) -> Self
    where
        M: Fn() -> anyhow::Result<Availability> + Send + Sync + 'static,
    {
        let (trial, findings) = (flush_of(name, log), &["unflushed", "unwritten"]);
        self.planted.push(Planted { name, trial, findings, make: Arc::new(make) });
        self
    }

    /// Adds a test that the ring's `trial` comes to one of these `findings` (`"lost"`; a lost delete
    /// is `"resurrected"`) on the unsafe backend that `make` starts: a ring that finds nothing
    /// anywhere shows nothing.
    #[must_use]
    pub fn catches<M>(
        mut self,
        name: &'static str,
        trial: fn() -> SuiteTrial,
        findings: &'static [&'static str],
        make: M,
    ) -> Self
    where
        M: Fn() -> anyhow::Result<Availability> + Send + Sync + 'static,
    {
        let trial = trial();
        self.planted.push(Planted { name, trial, findings, make: Arc::new(make) });
        self
    }

    /// Runs what the command line asks for.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let name = self.binary.test;
        match self.try_run() {
            Ok(code) => code,
            Err(error) => {
                eprintln!("{name}: {error:#}");
                ExitCode::FAILURE
            }
        }
    }

    fn try_run(self) -> anyhow::Result<ExitCode> {
        if let Some(namespace) = child_namespace() {
            let harness = self.harness(&std::env::var(CHILD_HARNESS_VARIABLE)?)?;
            runtime()?.block_on(crate::serve_child(harness, &namespace))?;
            return Ok(ExitCode::SUCCESS);
        }
        let budget = Budget::from_env()?;
        let seed = suite::seed_from_env(budget)?;
        let arguments = Arguments::from_args();
        let (mut tests, mut shown) = (Vec::new(), Vec::new());
        for Endured { name, trials, make } in self.backends {
            let backend = Arc::new(UnderFire {
                total: trials.len(),
                conclusions: Conclusions::new(self.binary, seed, budget),
                make,
                known: Known::default(),
            });
            for (place, trial) in trials.into_iter().enumerate() {
                let (backend, name) = (Arc::clone(&backend), format!("{name}::{}", trial.name));
                let listed = name.clone();
                let test = move || backend.endure(place, &name, trial);
                tests.push(Trial::ignorable_test(listed, test));
            }
            shown.push(backend);
        }
        for planted in self.planted {
            let name = format!("planted::{}::{}", planted.trial.name, planted.name);
            tests.push(Trial::ignorable_test(name, move || planted.find(seed, budget)));
        }
        let conclusion = libtest_mimic::run(&arguments, tests);
        for backend in shown {
            backend.write_report()?;
        }
        Ok(conclusion.exit_code())
    }

    /// Starts the backend of that name, to be served to the parent process.
    fn harness(&self, name: &str) -> anyhow::Result<Arc<dyn Harness>> {
        let endured = self.backends.iter().map(|backend| (backend.name, &backend.make));
        let planted = self.planted.iter().map(|backend| (backend.name, &backend.make));
        let found = endured.chain(planted).find(|(found, _)| *found == name);
        let (_, make) = found.ok_or_else(|| anyhow::anyhow!("there is no backend {name}"))?;
        match make()? {
            Availability::Ready(harness) => Ok(harness),
            Availability::Absent { backend, .. } => anyhow::bail!("there is no {backend}"),
        }
    }
}

/// The trace of the server that a child process of this binary starts.
fn flush_of(harness: &'static str, log: &'static str) -> SuiteTrial {
    flush::trial(Traced { harness, log, writer: Writer::Server })
}

/// One kind of backend, and what came of its trials.
struct UnderFire {
    /// How many trials there are.
    total: usize,
    conclusions: Conclusions,
    make: Arc<Make>,
    known: Known,
}

impl UnderFire {
    fn endure(&self, place: usize, name: &str, trial: SuiteTrial) -> Result<Completion, Failed> {
        let harness = match (self.make)()? {
            Availability::Ready(harness) => harness,
            Availability::Absent { backend, variable, hint } => {
                return absent(backend, variable, hint);
            }
        };
        let runtime = runtime()?;
        // Asked before the backend is broken: a driver that does not survive it answers nothing.
        let declared = runtime.block_on(suite::capabilities(&harness)).map_err(|f| f.evidence)?;
        let subject = harness.subject();
        let known = Some((subject.clone(), declared));
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
        let Conclusions { seed, budget, .. } = self.conclusions;
        let run = TrialRun { harness, seed, budget };
        let entry = runtime.block_on(suite::entry_of_trial(trial, run));
        // Not waited for: a task that the suite gave up on may never yield.
        runtime.shutdown_background();
        self.conclusions.conclude(place, name, &subject, entry)
    }

    fn write_report(&self) -> anyhow::Result<()> {
        let Some(entries) = self.conclusions.whole(self.total) else { return Ok(()) };
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((subject, declared)) = known else { return Ok(()) };
        let subject = Subject { mode: format!("{}-faults", subject.mode), ..subject };
        let report = self.conclusions.report(subject, declared, entries);
        let folder = std::env::var_os("ZAQAR_CONFORMANCE_REPORT").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| self.conclusions.binary.reports());
        println!("report: {}", report.write(&folder)?.display());
        Ok(())
    }
}

impl Planted {
    fn find(self, seed: u64, budget: Budget) -> Result<Completion, Failed> {
        let harness: Arc<dyn Harness> = match (self.make)()? {
            Availability::Ready(harness) => harness,
            Availability::Absent { backend, variable, hint } => {
                return absent(backend, variable, hint);
            }
        };
        let runtime = runtime()?;
        let run = TrialRun { harness, seed, budget };
        let entry = runtime.block_on(suite::entry_of_trial(self.trial, run));
        runtime.shutdown_background();
        // As the ledger's verdict has it: what a driver says of itself may use the same words.
        let finds = |evidence: &str| {
            self.findings.iter().any(|finding| evidence.contains(&format!("; {finding} ")))
        };
        match &entry.outcome {
            Outcome::Failed { evidence } if finds(evidence) => Ok(Completion::Completed),
            other => Err(Failed::from(format!("the bug was missed: {other:?}"))),
        }
    }
}
