//! How much a run asks, and the seed that decides what is left to chance.

use std::time::Duration;

use anyhow::Context as _;
use serde::Serialize;

/// The seed of a smoke run that names none, so that two of them ask the same.
pub(crate) const SEED_DEFAULT: u64 = 20_330_518;

/// How much the trials ask; a case always asks the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Budget {
    /// A minute for the whole suite: every change.
    #[default]
    Smoke,
    /// Minutes.
    Standard,
    /// As long as it takes to meet rare things.
    Soak,
}

impl Budget {
    /// The budget that `ZAQAR_CONFORMANCE_BUDGET` names.
    ///
    /// # Errors
    /// If it names no budget.
    pub fn from_env() -> anyhow::Result<Self> {
        let Ok(name) = std::env::var("ZAQAR_CONFORMANCE_BUDGET") else { return Ok(Self::Smoke) };
        Self::named(&name).with_context(|| {
            format!("ZAQAR_CONFORMANCE_BUDGET is {name:?}, must be smoke, standard or soak")
        })
    }

    /// The budget of this word.
    pub(crate) fn named(word: &str) -> Option<Self> {
        [Self::Smoke, Self::Standard, Self::Soak].into_iter().find(|budget| budget.word() == word)
    }

    /// How long a trial may take before the suite gives up on it.
    pub(crate) fn trial_time_max(self) -> Duration {
        Duration::from_secs(match self {
            Self::Smoke => 300,
            Self::Standard => 3_600,
            Self::Soak => 24 * 3_600,
        })
    }

    /// The word that names it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Smoke => "smoke",
            Self::Standard => "standard",
            Self::Soak => "soak",
        }
    }
}

/// The seed that `ZAQAR_CONFORMANCE_SEED` names; without it, the same for every smoke run and a
/// fresh one otherwise.
///
/// # Errors
/// If it is no number.
pub(crate) fn seed_from_env(budget: Budget) -> anyhow::Result<u64> {
    match std::env::var("ZAQAR_CONFORMANCE_SEED") {
        Ok(text) => text.parse().with_context(|| format!("ZAQAR_CONFORMANCE_SEED is {text:?}")),
        Err(_) if budget == Budget::Smoke => Ok(SEED_DEFAULT),
        Err(_) => Ok(rand::random()),
    }
}
