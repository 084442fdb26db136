//! Clocks that disagree: each node has one of its own, which is ahead or behind, jumps, and stands
//! still, within a bound that the verdict knows.
//!
//! What a store may then do early or late, it may do by as much as two of the clocks are apart (G5,
//! G8). Everything else must hold whatever the clocks say.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use zaqar_core::{Capability, Clock, ManualClock, Timestamp};

use super::plan::Swarm;
use crate::case::Failure;
use crate::counts::Counts;
use crate::loss::Stage;
use crate::loss::workload::{Size, Workload};
use crate::suite::{Budget, TrialEnd, TrialResult, TrialRun};

/// What a clock does that is wrong, in the order of their counters.
const KINDS: [&str; 4] =
    ["clocks_set_wrong", "clock_jumps_ahead", "clock_jumps_back", "clock_standstills"];

/// How likely something goes wrong with a clock when it is read: also in the middle of an operation.
const STRIKES: f64 = 0.05;

/// What the furthest that a clock of a run may be from the right time is drawn from, in ms.
const BOUND_MS: RangeInclusive<i64> = 40..=2_000;

/// A node's clock, never further than the bound from the right time.
///
/// Like every [`Clock`], it never goes backwards: after a jump back it stands still until it would be
/// past where it was.
#[derive(Debug)]
struct NodeClock {
    right: Arc<ManualClock>,
    bound_ms: i64,
    /// What the seed left on.
    on: [bool; 4],
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rng: StdRng,
    /// What it is ahead.
    offset_ms: i64,
    /// Where it stands still.
    still_ms: Option<i64>,
    latest_ms: i64,
    struck: [u64; 4],
    healed: bool,
}

impl NodeClock {
    fn new(right: Arc<ManualClock>, mut rng: StdRng, bound_ms: i64, on: [bool; 4]) -> Self {
        let offset_ms = if on[0] { rng.random_range(-bound_ms..=bound_ms) } else { 0 };
        let struck = [u64::from(offset_ms != 0), 0, 0, 0];
        let state = State { rng, offset_ms, still_ms: None, latest_ms: 0, struck, healed: false };
        Self { right, bound_ms, on, state: Mutex::new(state) }
    }

    /// Sets it right, though it cannot go back.
    fn heal(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.offset_ms, state.still_ms, state.healed) = (0, None, true);
    }

    fn struck(&self) -> [u64; 4] {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).struck
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let right_ms = self.right.now().as_millis();
        if !state.healed && state.rng.random_bool(STRIKES) {
            state.strike(right_ms, self.bound_ms, self.on);
        }
        let shown_ms = state.still_ms.unwrap_or(right_ms + state.offset_ms);
        // Who stands still too long is dragged along.
        let shown_ms = shown_ms.clamp(right_ms - self.bound_ms, right_ms + self.bound_ms);
        state.latest_ms = state.latest_ms.max(shown_ms);
        Timestamp::from_millis(state.latest_ms)
    }
}

impl State {
    fn strike(&mut self, right_ms: i64, bound_ms: i64, on: [bool; 4]) {
        let [_, ahead, back, still] = on;
        let drawn = self.rng.random_range(0..4);
        match self.outstanding(drawn, [ahead, back, still]).unwrap_or(drawn) {
            0 if ahead && self.offset_ms < bound_ms => {
                self.offset_ms = self.rng.random_range(self.offset_ms + 1..=bound_ms);
                self.struck[1] += 1;
            }
            1 if back && self.offset_ms > -bound_ms => {
                self.offset_ms = self.rng.random_range(-bound_ms..self.offset_ms);
                self.struck[2] += 1;
            }
            2 if still && self.still_ms.is_none() => {
                self.still_ms = Some(right_ms + self.offset_ms);
                self.struck[3] += 1;
            }
            _ => self.still_ms = None,
        }
    }

    /// What is on and never struck, from `drawn` on: a store that reads its clock seldom must be shown
    /// everything too.
    fn outstanding(&self, drawn: usize, on: [bool; 3]) -> Option<usize> {
        let never =
            |kind: &usize| on.get(*kind) == Some(&true) && self.struck.get(kind + 1) == Some(&0);
        (drawn..drawn + 3).map(|kind| kind % 3).find(never)
    }
}

/// The clocks of a run's nodes.
#[derive(Debug)]
struct Clocks {
    nodes: Vec<Arc<NodeClock>>,
    bound_ms: i64,
    on: [bool; 4],
}

impl Clocks {
    /// The clocks of `nodes` nodes, wrong as `seed` says: in a random subset of ways, never in none.
    fn of(seed: u64, right: &Arc<ManualClock>, nodes: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut on = [(); 4].map(|()| rng.random_bool(0.6));
        if let Some(kept) = on.get_mut(rng.random_range(0..4)) {
            *kept = true;
        }
        let bound_ms = rng.random_range(BOUND_MS);
        let mut node = || {
            let dice = StdRng::seed_from_u64(rng.random());
            Arc::new(NodeClock::new(Arc::clone(right), dice, bound_ms, on))
        };
        let nodes = (0..nodes).map(|_| node()).collect();
        Self { nodes, bound_ms, on }
    }

    /// The furthest that two of them can be apart.
    fn spread_ms(&self) -> i64 {
        2 * self.bound_ms
    }

    fn struck(&self) -> [u64; 4] {
        let each = self.nodes.iter().map(|node| node.struck());
        each.fold([0; 4], |mut sum, one| {
            sum.iter_mut().zip(one).for_each(|(sum, one)| *sum += one);
            sum
        })
    }

    fn counts(&self) -> Counts {
        let counted = KINDS.iter().zip(self.struck());
        counted.fold(Counts::none(), |counts, (kind, struck)| counts.struck(kind, struck))
    }

    /// Ways to be wrong that the seed left on and that never struck.
    fn silent(&self) -> Vec<&'static str> {
        let kinds = KINDS.iter().zip(self.on).zip(self.struck());
        kinds.filter(|((_, on), struck)| *on && *struck == 0).map(|((kind, _), _)| *kind).collect()
    }
}

impl fmt::Display for Clocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} nodes within {} ms: {}", self.nodes.len(), self.bound_ms, self.counts())
    }
}

pub(super) async fn nothing_lost_whatever_the_nodes_take_for_the_time(
    run: TrialRun,
) -> TrialResult {
    let runs = match run.budget {
        // One with two nodes, one with three.
        Budget::Smoke => 2,
        Budget::Standard => 20,
        Budget::Soak => 200,
    };
    let mut all = Counts::none().saw("seeds", runs);
    for nth in 0..runs {
        let seed = run.seed.wrapping_add(nth);
        match under_clocks(TrialRun { seed, ..run.clone() }).await? {
            TrialEnd::Passed { counts } => all = all.and(&counts),
            skipped @ TrialEnd::Skipped { .. } => return Ok(skipped),
        }
    }
    Ok(TrialEnd::Passed { counts: all })
}

/// Two nodes or three work, each by its own clock; a further one, whose clock is right, looks in the
/// end at what they left.
async fn under_clocks(run: TrialRun) -> TrialResult {
    let mut stage = Stage::open(&run, 1, false).await?;
    if !stage.context.has(Capability::Claims) {
        return Err(Failure::lacking(Capability::Claims));
    }
    let nodes = if run.seed.is_multiple_of(2) { 2 } else { 3 };
    let clocks = Clocks::of(run.seed, &stage.context.clock, nodes);
    let mut targets = Vec::new();
    for clock in &clocks.nodes {
        targets.push(stage.join(Arc::<NodeClock>::clone(clock), clocks.spread_ms()).await?);
    }
    let workload = Workload {
        seed: run.seed,
        workers_from: 0,
        size: Size { producers: 3, posts_each: 40, claimers: 3 },
        swarm: Swarm::of(run.seed),
        queues: stage.queues().await?,
        targets,
        books: Arc::clone(&stage.books),
        clock: stage.clock(),
    };
    workload.work().await?;
    clocks.nodes.iter().for_each(|clock| clock.heal());
    // A claim made by the clock that is furthest ahead is over for the one that is right.
    let bound_ms = u64::try_from(clocks.bound_ms).unwrap_or(0);
    stage.context.clock.advance(Duration::from_millis(bound_ms));
    workload.empty(&stage.first()).await?;
    let silent = clocks.silent();
    if !silent.is_empty() {
        let reason = format!("seed {}: {silent:?} never struck: {clocks}", run.seed);
        return Err(Failure::inconclusive(reason));
    }
    stage.judge(clocks.counts().saw("nodes", nodes)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_clock_never_goes_back_and_stays_within_its_bound() {
        for seed in 0..200 {
            let right = Arc::new(ManualClock::default());
            let clocks = Clocks::of(seed, &right, 3);
            let mut before = [Timestamp::default(); 3];
            for step in 0..300 {
                right.advance(Duration::from_millis(step % 97));
                for (clock, before) in clocks.nodes.iter().zip(&mut before) {
                    let now = clock.now();
                    let off_ms = (now.as_millis() - right.now().as_millis()).abs();
                    assert!(now >= *before, "seed {seed}: {now:?} after {before:?}");
                    assert!(off_ms <= clocks.bound_ms, "seed {seed}: {off_ms} ms off: {clocks}");
                    *before = now;
                }
            }
            assert!(clocks.silent().is_empty(), "seed {seed}: {clocks}");
        }
    }
}
