//! Time: the only module of the workspace that reads the system clock.
//!
//! Expiry decides whether a message may be lost (G8), so a driver never asks the system for the
//! time: it is handed a [`Clock`] and reads it inside its atomic step, after the step's lock.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::ids::InvalidId;
use crate::limits::TTL_S_MAX;

/// A moment, in milliseconds since the Unix epoch.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The last moment that arithmetic yields; later ones are clamped to it.
    pub const MAX: Self = Self(i64::MAX / 4);

    /// The moment `millis` milliseconds after the epoch, clamped to `0..=MAX`.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self(millis.clamp(0, Self::MAX.0))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This moment plus `ttl`, clamped to [`Timestamp::MAX`].
    #[must_use]
    pub fn after(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_add(ttl.as_millis()).min(Self::MAX.0))
    }

    /// This moment minus `ttl`, clamped to the epoch.
    #[must_use]
    pub fn before(self, ttl: Ttl) -> Self {
        Self(self.0.saturating_sub(ttl.as_millis()).max(0))
    }

    /// Whole seconds from `earlier` to this moment; 0 if `earlier` is later.
    #[must_use]
    pub fn seconds_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0) / 1000).unwrap_or(0)
    }
}

/// A span of life, in whole seconds: of a message, claim, grace, delay or subscription.
///
/// 0 is a legal span here (a grace or a delay may be 0); which minimum a resource has is the
/// transport's rule.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(try_from = "u64", into = "u64")]
pub struct Ttl(u64);

impl Ttl {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// A span of `seconds`.
    ///
    /// # Errors
    /// [`InvalidId`] if it exceeds [`TTL_S_MAX`].
    pub fn from_secs(seconds: u64) -> Result<Self, InvalidId> {
        if seconds > TTL_S_MAX {
            return Err(InvalidId::new("ttl", format!("must be at most {TTL_S_MAX} seconds")));
        }
        Ok(Self(seconds))
    }

    /// A span of `seconds`, clamped to [`TTL_S_MAX`].
    #[must_use]
    pub fn from_secs_clamped(seconds: u64) -> Self {
        Self(seconds.min(TTL_S_MAX))
    }

    /// Whole seconds.
    #[must_use]
    pub fn as_secs(self) -> u64 {
        self.0
    }

    /// Milliseconds.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        // TTL_S_MAX * 1000 fits an i64 with room to spare.
        i64::try_from(self.0.saturating_mul(1000)).unwrap_or(i64::MAX)
    }

    /// The sum of two spans, clamped to [`TTL_S_MAX`].
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).min(TTL_S_MAX))
    }
}

impl TryFrom<u64> for Ttl {
    type Error = InvalidId;
    fn try_from(seconds: u64) -> Result<Self, InvalidId> {
        Self::from_secs(seconds)
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> u64 {
        ttl.0
    }
}

/// Says what time it is.
///
/// Implementations never go backwards: a message hidden as expired must not be shown again.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// What a [`DisciplinedClock`] made of a sample of the backend's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discipline {
    /// The sample agreed with what the monotonic clock predicted; it was followed.
    Followed,
    /// The sample was further off than [`DisciplinedClock::DRIFT_MS_MAX`]; it was not followed.
    /// Until samples agree again nothing may be removed physically.
    Rejected {
        /// Sample minus prediction, in milliseconds.
        offset_ms: i64,
    },
}

/// The production clock: the machine's monotonic clock, set by samples of the backend's clock.
///
/// A wall clock that jumps cannot expire messages early, because after the first sample only the
/// monotonic clock and agreeing samples move this one. It never goes backwards.
#[derive(Debug)]
pub struct DisciplinedClock {
    start: Instant,
    /// Milliseconds since the epoch at `start`.
    base_ms: AtomicI64,
    /// The latest answer, so that a correction to the past cannot be seen.
    latest_ms: AtomicI64,
    sampled: AtomicBool,
    suspect: AtomicBool,
    /// Serialises corrections; readers never take it.
    correcting: Mutex<()>,
}

impl DisciplinedClock {
    /// The furthest that a sample may be from the prediction and still be followed, in ms.
    pub const DRIFT_MS_MAX: i64 = 2_000;

    /// A clock that starts at the system's wall time and runs on the monotonic clock.
    ///
    /// For an embedded store this *is* the storage clock: both live on one host.
    #[must_use]
    pub fn from_system() -> Self {
        #[allow(clippy::disallowed_methods)] // the one place that may read the system clock
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let base_ms = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX / 4);
        Self {
            start: Instant::now(),
            base_ms: AtomicI64::new(base_ms),
            latest_ms: AtomicI64::new(base_ms),
            sampled: AtomicBool::new(false),
            suspect: AtomicBool::new(false),
            correcting: Mutex::new(()),
        }
    }

    /// Takes a sample of the backend's clock, read just now.
    ///
    /// The first sample sets the clock; a later one is followed only if it is within
    /// [`Self::DRIFT_MS_MAX`] of the prediction.
    pub fn discipline(&self, sample: Timestamp) -> Discipline {
        let _guard = self.correcting.lock().unwrap_or_else(PoisonError::into_inner);
        let offset_ms = sample.as_millis() - self.predicted_ms();
        let first = !self.sampled.swap(true, Ordering::Relaxed);
        if !first && offset_ms.abs() > Self::DRIFT_MS_MAX {
            self.suspect.store(true, Ordering::Relaxed);
            return Discipline::Rejected { offset_ms };
        }
        self.base_ms.fetch_add(offset_ms, Ordering::Relaxed);
        self.suspect.store(false, Ordering::Relaxed);
        Discipline::Followed
    }

    /// Follows the next sample wherever it is: an operator accepted the backend's new time.
    pub fn accept_next_sample(&self) {
        self.sampled.store(false, Ordering::Relaxed);
    }

    /// Whether the latest sample was rejected: physical removal must wait.
    #[must_use]
    pub fn is_suspect(&self) -> bool {
        self.suspect.load(Ordering::Relaxed)
    }

    fn predicted_ms(&self) -> i64 {
        let elapsed_ms = i64::try_from(self.start.elapsed().as_millis()).unwrap_or(i64::MAX / 4);
        self.base_ms.load(Ordering::Relaxed).saturating_add(elapsed_ms)
    }
}

impl Clock for DisciplinedClock {
    fn now(&self) -> Timestamp {
        let predicted = self.predicted_ms();
        let before = self.latest_ms.fetch_max(predicted, Ordering::Relaxed);
        Timestamp::from_millis(predicted.max(before))
    }
}

/// The clock of tests: it stands still until it is told to move.
#[derive(Debug)]
pub struct ManualClock {
    now_ms: AtomicI64,
}

impl ManualClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { now_ms: AtomicI64::new(start.as_millis()) }
    }

    /// Moves forward by `span`; a week passes in no time.
    pub fn advance(&self, span: Duration) {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX / 4);
        self.now_ms.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Default for ManualClock {
    /// A clock that stands at a round moment in 2033.
    fn default() -> Self {
        Self::new(Timestamp::from_millis(2_000_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.now_ms.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_clamps_at_the_end_of_time() {
        let ttl = Ttl::from_secs(TTL_S_MAX).unwrap();
        assert_eq!(Timestamp::MAX.after(ttl), Timestamp::MAX);
        assert!(Ttl::from_secs(TTL_S_MAX + 1).is_err());
        assert_eq!(Timestamp::from_millis(-5), Timestamp::default());
        assert_eq!(Timestamp::default().seconds_since(Timestamp::MAX), 0);
    }

    #[test]
    fn a_small_drift_is_followed_and_time_never_goes_backwards() {
        let clock = DisciplinedClock::from_system();
        let before = clock.now();
        clock.discipline(Timestamp::from_millis(before.as_millis() + 100));
        let late = clock.now();
        let back = Timestamp::from_millis(late.as_millis() - 1_000);
        assert_eq!(clock.discipline(back), Discipline::Followed);
        assert!(clock.now() >= late);
    }

    #[test]
    fn a_jump_of_the_backends_clock_is_not_followed_until_accepted() {
        let clock = DisciplinedClock::from_system();
        let here = clock.now();
        clock.discipline(here);
        let jump = Timestamp::from_millis(here.as_millis() + 3_600_000);
        assert!(matches!(clock.discipline(jump), Discipline::Rejected { .. }));
        assert!(clock.is_suspect());
        assert!(clock.now().seconds_since(here) < 60);
        clock.accept_next_sample();
        assert_eq!(clock.discipline(jump), Discipline::Followed);
        assert!(!clock.is_suspect());
        assert!(clock.now() >= jump);
    }
}
