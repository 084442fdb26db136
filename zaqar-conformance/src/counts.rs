//! What trials count: what they did and saw, and which faults struck.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// What a trial counted, by names in words with underscores: `messages_acknowledged`.
///
/// Trials of the same kind count under the same names, so that the counts of a run add up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// What the trial did and what came of it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, u64>,
    /// Faults that struck, by kind.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<String, u64>,
}

impl Counts {
    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds to what was done and seen.
    #[must_use]
    pub fn saw(mut self, what: &str, count: impl TryInto<u64>) -> Self {
        add(&mut self.seen, what, count.try_into().unwrap_or(u64::MAX));
        self
    }

    /// Adds to the faults that struck.
    #[must_use]
    pub fn struck(mut self, fault: &str, count: impl TryInto<u64>) -> Self {
        add(&mut self.faults, fault, count.try_into().unwrap_or(u64::MAX));
        self
    }

    /// Both together.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        other.seen.iter().for_each(|(what, count)| add(&mut self.seen, what, *count));
        other.faults.iter().for_each(|(fault, count)| add(&mut self.faults, fault, *count));
        self
    }

    /// Whether nothing was counted, as by cases.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty() && self.faults.is_empty()
    }
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str, count: u64) {
    let known = counts.entry(name.to_owned()).or_default();
    *known = known.saturating_add(count);
}

impl fmt::Display for Counts {
    /// `messages acknowledged 12, …; struck: answers lost 3, …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = |counts: &BTreeMap<String, u64>| {
            let each = counts.iter().map(|(name, count)| format!("{} {count}", in_words(name)));
            each.collect::<Vec<_>>().join(", ")
        };
        f.write_str(&words(&self.seen))?;
        if !self.faults.is_empty() {
            let gap = if self.seen.is_empty() { "" } else { "; " };
            write!(f, "{gap}struck: {}", words(&self.faults))?;
        }
        Ok(())
    }
}

/// A count's name for people.
pub(crate) fn in_words(name: &str) -> String {
    name.replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_same_name_add_up_and_are_told_in_words() {
        let one = Counts::none().saw("messages_acknowledged", 3_u32).struck("answers_lost", 1_u32);
        let both = one.clone().and(&one).saw("seeds", 2_usize);
        assert_eq!(both.to_string(), "messages acknowledged 6, seeds 2; struck: answers lost 2");
        assert!(Counts::none().is_empty() && !both.is_empty());
        assert_eq!(Counts::none().to_string(), "");
    }
}
