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
    /// Queues that move to another store while they are in use.
    LiveMove,
}

impl Profile {
    /// Every profile, in the order of reports.
    pub const ALL: [Self; 8] = [
        Self::Core,
        Self::Control,
        Self::Durable,
        Self::Fifo,
        Self::Delay,
        Self::DeadLetter,
        Self::Subscriptions,
        Self::LiveMove,
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

    /// The profile for which `outcome` of that case or trial counts. One that also needs what another
    /// profile is about, and what the driver does not declare, counts for none.
    #[must_use]
    pub fn judging(name: &str, level: Level, outcome: &Outcome) -> Option<Self> {
        let missing = match outcome {
            Outcome::RefusalVerified { capability } | Outcome::Undeclared { capability } => {
                Some(Self::of_capability(*capability))
            }
            _ => None,
        };
        Self::of(name, level).filter(|profile| missing.is_none_or(|missing| missing == *profile))
    }

    fn of_area(name: &str) -> Self {
        // What is dropped says more than that it is.
        let subject = name.strip_prefix("cancel.").unwrap_or(name);
        match subject.split('.').next() {
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
            Capability::LiveMove => Self::LiveMove,
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
        Outcome::Passed { counts: crate::Counts::none() }
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
    fn a_case_that_needs_what_another_profile_is_about_does_not_count_without_it() {
        let (name, durable) = ("reopen.outbox.survives", Level::Extended(Capability::Durable));
        let judged = |outcome| Profile::judging(name, durable, &outcome);
        let without = |capability| Outcome::Undeclared { capability };
        assert_eq!(judged(passed()), Some(Profile::Durable));
        assert_eq!(judged(without(Capability::Durable)), Some(Profile::Durable));
        assert_eq!(judged(without(Capability::Subscriptions)), None);
    }

    #[test]
    fn cases_count_for_the_profile_of_their_capability_or_area() {
        let delay = Level::Extended(Capability::Delay);
        assert_eq!(Profile::of("message.delay.hides", delay), Some(Profile::Delay));
        assert_eq!(Profile::of("pool.put.replaces", Level::Core), Some(Profile::Control));
        assert_eq!(Profile::of("cancel.pool.whole", Level::Core), Some(Profile::Control));
        assert_eq!(Profile::of("message.post.ids", Level::Core), Some(Profile::Core));
        assert_eq!(Profile::of("pool.x", Level::Provisional), None);
    }
}
