//! A driver's `tests/conformance.rs` in one line: [`main!`](crate::main).
//!
//! The binary speaks the protocol of the standard test harness, so `cargo test` and
//! `cargo nextest` list, filter and run each case and trial as a test of its own. It also is the
//! child process of the process ring, and, where `ZAQAR_CONFORMANCE_REPORT` names a folder, it runs
//! the suite in one go and writes the report there.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use tokio::runtime::Runtime;
use zaqar_core::Capabilities;

use crate::case::{Case, Guarantee, Level};
use crate::harness::{Availability, Namespace, Subject, child_namespace};
use crate::progress::Progress;
use crate::regressions::Regressions;
use crate::report::{Entry, Outcome, Report, exhibit_name};
use crate::suite::{self, Budget, Suite, SuiteTrial, TrialRun};

/// Makes a test binary (`harness = false`) of a function that returns a
/// [`Harness`](crate::Harness) or an [`Availability`](crate::Availability).
///
/// ```text
/// //! The conformance suite over this driver.
/// zaqar_conformance::main!(MyHarness::new);
/// ```
#[macro_export]
macro_rules! main {
    ($harness:expr) => {
        fn main() -> ::std::process::ExitCode {
            let make = || $crate::Availability::from(($harness)());
            $crate::main_macro::run($crate::binary!(), make)
        }
    };
}

/// The [`Binary`] that this is written in.
#[macro_export]
macro_rules! binary {
    () => {
        $crate::main_macro::Binary {
            package: env!("CARGO_PKG_NAME"),
            test: env!("CARGO_CRATE_NAME"),
            scratch: option_env!("CARGO_TARGET_TMPDIR"),
            licence: env!("CARGO_PKG_LICENSE"),
            manifest: env!("CARGO_MANIFEST_DIR"),
        }
    };
}

/// The test binary that [`main!`](crate::main) makes.
#[derive(Debug, Clone, Copy)]
pub struct Binary {
    /// The driver's crate.
    pub package: &'static str,
    /// The test target.
    pub test: &'static str,
    /// A folder within the build folder.
    pub scratch: Option<&'static str>,
    /// The licence of the driver's crate; may be empty.
    pub licence: &'static str,
    /// The folder of the driver's crate.
    pub manifest: &'static str,
}

impl Binary {
    fn reproduce(&self, id: Option<&str>, seed: u64, budget: Budget) -> String {
        let Self { package, test, .. } = self;
        let filter = id.map(|id| format!(" -- --exact {id}")).unwrap_or_default();
        format!(
            "ZAQAR_CONFORMANCE_SEED={seed} ZAQAR_CONFORMANCE_BUDGET={} \
             cargo test -p {package} --test {test}{filter}",
            budget.word()
        )
    }

    /// `tests/regressions.txt` of the driver's crate.
    fn regressions(&self) -> Regressions {
        Regressions::new(Path::new(self.manifest).join("tests/regressions.txt"), self.test)
    }

    /// `target/conformance`, wherever the build folder is.
    pub(crate) fn reports(&self) -> PathBuf {
        let scratch = Path::new(self.scratch.unwrap_or("target/tmp"));
        scratch.parent().unwrap_or(scratch).join("conformance")
    }
}

/// Runs the binary that [`main!`](crate::main) makes.
pub fn run(binary: Binary, make: impl FnOnce() -> Availability + Send + 'static) -> ExitCode {
    match try_run(binary, make) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}: {error:#}", binary.test);
            ExitCode::FAILURE
        }
    }
}

fn try_run(
    binary: Binary,
    make: impl FnOnce() -> Availability + Send + 'static,
) -> anyhow::Result<ExitCode> {
    if let Some(namespace) = child_namespace() {
        return serve_as_child(make(), &namespace);
    }
    let budget = Budget::from_env()?;
    let seed = suite::seed_from_env(budget)?;
    if let Ok(folder) = std::env::var("ZAQAR_CONFORMANCE_REPORT") {
        return report_into(binary, make(), Path::new(&folder), seed, budget);
    }
    let arguments = Arguments::from_args();
    let make: Box<dyn FnOnce() -> Availability + Send> = Box::new(make);
    let conclusions = Conclusions::new(binary, seed, budget);
    let shared = Arc::new(Shared { conclusions, harness: LazyLock::new(make) });
    let trials = listed(&shared);
    let total = trials.len();
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared.write_report_of(total)?;
    Ok(conclusion.exit_code())
}

fn serve_as_child(availability: Availability, ns: &Namespace) -> anyhow::Result<ExitCode> {
    let Availability::Ready(harness) = availability else {
        anyhow::bail!("the child process has no backend");
    };
    runtime()?.block_on(crate::serve_child(harness, ns))?;
    Ok(ExitCode::SUCCESS)
}

fn report_into(
    binary: Binary,
    availability: Availability,
    folder: &Path,
    seed: u64,
    budget: Budget,
) -> anyhow::Result<ExitCode> {
    let Availability::Ready(harness) = availability else {
        anyhow::bail!("there is no backend to report on");
    };
    let reproduce = binary.reproduce(None, seed, budget);
    let progress = Arc::new(Mutex::new(Progress::new()));
    let gathered = Arc::clone(&progress);
    let suite = Suite::new(harness)
        .seed(seed)
        .budget(budget)
        .reproduce(reproduce)
        .regressions(binary.regressions())
        .tell(move |entry| {
            let mut progress = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            progress.add(entry).iter().for_each(|line| eprintln!("{line}"));
        });
    let report = runtime()?.block_on(suite.run())?.licensed(binary.licence);
    let last = std::mem::take(&mut *progress.lock().unwrap_or_else(PoisonError::into_inner));
    last.line().iter().for_each(|line| eprintln!("{line}"));
    println!("{}", report.text());
    println!("{}", report.write(folder)?.display());
    Ok(ExitCode::from(report.exit_code()))
}

/// What came of the trials of one process.
pub(crate) struct Conclusions {
    pub(crate) binary: Binary,
    pub(crate) seed: u64,
    pub(crate) budget: Budget,
    /// With their places in the listing.
    entries: Mutex<Vec<(usize, Entry)>>,
}

impl Conclusions {
    pub(crate) fn new(binary: Binary, seed: u64, budget: Budget) -> Self {
        Self { binary, seed, budget, entries: Mutex::new(Vec::new()) }
    }

    /// Turns what came of one case or trial on `subject` into what the test harness understands.
    pub(crate) fn conclude(
        &self,
        place: usize,
        name: &str,
        subject: &Subject,
        entry: Entry,
    ) -> Result<Completion, Failed> {
        let concluded = match &entry.outcome {
            Outcome::Passed { .. } | Outcome::RefusalVerified { .. } => Ok(Completion::Completed),
            Outcome::Undeclared { capability } => {
                Ok(Completion::ignored_with(format!("{capability:?} is not declared")))
            }
            Outcome::Skipped { by, reason } => {
                Ok(Completion::ignored_with(format!("{by}: {reason}")))
            }
            Outcome::Failed { evidence } if entry.level == Level::Provisional => {
                Ok(Completion::ignored_with(format!("provisional: {evidence}")))
            }
            Outcome::Failed { evidence } => {
                let files = self.exhibited(subject, &entry);
                Err(self.failed(name, &entry, &format!("{evidence}{files}")))
            }
            Outcome::Inconclusive { reason } => {
                Err(self.failed(name, &entry, &format!("inconclusive: {reason}")))
            }
        };
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push((place, entry));
        concluded
    }

    /// Writes what shows the failure to people; names the files, a line each.
    fn exhibited(&self, subject: &Subject, entry: &Entry) -> String {
        let Some(exhibit) = &entry.exhibit else { return String::new() };
        let name = exhibit_name(subject, &entry.id, entry.seed.unwrap_or(self.seed));
        match exhibit.write(&self.binary.reports(), &name) {
            Ok(files) => files.iter().map(|file| format!("\nsee: {}", file.display())).collect(),
            // The failure is the driver's, whatever becomes of the files.
            Err(error) => format!("\nits files could not be written: {error:#}"),
        }
    }

    fn failed(&self, name: &str, entry: &Entry, evidence: &str) -> Failed {
        let guarantees: Vec<String> = entry.guarantees.iter().map(Guarantee::to_string).collect();
        let seed = entry.seed.unwrap_or(self.seed);
        let reproduce = self.binary.reproduce(Some(name), seed, self.budget);
        let guarantees = guarantees.join(" ");
        Failed::from(format!("{evidence}\nguarantees: {guarantees}\nrun again: {reproduce}"))
    }

    /// The entries in order, if this process ran all `total`: a part would replace the whole.
    pub(crate) fn whole(&self, total: usize) -> Option<Vec<Entry>> {
        let mut entries =
            std::mem::take(&mut *self.entries.lock().unwrap_or_else(PoisonError::into_inner));
        entries.sort_by_key(|(place, _)| *place);
        let whole = entries.len() == total && total > 0;
        whole.then(|| entries.into_iter().map(|(_, entry)| entry).collect())
    }

    /// The report that says so of `subject`.
    pub(crate) fn report(
        &self,
        subject: Subject,
        declared: Capabilities,
        entries: Vec<Entry>,
    ) -> Report {
        let reproduce = self.binary.reproduce(None, self.seed, self.budget);
        Report::new(subject, declared, self.seed, self.budget, entries, reproduce)
            .licensed(self.binary.licence)
    }
}

/// What the trials of one process share.
struct Shared {
    conclusions: Conclusions,
    /// Made by the first trial that runs: a mere listing must not touch a backend.
    harness: LazyLock<Availability, Box<dyn FnOnce() -> Availability + Send>>,
}

impl Shared {
    fn write_report_of(&self, total: usize) -> anyhow::Result<()> {
        let Some(entries) = self.conclusions.whole(total) else { return Ok(()) };
        let Availability::Ready(harness) = &*self.harness else { return Ok(()) };
        let declared = runtime()?.block_on(suite::capabilities(harness))?;
        let report = self.conclusions.report(harness.subject(), declared, entries);
        let folder = self.conclusions.binary.reports();
        report.summary().iter().for_each(|line| println!("{line}"));
        println!("report: {}", report.write(&folder)?.display());
        Ok(())
    }
}

/// Every case as `case::<id>` and every trial as `trial::<name>`.
fn listed(shared: &Arc<Shared>) -> Vec<Trial> {
    let cases = suite::cases().into_iter().map(Listed::Case);
    let trials = suite::trials().into_iter().map(Listed::Trial);
    let listed = cases.chain(trials).enumerate().map(|(place, item)| {
        let shared = Arc::clone(shared);
        let name = item.name();
        Trial::ignorable_test(name.clone(), move || {
            let harness = match &*shared.harness {
                Availability::Ready(harness) => Arc::clone(harness),
                Availability::Absent { backend, variable, hint } => {
                    return absent(backend, variable, hint);
                }
            };
            let Conclusions { seed, budget, .. } = shared.conclusions;
            let subject = harness.subject();
            let regressions = shared.conclusions.binary.regressions();
            let entry = item.run(TrialRun { harness, seed, budget }, &regressions)?;
            shared.conclusions.conclude(place, &name, &subject, entry)
        })
    });
    listed.collect()
}

/// What one listed test runs.
enum Listed {
    Case(&'static Case),
    Trial(SuiteTrial),
}

impl Listed {
    fn name(&self) -> String {
        match self {
            Self::Case(case) => format!("case::{}", case.id),
            Self::Trial(trial) => format!("trial::{}", trial.name),
        }
    }

    fn run(self, run: TrialRun, regressions: &Regressions) -> Result<Entry, Failed> {
        let runtime = runtime()?;
        let entry = match self {
            Self::Case(case) => runtime.block_on(suite::entry_of_case(case, run)),
            Self::Trial(trial) => {
                runtime.block_on(crate::regressions::entry_with_past(trial, run, Some(regressions)))
            }
        };
        // Not waited for: a task that the suite gave up on may never yield.
        runtime.shutdown_background();
        Ok(entry)
    }
}

/// No backend: skipped for all to see, unless `ZAQAR_CONFORMANCE_REQUIRE` asks for it.
pub(crate) fn absent(backend: &str, variable: &str, hint: &str) -> Result<Completion, Failed> {
    let text = format!("no {backend}: set {variable} to {hint}");
    let required = std::env::var("ZAQAR_CONFORMANCE_REQUIRE").unwrap_or_default();
    if required.split(',').any(|required| required.trim() == backend) {
        return Err(Failed::from(text));
    }
    Ok(Completion::ignored_with(text))
}

/// A runtime for one test: two workers, so that concurrent steps do run at the same time.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
