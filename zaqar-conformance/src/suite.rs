//! Running the suite: cases and trials, each on a namespace of its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use zaqar_core::{Capabilities, Capability};

pub use crate::budget::Budget;
use crate::budget::SEED_DEFAULT;
pub(crate) use crate::budget::seed_from_env;
use crate::case::{Case, Failure, Guarantee, Level};
use crate::context::Context;
use crate::counts::Counts;
use crate::harness::Harness;
use crate::loss::explain::Exhibit;
use crate::regressions::{Regressions, entry_with_past};
use crate::report::{Entry, Outcome, Report};

/// How long a case may take: a hundred times what the slowest takes.
const CASE_TIME_MAX: Duration = Duration::from_secs(180);

/// What a trial is given.
#[derive(Clone)]
pub struct TrialRun {
    /// The driver's harness; the trial opens and wipes namespaces of its own.
    pub harness: Arc<dyn Harness>,
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How much to ask.
    pub budget: Budget,
}

impl TrialRun {
    /// Opens a fresh namespace.
    ///
    /// # Errors
    /// Whatever the harness met.
    pub async fn context(&self) -> Result<Context, Failure> {
        Context::open(Arc::clone(&self.harness), self.seed).await
    }
}

/// How a trial came to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialEnd {
    /// What it states was seen.
    Passed {
        /// What was counted on the way: what was done and seen, faults that struck.
        counts: Counts,
    },
    /// The harness does not offer what it needs.
    Skipped {
        /// What is missing.
        reason: String,
    },
}

/// What came of a trial.
pub type TrialResult = Result<TrialEnd, Failure>;

/// What a trial does.
pub type TrialFn = Box<dyn FnOnce(TrialRun) -> BoxFuture<'static, TrialResult> + Send>;

/// A test of the suite that is no case: a workload, a comparison with the model, a run of faults.
pub struct SuiteTrial {
    /// Its name: `loss.crash.sigkill`.
    pub name: String,
    /// The guarantees that it shows.
    pub guarantees: &'static [Guarantee],
    /// The capability that a driver must declare to be asked; `None`: every driver is.
    pub capability: Option<Capability>,
    /// What it does.
    pub run: TrialFn,
}

impl SuiteTrial {
    /// A trial that every driver is asked.
    pub fn new<F, R>(name: impl Into<String>, guarantees: &'static [Guarantee], run: F) -> Self
    where
        F: FnOnce(TrialRun) -> R + Send + 'static,
        R: Future<Output = TrialResult> + Send + 'static,
    {
        let run: TrialFn = Box::new(move |trial| run(trial).boxed());
        Self { name: name.into(), guarantees, capability: None, run }
    }

    /// Asks it only of drivers that declare `capability`.
    #[must_use]
    pub fn needs(mut self, capability: Capability) -> Self {
        self.capability = Some(capability);
        self
    }

    pub(crate) fn level(&self) -> Level {
        self.capability.map_or(Level::Core, Level::Extended)
    }
}

/// Every case but the refusals, which stand in for what a driver does not declare.
#[must_use]
pub fn cases() -> Vec<&'static Case> {
    let refusal = |case: &&Case| matches!(case.level, Level::Refusal(_));
    all_cases().filter(|case| !refusal(case)).collect()
}

/// Every case, refusals too.
pub fn all_cases() -> impl Iterator<Item = &'static Case> {
    crate::cases::groups().into_iter().flatten()
}

/// Every trial.
#[must_use]
pub fn trials() -> Vec<SuiteTrial> {
    let mut trials = crate::order::trials();
    trials.extend(crate::loss::trials());
    trials.extend(crate::fault::trials());
    trials.extend(crate::model::trials());
    trials
}

fn waived(harness: &Arc<dyn Harness>, id: &str) -> Option<Outcome> {
    let waiver = harness.waivers().into_iter().find(|waiver| waiver.case == id)?;
    Some(Outcome::Skipped { by: "waiver".into(), reason: waiver.reason })
}

fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    format!("a panic: {}", text.unwrap_or("without text"))
}

/// What came of a case or trial, and what it left behind.
pub(crate) struct Ended {
    outcome: Outcome,
    exhibit: Option<Box<Exhibit>>,
}

impl From<Outcome> for Ended {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, exhibit: None }
    }
}

impl From<Failure> for Ended {
    fn from(mut failure: Failure) -> Self {
        let exhibit = failure.exhibit.take();
        Self { outcome: outcome_of(failure), exhibit }
    }
}

fn outcome_of(failure: Failure) -> Outcome {
    if let Some(capability) = failure.lacks {
        Outcome::Undeclared { capability }
    } else if failure.inconclusive {
        Outcome::Inconclusive { reason: failure.evidence }
    } else {
        Outcome::Failed { evidence: failure.evidence }
    }
}

async fn execute(case: &Case, context: Context, passed: Outcome) -> Outcome {
    let ran = AssertUnwindSafe((case.run)(&context)).catch_unwind().await;
    let wiped = context.wipe().await;
    match (ran, wiped) {
        (Err(payload), _) => Outcome::Failed { evidence: panic_text(payload.as_ref()) },
        (Ok(Err(failure)), _) | (Ok(Ok(())), Err(failure)) => outcome_of(failure),
        (Ok(Ok(())), Ok(())) => passed,
    }
}

/// Runs one case on a namespace of its own, or the refusal that stands in for it.
async fn run_case(harness: &Arc<dyn Harness>, case: &Case, seed: u64) -> Outcome {
    if let Some(outcome) = waived(harness, case.id) {
        return outcome;
    }
    let context = match Context::open(Arc::clone(harness), seed).await {
        Ok(context) => context,
        Err(failure) => return outcome_of(failure),
    };
    let undeclared = match case.level {
        Level::Extended(capability) if !context.has(capability) => Some(capability),
        _ => None,
    };
    let Some(capability) = undeclared else {
        return execute(case, context, Outcome::Passed { counts: Counts::none() }).await;
    };
    let stands_in = |case: &&Case| case.level == Level::Refusal(capability);
    match all_cases().find(stands_in) {
        Some(refusal) => execute(refusal, context, Outcome::RefusalVerified { capability }).await,
        None => match context.wipe().await {
            Ok(()) => Outcome::Undeclared { capability },
            Err(failure) => outcome_of(failure),
        },
    }
}

/// Runs one trial.
async fn run_trial(trial: SuiteTrial, run: TrialRun) -> Ended {
    if let Some(outcome) = waived(&run.harness, &trial.name) {
        return outcome.into();
    }
    if let Some(capability) = trial.capability {
        match capabilities(&run.harness).await {
            Ok(declared) if declared.has(capability) => {}
            Ok(_) => return Outcome::Undeclared { capability }.into(),
            Err(failure) => return failure.into(),
        }
    }
    let outcome = match AssertUnwindSafe((trial.run)(run)).catch_unwind().await {
        Err(payload) => Outcome::Failed { evidence: panic_text(payload.as_ref()) },
        Ok(Err(failure)) => return failure.into(),
        Ok(Ok(TrialEnd::Passed { counts })) => Outcome::Passed { counts },
        Ok(Ok(TrialEnd::Skipped { reason })) => Outcome::Skipped { by: "harness".into(), reason },
    };
    outcome.into()
}

/// What the driver declares.
pub(crate) async fn capabilities(harness: &Arc<dyn Harness>) -> Result<Capabilities, Failure> {
    let context = Context::open(Arc::clone(harness), 0).await?;
    let declared = context.data.capabilities();
    context.wipe().await?;
    Ok(declared)
}

/// The suite as a library, for whoever wants the report rather than tests.
///
/// ```
/// use std::sync::Arc;
/// use zaqar_conformance::{Suite, reference::ReferenceHarness};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), zaqar_conformance::Failure> {
/// let suite = Suite::new(Arc::new(ReferenceHarness::new())).filter("claim.expiry");
/// let report = suite.run().await?;
/// assert_eq!(report.exit_code(), 0, "{}", report.text());
/// # Ok(())
/// # }
/// ```
pub struct Suite {
    harness: Arc<dyn Harness>,
    filters: Vec<String>,
    exact: Option<Vec<String>>,
    seed: u64,
    budget: Budget,
    reproduce: String,
    regressions: Option<Regressions>,
    tell: Tell,
}

/// What is told of each case and trial when it is through.
type Tell = Box<dyn FnMut(&Entry) + Send>;

impl Suite {
    /// Everything, in a smoke run.
    #[must_use]
    pub fn new(harness: Arc<dyn Harness>) -> Self {
        Self {
            harness,
            filters: Vec::new(),
            exact: None,
            seed: SEED_DEFAULT,
            budget: Budget::Smoke,
            reproduce: String::new(),
            regressions: None,
            tell: Box::new(|_| {}),
        }
    }

    /// Runs only what has `text` in its id; said twice, what has either.
    #[must_use]
    pub fn filter(mut self, text: impl Into<String>) -> Self {
        self.filters.push(text.into());
        self
    }

    /// Runs only the cases and trials of these ids.
    #[must_use]
    pub fn only<I: IntoIterator<Item = S>, S: Into<String>>(mut self, ids: I) -> Self {
        self.exact = Some(ids.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets how much the trials ask.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the command that the report names for running this again.
    #[must_use]
    pub fn reproduce(mut self, command: impl Into<String>) -> Self {
        self.reproduce = command.into();
        self
    }

    /// Tries what made trials fail before, and keeps what makes them fail.
    #[must_use]
    pub fn regressions(mut self, regressions: Regressions) -> Self {
        self.regressions = Some(regressions);
        self
    }

    /// Has `tell` called with each case and trial that is through, while the rest runs.
    #[must_use]
    pub fn tell(mut self, tell: impl FnMut(&Entry) + Send + 'static) -> Self {
        self.tell = Box::new(tell);
        self
    }

    fn wants(&self, id: &str) -> bool {
        let filtered = |filters: &[String]| {
            filters.is_empty() || filters.iter().any(|filter| id.contains(filter.as_str()))
        };
        match &self.exact {
            Some(ids) => ids.iter().any(|wanted| wanted == id),
            None => filtered(&self.filters),
        }
    }

    /// Runs what was asked for, one after the other, on the Tokio runtime of the caller.
    ///
    /// # Errors
    /// If the driver could not be opened to ask what it declares.
    pub async fn run(mut self) -> Result<Report, Failure> {
        let declared = capabilities(&self.harness).await?;
        let mut entries = Vec::new();
        let run = self.trial_run();
        let wanted: Vec<_> = cases().into_iter().filter(|case| self.wants(case.id)).collect();
        for case in wanted {
            let entry = entry_of_case(case, run.clone()).await;
            (self.tell)(&entry);
            entries.push(entry);
        }
        let wanted: Vec<_> = trials().into_iter().filter(|t| self.wants(&t.name)).collect();
        for trial in wanted {
            let entry = entry_with_past(trial, run.clone(), self.regressions.as_ref()).await;
            (self.tell)(&entry);
            entries.push(entry);
        }
        let Self { harness, seed, budget, reproduce, .. } = self;
        Ok(Report::new(harness.subject(), declared, seed, budget, entries, reproduce))
    }

    fn trial_run(&self) -> TrialRun {
        TrialRun { harness: Arc::clone(&self.harness), seed: self.seed, budget: self.budget }
    }
}

/// Runs one case; its line of the report.
pub(crate) async fn entry_of_case(case: &'static Case, run: TrialRun) -> Entry {
    let begun = Instant::now();
    let limit = CASE_TIME_MAX;
    let outcome =
        watched(limit, async move { run_case(&run.harness, case, run.seed).await.into() }).await;
    entry(case.id, case.level, case.guarantees, outcome, begun)
}

/// Runs one trial; its line of the report.
pub(crate) async fn entry_of_trial(trial: SuiteTrial, run: TrialRun) -> Entry {
    let begun = Instant::now();
    let (name, level, guarantees) = (trial.name.clone(), trial.level(), trial.guarantees);
    let outcome = watched(run.budget.trial_time_max(), run_trial(trial, run)).await;
    entry(&name, level, guarantees, outcome, begun)
}

/// Runs `work` as a task of its own and gives up on it after `limit`: a broken driver may keep a
/// loop that waits for an end from ever yielding. Giving up says nothing about the driver, which
/// may only be slow, so it is no failure, and no pass either.
async fn watched(limit: Duration, work: impl Future<Output = Ended> + Send + 'static) -> Ended {
    let task = tokio::spawn(work);
    let abort = task.abort_handle();
    match tokio::time::timeout(limit, task).await {
        Ok(Ok(ended)) => ended,
        Ok(Err(error)) => Outcome::Failed { evidence: format!("the task ended: {error}") }.into(),
        Err(_) => {
            abort.abort();
            let reason = format!("it did not end within {} s", limit.as_secs());
            Outcome::Inconclusive { reason }.into()
        }
    }
}

pub(crate) fn entry(
    id: &str,
    level: Level,
    guarantees: &[Guarantee],
    Ended { outcome, exhibit }: Ended,
    begun: Instant,
) -> Entry {
    let elapsed_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    Entry {
        id: id.into(),
        level,
        guarantees: guarantees.to_vec(),
        outcome,
        elapsed_ms,
        exhibit,
        seed: None,
    }
}

/// Which cases and trials show each guarantee, for the suite's own tests and documents.
#[must_use]
pub fn coverage() -> BTreeMap<Guarantee, Vec<String>> {
    let mut coverage: BTreeMap<Guarantee, Vec<String>> = BTreeMap::new();
    for case in all_cases() {
        for guarantee in case.guarantees {
            coverage.entry(*guarantee).or_default().push(case.id.into());
        }
    }
    for trial in trials() {
        for guarantee in trial.guarantees {
            coverage.entry(*guarantee).or_default().push(trial.name.clone());
        }
    }
    coverage
}
