//! What is said while the suite runs: a line for each area that is through.

use std::collections::BTreeMap;

use crate::report::{Entry, Outcome};

/// Gathers what comes of one area after the other.
#[derive(Debug, Default)]
pub struct Progress {
    area: String,
    outcomes: BTreeMap<&'static str, usize>,
    elapsed_ms: u64,
}

impl Progress {
    /// Nothing has run.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts what came next; the lines that are to be said now: of the area before, if this is the
    /// first of another, and of what did not pass, at once.
    pub fn add(&mut self, entry: &Entry) -> Vec<String> {
        let area = entry.id.split('.').next().unwrap_or_default();
        let mut lines = Vec::new();
        if area != self.area {
            lines.extend(std::mem::take(self).line());
            area.clone_into(&mut self.area);
        }
        let word = entry.outcome.word();
        *self.outcomes.entry(word).or_default() += 1;
        self.elapsed_ms = self.elapsed_ms.saturating_add(entry.elapsed_ms);
        if let Outcome::Failed { evidence: why } | Outcome::Inconclusive { reason: why } =
            &entry.outcome
        {
            lines.push(format!("{word} {}: {why}", entry.id));
        }
        lines
    }

    /// The line of the last area; `None` if nothing ran.
    #[must_use]
    pub fn line(self) -> Option<String> {
        let Self { area, outcomes, elapsed_ms } = self;
        let counts: Vec<String> =
            outcomes.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let seconds = format!("{}.{}", elapsed_ms / 1_000, elapsed_ms % 1_000 / 100);
        (!counts.is_empty()).then(|| format!("{area}: {} in {seconds} s", counts.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Level;

    fn entry(id: &str, outcome: Outcome) -> Entry {
        Entry {
            id: id.into(),
            level: Level::Core,
            guarantees: vec![],
            outcome,
            elapsed_ms: 1_150,
            exhibit: None,
            seed: None,
        }
    }

    #[test]
    fn an_area_is_told_when_the_next_begins_and_a_failure_at_once() {
        let passed = || Outcome::Passed { counts: crate::Counts::none() };
        let mut progress = Progress::new();
        assert!(progress.add(&entry("claim.a.b", passed())).is_empty());
        let failed = Outcome::Failed { evidence: "gone".into() };
        assert_eq!(progress.add(&entry("claim.c.d", failed)), ["FAILED claim.c.d: gone"]);
        assert_eq!(
            progress.add(&entry("pop.a.b", passed())),
            ["claim: 1 FAILED, 1 passed in 2.3 s"]
        );
        assert_eq!(progress.line().as_deref(), Some("pop: 1 passed in 1.1 s"));
        assert_eq!(Progress::new().line(), None);
    }
}
