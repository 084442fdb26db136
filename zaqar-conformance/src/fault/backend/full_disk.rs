//! The trial that leaves the backend no room: what it cannot keep it must not accept.

use super::BackendControl;
use super::ring::Ring;
use super::strikes::{Struck, cycles, posts_again, skipped};
use crate::case::Failure;
use crate::suite::{TrialResult, TrialRun};

/// Workloads that a full disk may still have room for, in what the backend had set aside.
const WORKLOADS_MAX: u32 = 50;

pub(super) async fn full_disk(run: TrialRun) -> TrialResult {
    let Some(control) = run.harness.backend() else { return skipped() };
    let mut ring = Ring::open(&run).await?;
    // There is something to lose.
    ring.workload().work().await?;
    let mut refusals = Struck::default();
    for _ in 0..cycles(run.budget) {
        until_refused(control, &mut ring, &mut refusals).await?;
        if !posts_again(&mut ring).await? {
            let posts = ring.posts();
            let text = format!("there is room again, and {posts} posts in a row failed");
            ring.complain(Failure::broken(text));
            break;
        }
    }
    refusals.check("full disks")?;
    ring.conclude(refusals.counts("full_disks")).await
}

/// Works on a full disk until a post is refused, then on one that has room again.
async fn until_refused(
    control: &dyn BackendControl,
    ring: &mut Ring,
    refusals: &mut Struck,
) -> Result<(), Failure> {
    control.fill_disk().await?;
    for _ in 0..WORKLOADS_MAX {
        let workload = ring.workload();
        let refused = ring.gauge.tally().posts_failed;
        let mut work = std::pin::pin!(workload.work());
        tokio::select! {
            biased;
            worked = &mut work => {
                worked?;
                continue;
            }
            () = ring.gauge.reached(|tally| tally.posts_failed > refused) => {}
        }
        let down = ring.gauge.down();
        refusals.count(ring.gauge.in_hand());
        control.free_disk().await?;
        drop(down);
        return work.await;
    }
    let reason = format!("{WORKLOADS_MAX} workloads fitted on the full disk");
    Err(Failure::inconclusive(reason))
}
