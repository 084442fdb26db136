//! Profiles: what a driver may call itself, and what decides it.

use serde::Serialize;
use zaqar_core::Capability;

use crate::case::Level;
use crate::report::Outcome;

/// A part of the contract that is judged as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// Queues, messages, claims, no loss.
    Core,
    /// Pools, flavors, catalogue.
    Control,
    /// Nothing acknowledged is lost with the backend's process.
    Durable,
    /// Order of posts.
    Fifo,
    /// Delayed messages.
    Delay,
    /// Dead letters.
    DeadLetter,
    /// Subscriptions and outbox.
    Subscriptions,
}

impl Profile {
    /// Every profile, in the order of reports.
    pub const ALL: [Self; 7] = [
        Self::Core,
        Self::Control,
        Self::Durable,
        Self::Fifo,
        Self::Delay,
        Self::DeadLetter,
        Self::Subscriptions,
    ];

    /// The profile that a case or trial of that name and level counts for; `None`: it is not judged.
    #[must_use]
    pub fn of(name: &str, level: Level) -> Option<Self> {
        match level {
            Level::Core => Some(Self::of_area(name)),
            Level::Extended(capability) | Level::Refusal(capability) => {
                Some(Self::of_capability(capability))
            }
            Level::Provisional => None,
        }
    }

    fn of_area(name: &str) -> Self {
        match name.split('.').next() {
            Some("pool" | "flavor" | "catalogue") => Self::Control,
            _ => Self::Core,
        }
    }

    fn of_capability(capability: Capability) -> Self {
        match capability {
            Capability::Fifo => Self::Fifo,
            Capability::Durable => Self::Durable,
            Capability::Delay => Self::Delay,
            Capability::DeadLetter => Self::DeadLetter,
            Capability::Subscriptions => Self::Subscriptions,
            _ => Self::Core,
        }
    }
}

/// What is to be said of a driver and a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Verdict {
    /// Everything asked was shown.
    Conformant,
    /// What was asked was shown, except what was left out.
    Partial,
    /// Something was broken.
    NonConformant,
    /// Something could not be shown either way, or nothing was asked.
    Inconclusive,
    /// The driver does not claim it, and refuses what it does not claim wherever that can be asked.
    NotDeclared,
}

impl Verdict {
    /// What `outcomes`, all those of one profile, come to.
    #[must_use]
    pub fn of(outcomes: &[&Outcome]) -> Self {
        let any = |test: fn(&Outcome) -> bool| outcomes.iter().any(|outcome| test(outcome));
        let undeclared = |outcome: &&Outcome| {
            matches!(outcome, Outcome::RefusalVerified { .. } | Outcome::Undeclared { .. })
        };
        if any(|outcome| matches!(outcome, Outcome::Failed { .. })) {
            Self::NonConformant
        } else if outcomes.is_empty()
            || any(|outcome| matches!(outcome, Outcome::Inconclusive { .. }))
        {
            Self::Inconclusive
        } else if outcomes.iter().all(undeclared) {
            Self::NotDeclared
        } else if any(|outcome| !matches!(outcome, Outcome::Passed { .. })) {
            Self::Partial
        } else {
            Self::Conformant
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed() -> Outcome {
        Outcome::Passed { notes: None }
    }

    fn skipped() -> Outcome {
        Outcome::Skipped { by: "waiver".into(), reason: "why".into() }
    }

    #[test]
    fn a_skipped_case_caps_the_verdict_and_a_failed_one_decides_it() {
        let failed = Outcome::Failed { evidence: "gone".into() };
        let doubt = Outcome::Inconclusive { reason: "nothing was posted".into() };
        assert_eq!(Verdict::of(&[&passed()]), Verdict::Conformant);
        assert_eq!(Verdict::of(&[&passed(), &skipped()]), Verdict::Partial);
        assert_eq!(Verdict::of(&[&passed(), &skipped(), &doubt]), Verdict::Inconclusive);
        assert_eq!(Verdict::of(&[&failed, &doubt]), Verdict::NonConformant);
        assert_eq!(Verdict::of(&[]), Verdict::Inconclusive);
    }

    #[test]
    fn what_is_not_declared_makes_core_partial_and_other_profiles_not_declared() {
        let refused = Outcome::RefusalVerified { capability: Capability::Claims };
        assert_eq!(Verdict::of(&[&passed(), &refused]), Verdict::Partial);
        assert_eq!(Verdict::of(&[&refused]), Verdict::NotDeclared);
    }

    #[test]
    fn cases_count_for_the_profile_of_their_capability_or_area() {
        let delay = Level::Extended(Capability::Delay);
        assert_eq!(Profile::of("message.delay.hides", delay), Some(Profile::Delay));
        assert_eq!(Profile::of("pool.put.replaces", Level::Core), Some(Profile::Control));
        assert_eq!(Profile::of("message.post.ids", Level::Core), Some(Profile::Core));
        assert_eq!(Profile::of("pool.x", Level::Provisional), None);
    }
}
