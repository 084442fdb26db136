//! The model: random histories, carried out by the driver under test and by the reference driver
//! side by side; every answer must be the same. A history that differs is shrunk to the shortest
//! one that still does.

mod names;
mod op;
mod side;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use tokio::runtime::Handle;
use zaqar_core::{Capability, ManualClock};

use crate::case::Failure;
use crate::case::Guarantee::{G2, G3, G4, G5, G6, G7, G8, G9, G10, G11, G12};
use crate::context::Context;
use crate::counts::Counts;
use crate::harness::{Drivers, Harness as _, Namespace};
use crate::reference::ReferenceHarness;
use crate::suite::{Budget, SuiteTrial, TrialEnd, TrialResult, TrialRun};
use op::Op;
use side::Side;

/// Longest history.
const STEPS_MAX: usize = 40;
/// How long shrinking may take, in milliseconds.
const SHRINK_MS_MAX: u32 = 60_000;

/// The trials that this module adds to the suite.
pub(crate) fn trials() -> Vec<SuiteTrial> {
    vec![
        SuiteTrial::new(
            "model.driver_agrees_with_the_reference",
            &[G2, G3, G4, G5, G6, G7, G8, G9, G10, G11, G12],
            driver_agrees_with_the_reference,
        )
        .needs(Capability::VirtualTime),
    ]
}

/// The driver under test, and how to make a reference for each history.
struct Comparison {
    subject: Drivers,
    clock: Arc<ManualClock>,
    prefix: String,
    /// What the subject does not declare, the reference must refuse as well.
    undeclared: Vec<Capability>,
    histories: AtomicU64,
    steps: AtomicU64,
}

async fn driver_agrees_with_the_reference(run: TrialRun) -> TrialResult {
    let cases = match run.budget {
        Budget::Smoke => 64,
        Budget::Standard => 512,
        Budget::Soak => 10_000,
    };
    let context = run.context().await?;
    let comparison = Arc::new(Comparison::new(&context));
    let (handle, seed) = (Handle::current(), run.seed);
    let shared = Arc::clone(&comparison);
    // The runner of the histories is not asynchronous, so it has a thread of its own.
    let ran = tokio::task::spawn_blocking(move || shared.run(&handle, seed, cases)).await;
    context.wipe().await?;
    ran.map_err(|error| Failure::broken(format!("the comparison died: {error}")))??;
    let steps = comparison.steps.load(Ordering::Relaxed);
    if steps == 0 {
        return Err(Failure::inconclusive("no step was carried out"));
    }
    let counts = Counts::none().saw("histories_compared", cases).saw("steps_compared", steps);
    Ok(TrialEnd::Passed { counts })
}

impl Comparison {
    fn new(context: &Context) -> Self {
        let optional = [
            Capability::Claims,
            Capability::Subscriptions,
            Capability::Delay,
            Capability::DeadLetter,
        ];
        let undeclared = optional.into_iter().filter(|capability| !context.has(*capability));
        Self {
            subject: context.drivers(),
            clock: Arc::clone(&context.clock),
            prefix: context.namespace().to_string(),
            undeclared: undeclared.collect(),
            histories: AtomicU64::new(0),
            steps: AtomicU64::new(0),
        }
    }

    /// Carries out `cases` histories; the shortest one that differs is the failure.
    fn run(&self, handle: &Handle, seed: u64, cases: u32) -> Result<(), Failure> {
        let config = Config {
            cases,
            failure_persistence: None,
            max_shrink_time: SHRINK_MS_MAX,
            ..Config::default()
        };
        let mut bytes = [0; 32];
        for (byte, of) in bytes.iter_mut().zip(seed.to_le_bytes().iter().cycle()) {
            *byte = *of;
        }
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let mut runner = TestRunner::new_with_rng(config, rng);
        let outcome = runner.run(&op::histories(STEPS_MAX), |ops| {
            handle.block_on(self.compare(&ops)).map_err(TestCaseError::fail)
        });
        match outcome {
            Ok(()) => Ok(()),
            Err(TestError::Fail(difference, _)) => Err(Failure::broken(difference)),
            Err(TestError::Abort(reason)) => Err(Failure::inconclusive(reason)),
        }
    }

    /// Carries one history out on both; the error is its transcript up to the difference.
    async fn compare(&self, ops: &[Op]) -> Result<(), String> {
        let open = |error| format!("opening: {error}");
        let mut harness = ReferenceHarness::new();
        for capability in &self.undeclared {
            harness = harness.without(*capability);
        }
        let clock = Arc::clone(&self.clock);
        let reference = harness.open(&Namespace::random(), clock).await.map_err(open)?;
        let nth = self.histories.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{}-h{nth}", self.prefix);
        let side = |drivers| Side::new(drivers, Arc::clone(&self.clock), &prefix);
        let queues = |error| format!("making the queues: {error:?}");
        let mut subject = side(self.subject.clone()).await.map_err(queues)?;
        let mut reference = side(reference).await.map_err(queues)?;
        let mut transcript = String::from("driver and reference differ after\n");
        for op in ops {
            self.pass_time(op);
            let found = subject.apply(op).await;
            let wanted = reference.apply(op).await;
            if found.is_some() {
                self.steps.fetch_add(1, Ordering::Relaxed);
            }
            differing(&transcript, op, "", &found, &wanted)?;
            let (seen, there) = (subject.look().await, reference.look().await);
            differing(&transcript, op, " leaves", &seen, &there)?;
            if let Some(said) = found {
                transcript.push_str(&format!("  {op:?} -> {said}\n"));
            } else if matches!(op, Op::Advance { .. }) {
                transcript.push_str(&format!("  {op:?}\n"));
            }
        }
        Ok(())
    }

    fn pass_time(&self, op: &Op) {
        match op {
            Op::Advance { ms } => self.clock.advance(Duration::from_millis(*ms)),
            // Statistics may be a second old.
            Op::Stats { .. } => self.clock.advance(Duration::from_millis(1_001)),
            _ => {}
        }
    }
}

/// An error with the history so far unless both drivers said the same.
fn differing(
    transcript: &str,
    op: &Op,
    what: &str,
    found: &Option<String>,
    wanted: &Option<String>,
) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    let words = |said: &Option<String>| said.clone().unwrap_or_else(|| "has nothing for it".into());
    let (found, wanted) = (words(found), words(wanted));
    Err(format!("{transcript}  {op:?}{what}\n    driver:    {found}\n    reference: {wanted}"))
}
