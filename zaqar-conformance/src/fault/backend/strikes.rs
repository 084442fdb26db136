//! The trials: what is done to the backend, and when.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::gauge::Gauge;
use super::ring::Ring;
use super::{BackendControl, Cut};
use crate::case::Failure;
use crate::counts::{Counts, in_words};
use crate::loss::worker::LEASE_S_MAX;
use crate::loss::workload::Workload;
use crate::suite::{Budget, TrialEnd, TrialResult, TrialRun};

/// What came of the faults of one trial.
#[derive(Debug, Default)]
pub(super) struct Struck {
    /// Faults that struck.
    pub(super) all: u32,
    /// Those that struck while calls were in hand.
    pub(super) in_work: u32,
}

impl Struck {
    pub(super) fn count(&mut self, in_hand: u64) {
        self.all += 1;
        self.in_work += u32::from(in_hand > 0);
    }

    /// Under the name of `what` struck.
    pub(super) fn counts(&self, what: &str) -> Counts {
        Counts::none().struck(what, self.all).struck(&format!("{what}_in_mid_work"), self.in_work)
    }

    pub(super) fn check(&self, what: &str) -> Result<(), Failure> {
        if self.in_work == 0 {
            let reason = format!("none of {} {what} struck while there was work in hand", self.all);
            return Err(Failure::inconclusive(reason));
        }
        Ok(())
    }
}

pub(super) fn cycles(budget: Budget) -> u32 {
    match budget {
        Budget::Smoke => 3,
        Budget::Standard => 20,
        Budget::Soak => 200,
    }
}

pub(super) fn skipped() -> TrialResult {
    let reason = "the harness has no backend of its own, so nothing can be done to it".into();
    Ok(TrialEnd::Skipped { reason })
}

/// Runs `workload` until `posts` are acknowledged in all, then with `strike` beside it; whether it
/// came to that.
async fn struck<S>(
    workload: Workload,
    gauge: &Gauge,
    posts: u64,
    strike: S,
) -> Result<bool, Failure>
where
    S: Future<Output = Result<(), Failure>>,
{
    let mut work = std::pin::pin!(workload.work());
    tokio::select! {
        biased;
        worked = &mut work => return worked.map(|()| false),
        () = gauge.reached(|tally| tally.posts >= posts) => {}
    }
    tokio::try_join!(work, strike)?;
    Ok(true)
}

/// How the backend is taken away.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill,
    FailOver,
    HandOver,
}

impl Blow {
    fn name(self) -> &'static str {
        match self {
            Self::Kill => "backend_kills",
            Self::FailOver => "failovers",
            Self::HandOver => "handovers",
        }
    }

    /// Strikes, and returns when the backend is back.
    async fn strike(self, control: &dyn BackendControl) -> anyhow::Result<()> {
        match self {
            Self::Kill => {
                control.kill().await?;
                control.restart().await
            }
            Self::FailOver => control.fail_over().await,
            Self::HandOver => control.hand_over().await,
        }
    }
}

pub(super) async fn sigkill(run: TrialRun) -> TrialResult {
    taken_away(run, Blow::Kill).await
}

pub(super) async fn failover(run: TrialRun) -> TrialResult {
    taken_away(run, Blow::FailOver).await
}

pub(super) async fn handover(run: TrialRun) -> TrialResult {
    taken_away(run, Blow::HandOver).await
}

/// Takes the backend away under load, again and again.
async fn taken_away(run: TrialRun, blow: Blow) -> TrialResult {
    let Some(control) = run.harness.backend() else { return skipped() };
    let mut ring = Ring::open(&run).await?;
    let mut strikes = Struck::default();
    for _ in 0..cycles(run.budget) {
        let (workload, moment) = (ring.workload(), ring.moment());
        let yields = ring.rng.random_range(0..200);
        let gauge = &ring.gauge;
        let mut posts_before = None;
        let at_work = async {
            for _ in 0..yields {
                tokio::task::yield_now().await;
            }
            let down = gauge.down();
            let in_hand = gauge.in_hand();
            blow.strike(control).await?;
            strikes.count(in_hand);
            posts_before = Some(gauge.tally().posts);
            drop(down);
            Ok(())
        };
        struck(workload, gauge, moment, at_work).await?;
        if posts_before == Some(gauge.tally().posts) {
            // Perhaps it came so late that the workload was over.
            let again = posts_again(&mut ring).await?;
            if !again {
                let posts = ring.posts();
                let text = format!("the backend is back, and {posts} posts in a row failed");
                ring.complain(Failure::broken(text));
                break;
            }
        }
    }
    strikes.check(blow.name())?;
    ring.conclude(strikes.counts(blow.name())).await
}

/// Works on without any fault; whether the driver found its way back.
pub(super) async fn posts_again(ring: &mut Ring) -> Result<bool, Failure> {
    let before = ring.gauge.tally();
    ring.workload().work().await?;
    Ok(ring.gauge.tally().posts > before.posts)
}

pub(super) async fn freeze(run: TrialRun) -> TrialResult {
    let Some(control) = run.harness.backend() else { return skipped() };
    let mut ring = Ring::open(&run).await?;
    let mut freezes = Struck::default();
    for _ in 0..cycles(run.budget) {
        let (workload, moment) = (ring.workload(), ring.moment());
        let hold = hold(run.budget, &mut ring.rng);
        let (gauge, clock) = (&ring.gauge, ring.clock());
        let strike = async {
            let down = gauge.down();
            control.pause().await?;
            // Every claim ends, and calls that were sent before are carried out after.
            clock.advance(Duration::from_secs(LEASE_S_MAX + 1));
            tokio::time::sleep(hold).await;
            freezes.count(gauge.in_hand());
            control.resume().await?;
            drop(down);
            Ok(())
        };
        struck(workload, gauge, moment, strike).await?;
    }
    freezes.check("freezes")?;
    ring.conclude(freezes.counts("freezes")).await
}

/// How long a freeze lasts: in longer runs now and then longer than a driver waits for an answer.
fn hold(budget: Budget, rng: &mut StdRng) -> Duration {
    let long = budget != Budget::Smoke && rng.random_bool(0.2);
    let millis = if long { 3_000..12_000 } else { 200..1_000 };
    Duration::from_millis(rng.random_range(millis))
}

pub(super) async fn cuts(run: TrialRun) -> TrialResult {
    let Some(control) = run.harness.backend() else { return skipped() };
    if !control.cut(Cut::All) {
        let reason = "its clients learn the servers' addresses, so nothing can be between".into();
        return Ok(TrialEnd::Skipped { reason });
    }
    let mut ring = Ring::open(&run).await?;
    let before = control.cuts();
    for _ in 0..cycles(run.budget) {
        let workload = ring.workload();
        let seed = ring.rng.random();
        let work = workload.work();
        tokio::select! {
            worked = work => worked?,
            never = keep_cutting(control, &ring.gauge, seed) => match never {},
        }
        control.heal();
    }
    let mut counts = Counts::none();
    for ((way, after), before) in
        ["in_mid_request", "before_the_reply", "all_at_once"].iter().zip(control.cuts()).zip(before)
    {
        if after == before {
            let reason = format!("no connection was cut {}", in_words(way));
            return Err(Failure::inconclusive(reason));
        }
        counts = counts.struck(&format!("connections_cut_{way}"), after - before);
    }
    ring.conclude(counts).await
}

/// Cuts one connection after the other, every few calls, in all the ways there are.
async fn keep_cutting(
    control: &dyn BackendControl,
    gauge: &Gauge,
    seed: u64,
) -> std::convert::Infallible {
    let mut rng = StdRng::seed_from_u64(seed);
    loop {
        let calls = gauge.tally().calls + rng.random_range(5..40);
        gauge.reached(|tally| tally.calls >= calls).await;
        control.cut(match rng.random_range(0..5) {
            0 | 1 => Cut::MidRequest(rng.random_range(0..2_000)),
            2 | 3 => Cut::BeforeReply,
            _ => Cut::All,
        });
    }
}
