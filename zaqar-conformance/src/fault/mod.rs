//! Faults, in rings around a driver: its callers fail and go away ([`caller`], [`cancel`]), its
//! nodes' clocks disagree (`clock`), its process is killed (`process`) and
//! seen to flush ([`flush`]), its backend is killed, frozen and cut off ([`backend`]). Each ring
//! follows a seed ([`plan`]) and counts what struck.

pub mod backend;
pub mod caller;
pub mod cancel;
pub mod flush;
pub mod plan;

mod clock;
mod node;
mod process;
mod serve;
mod wire;

pub use serve::serve_child;

use std::sync::Arc;

use zaqar_core::{Capability, DataDriver};

use crate::case::Failure;
use crate::case::Guarantee::{G1, G2, G3, G4, G5, G6, G7, G8, G9, G16};
use crate::counts::Counts;
use crate::loss::Stage;
use crate::loss::worker::{Direct, Target};
use crate::loss::workload::{Size, Workload};
use crate::suite::{Budget, SuiteTrial, TrialEnd, TrialResult, TrialRun};
use caller::FaultStage;
use plan::{FaultPlan, Swarm};

/// The trials that this module adds to the suite.
pub(crate) fn trials() -> Vec<SuiteTrial> {
    vec![
        SuiteTrial::new(
            "fault.caller.nothing_lost_under_failures_and_cancellation",
            &[G1, G2, G3, G4, G5, G6, G7, G8, G9, G16],
            nothing_lost_under_failures_and_cancellation,
        )
        .needs(Capability::Claims),
        SuiteTrial::new(
            "fault.clock.nothing_lost_whatever_the_nodes_take_for_the_time",
            &[G1, G2, G3, G4, G5, G6, G7, G8, G9],
            clock::nothing_lost_whatever_the_nodes_take_for_the_time,
        )
        .needs(Capability::VirtualTime),
        SuiteTrial::new(
            "fault.process.sigkill_loses_nothing",
            &[G1, G2, G3, G4, G5, G6, G7, G8, G9],
            process::sigkill_loses_nothing,
        )
        .needs(Capability::Durable),
    ]
}

async fn nothing_lost_under_failures_and_cancellation(run: TrialRun) -> TrialResult {
    let runs = match run.budget {
        Budget::Smoke => 4,
        Budget::Standard => 20,
        Budget::Soak => 200,
    };
    let mut all = Counts::none().saw("seeds", runs);
    for nth in 0..runs {
        let seed = run.seed.wrapping_add(nth);
        let one = TrialRun { seed, ..run.clone() };
        match under_faults(one).await? {
            TrialEnd::Passed { counts } => all = all.and(&counts),
            skipped @ TrialEnd::Skipped { .. } => return Ok(skipped),
        }
    }
    Ok(TrialEnd::Passed { counts: all })
}

async fn under_faults(run: TrialRun) -> TrialResult {
    // Two handles or three, by turns.
    let handles = if run.seed.is_multiple_of(2) { 2 } else { 3 };
    let stage = Stage::open(&run, handles, true).await?;
    let plan = Arc::new(FaultPlan::of(run.seed));
    let faulty = |data: &Arc<dyn DataDriver>| -> Arc<dyn Target> {
        Arc::new(Direct(Arc::new(FaultStage::new(Arc::clone(data), Arc::clone(&plan)))))
    };
    let workload = Workload {
        seed: run.seed,
        workers_from: 0,
        size: Size { producers: 3, posts_each: 40, claimers: 3 },
        swarm: Swarm::of(run.seed),
        queues: stage.queues().await?,
        targets: stage.data().map(faulty).collect(),
        books: Arc::clone(&stage.books),
        clock: stage.clock(),
    };
    workload.work().await?;
    plan.heal();
    workload.empty(&stage.first()).await?;
    let silent = plan.silent();
    if plan.fired() == 0 || !silent.is_empty() {
        let reason = format!("seed {}: {silent:?} never struck: {plan}", run.seed);
        return Err(Failure::inconclusive(reason));
    }
    stage.judge(plan.counts()).await
}
