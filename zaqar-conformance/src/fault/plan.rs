//! Which faults strike, decided by a seed: each run has only some of them, so that no fault hides
//! another, and counts what really struck.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::counts::Counts;

/// What a workload does in one run: a random subset of what it can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Swarm {
    pub(crate) batches: bool,
    pub(crate) delays: bool,
    pub(crate) bulk: bool,
    pub(crate) releases: bool,
    pub(crate) renewals: bool,
    pub(crate) lapses: bool,
    pub(crate) pops: bool,
    pub(crate) walks: bool,
    pub(crate) follows: bool,
    pub(crate) keys: bool,
}

impl Swarm {
    /// Everything.
    pub(crate) const ALL: Self = Self {
        batches: true,
        delays: true,
        bulk: true,
        releases: true,
        renewals: true,
        lapses: true,
        pops: true,
        walks: true,
        follows: true,
        keys: true,
    };

    /// What `seed` leaves on: each action with a probability of three quarters.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut on = || rng.random_bool(0.75);
        Self {
            batches: on(),
            delays: on(),
            bulk: on(),
            releases: on(),
            renewals: on(),
            lapses: on(),
            pops: on(),
            walks: on(),
            follows: on(),
            keys: on(),
        }
    }
}

/// A fault of the caller's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails before it reaches the driver.
    FailBefore,
    /// The call is carried out and its answer lost.
    FailAfter,
    /// The caller comes late: it yields this often before it calls.
    Delay {
        /// How often.
        yields: u32,
    },
    /// The call's future is dropped after this many polls, unless it ended before.
    Cancel {
        /// How many polls; 0: it never runs.
        polls: u32,
    },
}

/// The kinds of faults, in the order of their counters.
const KINDS: [&str; 4] = ["calls_failed_before", "answers_lost", "calls_late", "calls_dropped"];
/// Most polls that a cancelled call gets.
const POLLS_MAX: u32 = 6;

/// Draws faults for calls and counts those that struck.
#[derive(Debug)]
pub struct FaultPlan {
    rng: Mutex<StdRng>,
    on: [bool; 4],
    healed: AtomicBool,
    fired: [AtomicU64; 4],
    calls: AtomicU64,
}

impl FaultPlan {
    /// The plan of `seed`: a random subset of the faults, never none.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut on = [(); 4].map(|()| rng.random_bool(0.6));
        if let Some(kept) = on.get_mut(rng.random_range(0..4)) {
            *kept = true;
        }
        Self {
            rng: Mutex::new(rng),
            on,
            healed: AtomicBool::new(false),
            fired: Default::default(),
            calls: AtomicU64::new(0),
        }
    }

    /// Ends all faults.
    pub fn heal(&self) {
        self.healed.store(true, Ordering::SeqCst);
    }

    /// The fault that strikes the next call, if one does.
    #[must_use]
    pub fn draw(&self) -> Option<Fault> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.healed.load(Ordering::SeqCst) {
            return None;
        }
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        if !rng.random_bool(0.15) {
            return None;
        }
        let fault = match rng.random_range(0..4) {
            0 => Fault::FailBefore,
            1 => Fault::FailAfter,
            2 => Fault::Delay { yields: rng.random_range(1..20) },
            _ => Fault::Cancel { polls: rng.random_range(0..POLLS_MAX) },
        };
        self.on.get(kind(fault)).copied().unwrap_or(false).then_some(fault)
    }

    /// Counts a fault that struck.
    pub fn count(&self, fault: Fault) {
        if let Some(counter) = self.fired.get(kind(fault)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many faults struck.
    #[must_use]
    pub fn fired(&self) -> u64 {
        self.fired.iter().map(|counter| counter.load(Ordering::Relaxed)).sum()
    }

    /// The calls and what struck them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let counts = Counts::none().saw("calls", self.calls.load(Ordering::Relaxed));
        KINDS.iter().zip(&self.fired).fold(counts, |counts, (kind, fired)| {
            counts.struck(kind, fired.load(Ordering::Relaxed))
        })
    }

    /// Kinds of faults that the seed left on and that never struck.
    #[must_use]
    pub fn silent(&self) -> Vec<&'static str> {
        let counted = KINDS.iter().zip(&self.on).zip(&self.fired);
        counted
            .filter(|((_, on), fired)| **on && fired.load(Ordering::Relaxed) == 0)
            .map(|((kind, _), _)| *kind)
            .collect()
    }
}

fn kind(fault: Fault) -> usize {
    match fault {
        Fault::FailBefore => 0,
        Fault::FailAfter => 1,
        Fault::Delay { .. } => 2,
        Fault::Cancel { .. } => 3,
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} calls", self.calls.load(Ordering::Relaxed))?;
        for ((kind, on), fired) in KINDS.iter().zip(&self.on).zip(&self.fired) {
            if *on {
                write!(f, ", {kind} {}", fired.load(Ordering::Relaxed))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_follows_from_its_seed_and_heals() {
        let draws = |seed| {
            let plan = FaultPlan::of(seed);
            (0..200).map(|_| plan.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
        let plan = FaultPlan::of(1);
        plan.heal();
        assert!((0..200).all(|_| plan.draw().is_none()));
    }

    #[test]
    fn a_fault_that_never_struck_is_named() {
        let plan = FaultPlan::of(3);
        let silent = plan.silent();
        assert!(!silent.is_empty());
        for fault in [
            Fault::FailBefore,
            Fault::FailAfter,
            Fault::Delay { yields: 1 },
            Fault::Cancel { polls: 1 },
        ] {
            plan.count(fault);
        }
        assert!(plan.silent().is_empty());
        assert_eq!(plan.fired(), 4);
    }
}
