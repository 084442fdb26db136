//! [`Flushing`] makes a test binary that traces stores: `tests/flushed.rs` of a driver that keeps its
//! data itself.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use super::{Traced, Writer, trial};
use crate::harness::{Availability, CHILD_HARNESS_VARIABLE, Harness, child_namespace};
use crate::main_macro::{Binary, Conclusions, runtime};
use crate::report::Outcome;
use crate::suite::{self, Budget, TrialRun};

/// Makes the harness of a store.
type Make = dyn Fn() -> Availability + Send + Sync;

/// A test binary (`harness = false`) that looks whether stores flush before they acknowledge. It is
/// its own child process, like that of [`main!`](crate::main), under strace.
///
/// ```text
/// fn main() -> ExitCode {
///     Flushing::new(zaqar_conformance::binary!()).on("sqlite", "-wal", SqliteHarness::new).run()
/// }
/// ```
pub struct Flushing {
    binary: Binary,
    stores: Vec<Store>,
}

#[derive(Clone)]
struct Store {
    name: &'static str,
    log: &'static str,
    /// Whether it must be found out.
    planted: bool,
    make: Arc<Make>,
}

impl Flushing {
    /// A binary without stores.
    #[must_use]
    pub fn new(binary: Binary) -> Self {
        Self { binary, stores: Vec::new() }
    }

    /// Adds a store that must flush. Its log is in files that have their namespace and `log` in their
    /// paths.
    #[must_use]
    pub fn on<A, M>(self, name: &'static str, log: &'static str, make: M) -> Self
    where
        A: Into<Availability>,
        M: Fn() -> A + Send + Sync + 'static,
    {
        self.with(Store { name, log, planted: false, make: Arc::new(move || make().into()) })
    }

    /// Adds a store that is known not to flush, and must be found out.
    #[must_use]
    pub fn catches<A, M>(self, name: &'static str, log: &'static str, make: M) -> Self
    where
        A: Into<Availability>,
        M: Fn() -> A + Send + Sync + 'static,
    {
        self.with(Store { name, log, planted: true, make: Arc::new(move || make().into()) })
    }

    fn with(mut self, store: Store) -> Self {
        self.stores.push(store);
        self
    }

    /// Runs what the command line asks for, or serves as the child process.
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
            let name = std::env::var(CHILD_HARNESS_VARIABLE)?;
            let store = self.stores.iter().find(|store| store.name == name);
            let store = store.ok_or_else(|| anyhow::anyhow!("there is no store {name}"))?;
            runtime()?.block_on(crate::serve_child(store.harness()?, &namespace))?;
            return Ok(ExitCode::SUCCESS);
        }
        let budget = Budget::from_env()?;
        let seed = suite::seed_from_env(budget)?;
        let arguments = Arguments::from_args();
        let conclusions = Arc::new(Conclusions::new(self.binary, seed, budget));
        let test = |(place, store): (usize, Store)| {
            let conclusions = Arc::clone(&conclusions);
            let planted = if store.planted { "planted::" } else { "" };
            let name = format!("{planted}{}::{}", store.name, super::FLUSHED);
            Trial::ignorable_test(name.clone(), move || store.test(place, &name, &conclusions))
        };
        let tests = self.stores.into_iter().enumerate().map(test).collect();
        Ok(libtest_mimic::run(&arguments, tests).exit_code())
    }
}

impl Store {
    fn harness(&self) -> anyhow::Result<Arc<dyn Harness>> {
        match (self.make)() {
            Availability::Ready(harness) => Ok(harness),
            Availability::Absent { backend, .. } => anyhow::bail!("there is no {backend}"),
        }
    }

    fn test(
        &self,
        place: usize,
        name: &str,
        conclusions: &Conclusions,
    ) -> Result<Completion, Failed> {
        let harness = self.harness()?;
        let subject = harness.subject();
        let run = TrialRun { harness, seed: conclusions.seed, budget: conclusions.budget };
        let traced = Traced { harness: self.name, log: self.log, writer: Writer::Store };
        let trial = trial(traced);
        let entry = runtime()?.block_on(suite::entry_of_trial(trial, run));
        if !self.planted {
            return conclusions.conclude(place, name, &subject, entry);
        }
        match &entry.outcome {
            Outcome::Failed { evidence } if evidence.contains("; unflushed ") => {
                Ok(Completion::Completed)
            }
            other => Err(Failed::from(format!("the bug was missed: {other:?}"))),
        }
    }
}
