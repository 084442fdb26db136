//! A bucket for each project that fills evenly: the generic cell rate algorithm.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, Quota, RateLimiter};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use zaqar_core::{Clock, ProjectId};

/// How often something was refused, by limit.
const REFUSALS: &str = "zaqar_limit_refusals_total";
/// Projects whose buckets are kept; beyond it the ones that were silent longest are forgotten, which
/// fills their buckets.
const PROJECTS_MAX: u64 = 100_000;
/// How long buckets are kept at least after their last use.
const IDLE_MIN: Duration = Duration::from_secs(3_600);

/// How much of something there may be per second, and how much at once after a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

impl Rate {
    /// So much per second, so much at once; a burst of 0 is as much as in a second. `None` for a
    /// rate of 0, which stands for any.
    #[must_use]
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let per_second = NonZeroU32::new(per_second)?;
        Some(Self { per_second, burst: NonZeroU32::new(burst).unwrap_or(per_second) })
    }

    /// The same, where at least so much may come at once.
    #[must_use]
    pub fn burst_at_least(self, least: u32) -> Self {
        let burst = NonZeroU32::new(least).map_or(self.burst, |least| self.burst.max(least));
        Self { burst, ..self }
    }

    fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

/// What one project may do; `None`: as often as it likes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProjectRates {
    /// Requests of any kind.
    pub requests: Option<Rate>,
    /// Messages that it posts. The burst must be as large as a post may be.
    pub messages: Option<Rate>,
}

impl ProjectRates {
    /// These rates.
    #[must_use]
    pub fn new(requests: Option<Rate>, messages: Option<Rate>) -> Self {
        Self { requests, messages }
    }

    fn is_off(&self) -> bool {
        self.requests.is_none() && self.messages.is_none()
    }

    fn refilled_in(&self) -> Duration {
        let both = [self.requests, self.messages].into_iter().flatten();
        both.map(|rate| rate.quota().burst_size_replenished_in()).max().unwrap_or_default()
    }
}

/// What every project may do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RateSettings {
    /// What holds for each project that has no rates of its own.
    pub all: ProjectRates,
    /// Projects' own rates.
    pub projects: HashMap<ProjectId, ProjectRates>,
}

impl RateSettings {
    fn of(&self, project: &ProjectId) -> ProjectRates {
        self.projects.get(project).copied().unwrap_or(self.all)
    }

    fn each(&self) -> impl Iterator<Item = &ProjectRates> {
        self.projects.values().chain([&self.all])
    }
}

/// Lets projects ask as often as they may. Cloning shares the buckets; the default lets everybody
/// ask at any time, which costs nothing.
#[derive(Debug, Clone, Default)]
pub struct RateLimits(Option<Arc<Limiter>>);

#[derive(Debug)]
struct Limiter {
    settings: RateSettings,
    clock: Time,
    buckets: Cache<ProjectId, Arc<Buckets>>,
}

/// What one project has left.
#[derive(Debug)]
struct Buckets {
    requests: Option<Bucket>,
    messages: Option<Bucket>,
}

type Instant = Duration;

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    cells: RateLimiter<NotKeyed, InMemoryState, Time, NoOpMiddleware<Instant>>,
}

/// The service's clock, as the algorithm reads it.
#[derive(Debug, Clone)]
struct Time(Arc<dyn Clock>);

impl governor::clock::Clock for Time {
    type Instant = Instant;

    fn now(&self) -> Instant {
        Duration::from_millis(u64::try_from(self.0.now().as_millis()).unwrap_or(0))
    }
}

/// A rate is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateExceeded {
    doing: &'static str,
    what: &'static str,
    per_second: NonZeroU32,
    /// When to come back, in whole seconds.
    pub(crate) retry_after_s: u64,
}

impl std::fmt::Display for RateExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { doing, what, per_second, retry_after_s } = self;
        write!(
            f,
            "This project may {doing} at most {per_second} {what} per second. Please try again in \
             {retry_after_s} s."
        )
    }
}

impl RateLimits {
    /// Limits by these settings.
    #[must_use]
    pub fn new(settings: RateSettings, clock: Arc<dyn Clock>) -> Self {
        if settings.each().all(ProjectRates::is_off) {
            return Self(None);
        }
        // A bucket that is forgotten is a full one, so it must have had the time to fill.
        let refilled = settings.each().map(ProjectRates::refilled_in).max().unwrap_or_default();
        let buckets = Cache::builder()
            .max_capacity(PROJECTS_MAX)
            .eviction_policy(EvictionPolicy::lru())
            .time_to_idle(refilled.max(IDLE_MIN))
            .build();
        Self(Some(Arc::new(Limiter { settings, clock: Time(clock), buckets })))
    }

    /// Counts a request of a project.
    pub(crate) fn request(&self, project: &ProjectId) -> Result<(), RateExceeded> {
        let Some((limiter, buckets)) = self.buckets(project) else { return Ok(()) };
        let Some(bucket) = &buckets.requests else { return Ok(()) };
        bucket.cells.check().map_err(|not_until| {
            let refused = limiter.refused(("send", "requests"), bucket, &not_until);
            note(project, "requests_per_second");
            refused
        })
    }

    /// Counts messages that a project is about to post.
    pub(crate) fn messages(&self, project: &ProjectId, count: usize) -> Result<(), RateExceeded> {
        let Some((limiter, buckets)) = self.buckets(project) else { return Ok(()) };
        let Some(bucket) = &buckets.messages else { return Ok(()) };
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let Some(count) = NonZeroU32::new(count) else { return Ok(()) };
        // More than ever fit into the bucket are more than one post may hold: it is refused as such.
        let Ok(checked) = bucket.cells.check_n(count) else { return Ok(()) };
        checked.map_err(|not_until| {
            let refused = limiter.refused(("post", "messages"), bucket, &not_until);
            note(project, "messages_per_second");
            refused
        })
    }

    fn buckets(&self, project: &ProjectId) -> Option<(&Limiter, Arc<Buckets>)> {
        let limiter = self.0.as_deref()?;
        let rates = limiter.settings.of(project);
        if rates.is_off() {
            return None;
        }
        let buckets = limiter.buckets.get_with_by_ref(project, || {
            let bucket = |rate: Rate| {
                let cells = RateLimiter::direct_with_clock(rate.quota(), limiter.clock.clone());
                Bucket { rate, cells }
            };
            let (requests, messages) = (rates.requests.map(bucket), rates.messages.map(bucket));
            Arc::new(Buckets { requests, messages })
        });
        Some((limiter, buckets))
    }
}

impl Limiter {
    fn refused(
        &self,
        (doing, what): (&'static str, &'static str),
        bucket: &Bucket,
        not_until: &NotUntil<Instant>,
    ) -> RateExceeded {
        let wait = not_until.wait_time_from(self.clock.now());
        let retry_after_s = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let per_second = bucket.rate.per_second;
        RateExceeded { doing, what, per_second, retry_after_s: retry_after_s.max(1) }
    }
}

/// Counts a refusal, and tells whoever debugs.
fn note(project: &ProjectId, limit: &'static str) {
    metrics::counter!(REFUSALS, "limit" => limit).increment(1);
    tracing::debug!(%project, limit, "a rate is used up");
}

#[cfg(test)]
mod tests {
    use zaqar_core::ManualClock;

    use super::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::new(name).unwrap()
    }

    fn limits(settings: RateSettings) -> (RateLimits, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        let time: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
        (RateLimits::new(settings, time), clock)
    }

    fn requests(per_second: u32, burst: u32) -> ProjectRates {
        ProjectRates::new(Rate::new(per_second, burst), None)
    }

    fn passed(limits: &RateLimits, project: &ProjectId, tries: usize) -> usize {
        (0..tries).filter(|_| limits.request(project).is_ok()).count()
    }

    #[test]
    fn a_burst_passes_at_once_and_the_rate_from_then_on() {
        let settings = RateSettings { all: requests(4, 10), ..RateSettings::default() };
        let (limits, clock) = limits(settings);
        let a = project("a");
        assert_eq!(passed(&limits, &a, 50), 10);
        for _ in 0..8 {
            clock.advance(Duration::from_millis(500));
            assert_eq!(passed(&limits, &a, 50), 2);
        }
        clock.advance(Duration::from_secs(60));
        assert_eq!(passed(&limits, &a, 50), 10);
    }

    #[test]
    fn what_one_project_uses_up_another_still_has() {
        let own =
            HashMap::from([(project("own"), requests(7, 0)), (project("free"), requests(0, 9))]);
        let (limits, _) = limits(RateSettings { all: requests(3, 0), projects: own });
        for (name, expected) in [("a", 3), ("b", 3), ("own", 7), ("free", 50)] {
            assert_eq!(passed(&limits, &project(name), 50), expected, "{name}");
        }
    }

    #[test]
    fn the_seconds_to_wait_are_whole_and_enough() {
        let all = ProjectRates::new(None, Rate::new(10, 40));
        let (limits, clock) = limits(RateSettings { all, ..RateSettings::default() });
        let a = project("a");
        assert_eq!(limits.messages(&a, 40), Ok(()));
        let refused = limits.messages(&a, 1).unwrap_err();
        assert_eq!(refused.retry_after_s, 1);
        let refused = limits.messages(&a, 31).unwrap_err();
        assert_eq!(refused.retry_after_s, 4);
        clock.advance(Duration::from_secs(refused.retry_after_s));
        assert_eq!(limits.messages(&a, 31), Ok(()));
        let text = "This project may post at most 10 messages per second. Please try again in 4 s.";
        assert_eq!(refused.to_string(), text);
    }

    #[test]
    fn a_post_that_never_fits_is_left_to_who_knows_how_large_one_may_be() {
        let rate = Rate::new(1, 1).unwrap().burst_at_least(5);
        let all = ProjectRates::new(None, Some(rate));
        let (limits, _) = limits(RateSettings { all, ..RateSettings::default() });
        let a = project("a");
        assert_eq!(limits.messages(&a, 6), Ok(()));
        assert_eq!(limits.messages(&a, 0), Ok(()));
        assert_eq!(limits.messages(&a, 5), Ok(()));
        assert!(limits.messages(&a, 1).is_err());
    }

    #[test]
    fn without_rates_nothing_is_kept() {
        let (limits, _) = limits(RateSettings::default());
        assert!(limits.0.is_none());
        assert_eq!(passed(&limits, &project("a"), 50), 50);
    }
}
