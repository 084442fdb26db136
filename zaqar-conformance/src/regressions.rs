//! Seeds that once made a trial fail, kept in a file and tried again before a run's own seed.
//!
//! A line for each: the test binary, the trial, the budget and the seed. What stands behind a `#` is
//! a remark.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;

use crate::report::{Entry, Outcome};
use crate::suite::{self, Budget, SuiteTrial, TrialRun};

/// The seeds that one test binary keeps.
#[derive(Debug, Clone)]
pub struct Regressions {
    path: PathBuf,
    binary: String,
}

/// What made a trial fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Past {
    pub(crate) seed: u64,
    pub(crate) budget: Budget,
}

impl Regressions {
    /// Those that `binary` keeps in the file `path`, which need not be there.
    pub fn new(path: impl Into<PathBuf>, binary: impl Into<String>) -> Self {
        Self { path: path.into(), binary: binary.into() }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What made the trial `id` fail, in the order of the file.
    pub(crate) fn of(&self, id: &str) -> anyhow::Result<Vec<Past>> {
        let text = match fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error).context(self.path.display().to_string()),
        };
        let mut past = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words: Vec<&str> = line.split_whitespace().collect();
            let known = match words.as_slice() {
                [] => continue,
                [binary, trial, budget, seed] => {
                    Budget::named(budget).zip(seed.parse().ok()).map(|(budget, seed)| {
                        (*binary == self.binary && *trial == id, Past { seed, budget })
                    })
                }
                _ => None,
            };
            let (ours, entry) = known.with_context(|| {
                format!("{}:{number}: not `binary trial budget seed`", self.path.display())
            })?;
            if ours && !past.contains(&entry) {
                past.push(entry);
            }
        }
        Ok(past)
    }

    /// Keeps what made the trial `id` fail; whether it was not there yet.
    pub(crate) fn keep(&self, id: &str, failed: Past) -> anyhow::Result<bool> {
        if self.of(id)?.contains(&failed) {
            return Ok(false);
        }
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        // One write for the line: tests of other processes may append at the same time.
        let line = format!("{} {id} {} {}\n", self.binary, failed.budget.word(), failed.seed);
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.path)?;
        file.write_all(line.as_bytes()).context(self.path.display().to_string())?;
        Ok(true)
    }
}

/// Runs one trial with what made it fail before, then with the run's own seed; its line of the
/// report, which is of the first seed that fails. What fails is kept in `regressions`.
pub(crate) async fn entry_with_past(
    trial: SuiteTrial,
    run: TrialRun,
    regressions: Option<&Regressions>,
) -> Entry {
    let Some(regressions) = regressions else { return suite::entry_of_trial(trial, run).await };
    let own = Past { seed: run.seed, budget: run.budget };
    let past = match regressions.of(&trial.name) {
        Ok(past) => past,
        Err(error) => {
            let evidence = format!("the seeds that failed before cannot be read: {error:#}");
            let outcome = Outcome::Failed { evidence };
            return suite::entry(
                &trial.name,
                trial.level(),
                trial.guarantees,
                outcome.into(),
                Instant::now(),
            );
        }
    };
    for past in past.into_iter().filter(|past| *past != own) {
        let Some(again) = suite::trials().into_iter().find(|again| again.name == trial.name) else {
            break;
        };
        // What a longer run found may be found in a shorter one, which must stay short.
        let budget = past.budget.min(run.budget);
        let run = TrialRun { harness: Arc::clone(&run.harness), seed: past.seed, budget };
        let entry = suite::entry_of_trial(again, run).await;
        if matches!(entry.outcome, Outcome::Failed { .. }) {
            return Entry { seed: Some(past.seed), ..entry };
        }
    }
    let name = trial.name.clone();
    let mut entry = suite::entry_of_trial(trial, run).await;
    if let Outcome::Failed { evidence } = &mut entry.outcome {
        let file = regressions.path().display();
        evidence.push_str(&match regressions.keep(&name, own) {
            Ok(true) => format!("\nthe seed is kept in {file}, for every later run"),
            Ok(false) => format!("\nthe seed was kept in {file} before"),
            Err(error) => format!("\nthe seed could not be kept in {file}: {error:#}"),
        });
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAST: Past = Past { seed: 7, budget: Budget::Smoke };

    #[test]
    fn what_is_kept_is_known_once_to_the_binary_and_the_trial() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("tests/regressions.txt");
        let kept = Regressions::new(&path, "conformance");
        assert_eq!(kept.of("loss.x")?, []);
        assert!(kept.keep("loss.x", PAST)?);
        assert!(!kept.keep("loss.x", PAST)?);
        assert!(kept.keep("loss.x", Past { budget: Budget::Soak, ..PAST })?);
        assert_eq!(kept.of("loss.x")?, [PAST, Past { budget: Budget::Soak, ..PAST }]);
        assert_eq!(kept.of("loss.y")?, []);
        assert_eq!(Regressions::new(&path, "other").of("loss.x")?, []);
        Ok(())
    }

    #[test]
    fn remarks_and_empty_lines_are_passed_over_and_nonsense_is_named() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("regressions.txt");
        let kept = Regressions::new(&path, "conformance");
        fs::write(&path, "# seeds\n\nconformance loss.x smoke 7 # the first one\n")?;
        assert_eq!(kept.of("loss.x")?, [PAST]);
        for nonsense in ["conformance loss.x 7", "conformance loss.x often 7"] {
            fs::write(&path, format!("\n{nonsense}\n"))?;
            let error = kept.of("loss.x").expect_err(nonsense).to_string();
            assert!(error.contains("regressions.txt:2"), "{error}");
        }
        Ok(())
    }
}
