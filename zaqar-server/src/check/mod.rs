//! `zaqar-server check`: proves the configured backend with the conformance suite.
//!
//! The suite works in stores of its own beside the configured one (`zaqar_engine::registry::scratch_uri`)
//! and removes each when it is done with it; what is in the configured store is never touched. Whatever
//! ends the command, also a signal, what it made is removed before it returns.

mod harness;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::runtime::Runtime;
use zaqar_conformance::progress::Progress;
use zaqar_conformance::{Budget, Report, Suite};
use zaqar_core::OpenError;

use harness::Deployed;

/// The seed of a run that names none, so that two of them ask the same.
const SEED_DEFAULT: u64 = 1;
/// How long calls that are under way at a signal may take to end.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// How much is asked: a minute, minutes, or as long as rare things take
    #[arg(long, value_enum, default_value_t = Depth::Smoke)]
    budget: Depth,
    /// What decides everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = SEED_DEFAULT)]
    seed: u64,
    /// Only what has this in its name, such as claim.expiry; said again, what has either
    #[arg(long, value_name = "TEXT")]
    filter: Vec<String>,
    /// Folder for the report as JSON, text, page, JUnit and blueprint
    #[arg(long, value_name = "FOLDER")]
    report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Depth {
    Smoke,
    Standard,
    Soak,
}

impl From<Depth> for Budget {
    fn from(depth: Depth) -> Self {
        match depth {
            Depth::Smoke => Self::Smoke,
            Depth::Standard => Self::Standard,
            Depth::Soak => Self::Soak,
        }
    }
}

/// Why nothing could be said of a backend.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("{0}{cause}", cause = cause(.0))]
    Open(OpenError),
    #[error("the store is not safe: {0}")]
    Unsafe(String),
    #[error("the suite could not begin: {0}")]
    Suite(String),
    #[error("the report could not be written: {0}")]
    Report(String),
    #[error("stopped by {0}; what the check had made is removed")]
    Stopped(&'static str),
    #[error("what the check made could not be removed: {0}")]
    Left(String),
    #[error("cannot start the runtime: {0}")]
    Runtime(std::io::Error),
}

/// What the backend itself said, which an error's own text leaves out: this is read by the operator.
fn cause(error: &OpenError) -> String {
    std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default()
}

/// The store to be proved.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) uri: String,
    pub(crate) unreliable: bool,
}

/// Whether this process was started by a check, to be killed; it serves until then.
pub(crate) fn serve_as_child(target: &Target) -> Option<Result<(), CheckError>> {
    let ns = zaqar_conformance::child_namespace()?;
    let suite = |error: anyhow::Error| CheckError::Suite(format!("{error:#}"));
    let harness = Arc::new(Deployed::new(target.clone()));
    let served = runtime().and_then(|runtime| {
        runtime.block_on(zaqar_conformance::serve_child(harness, &ns)).map_err(suite)
    });
    Some(served)
}

/// Runs the suite, telling `tell` how far it is; the report. Everything that was made is removed.
pub(crate) fn run(
    target: &Target,
    args: &CheckArgs,
    stop: impl Future<Output = &'static str>,
    tell: impl Fn(&str) + Send + 'static,
) -> Result<Report, CheckError> {
    let runtime = runtime()?;
    let deployed = Arc::new(Deployed::new(target.clone()));
    let suite = suite(&deployed, args, tell);
    let ran = runtime.block_on(async {
        let asked = async {
            deployed.look().await?;
            suite.run().await.map_err(|failure| CheckError::Suite(failure.to_string()))
        };
        tokio::select! {
            // First, so that signals are listened to before anything is made.
            biased;
            signal = stop => Err(CheckError::Stopped(signal)),
            report = asked => report,
        }
    });
    // Whatever still runs ends first, so that nothing is made behind what is removed.
    runtime.shutdown_timeout(PATIENCE);
    self::runtime()?.block_on(deployed.remove_all())?;
    let report = ran?;
    if let Some(folder) = &args.report {
        report.write(folder).map_err(|error| CheckError::Report(format!("{error:#}")))?;
    }
    Ok(report)
}

fn runtime() -> Result<Runtime, CheckError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().map_err(CheckError::Runtime)
}

fn suite(
    deployed: &Arc<Deployed>,
    args: &CheckArgs,
    tell: impl Fn(&str) + Send + 'static,
) -> Suite {
    let mut progress = Progress::new();
    let harness: Arc<dyn zaqar_conformance::Harness> = Arc::<Deployed>::clone(deployed);
    let suite = Suite::new(harness).seed(args.seed).budget(args.budget.into());
    let depth = args.budget.to_possible_value().map(|value| value.get_name().to_owned());
    let suite = suite.reproduce(format!(
        "zaqar-server check --storage URI --budget {} --seed {}",
        depth.unwrap_or_default(),
        args.seed
    ));
    let suite = suite.tell(move |entry| {
        progress.add(entry).iter().for_each(|line| tell(&format!("{line}\n")));
    });
    args.filter.iter().fold(suite, |suite, filter| suite.filter(filter))
}
