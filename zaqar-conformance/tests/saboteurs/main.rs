//! The suite is tested too: each driver here has one planted bug, and the cases named for it must
//! find it, while the case named beside them does not blame the driver for what it does right.

mod around;
mod keys;
mod page;
mod table;

use std::sync::Arc;

use table::Saboteur;
use zaqar_conformance::reference::ReferenceHarness;
use zaqar_conformance::{Harness, Outcome, Suite};

/// Random seeds within which a trial finds a bug.
const RANDOM_SEEDS: usize = 5;

/// Runs the suite's cases and trials of these ids, with a seed of one's own perhaps.
async fn outcomes(
    harness: Arc<dyn Harness>,
    ids: &[&str],
    seed: Option<u64>,
) -> Vec<(String, Outcome)> {
    let suite = Suite::new(harness).only(ids.iter().copied());
    let suite = match seed {
        Some(seed) => suite.seed(seed),
        None => suite,
    };
    let entries = suite.run().await.map(|report| report.entries).unwrap_or_default();
    let outcomes: Vec<_> = entries.into_iter().map(|entry| (entry.id, entry.outcome)).collect();
    assert_eq!(outcomes.len(), ids.len(), "an id of the table is none of the suite: {ids:?}");
    outcomes
}

/// Every one of `caught_by` fails on the saboteur and passes on the sound driver; `passes` passes on
/// both. What depends on a seed finds the bug by other seeds too.
async fn assert_caught(saboteur: &Saboteur) {
    let Saboteur { plant, caught_by, passes } = *saboteur;
    for (id, outcome) in outcomes(plant.harness(), caught_by, None).await {
        assert!(matches!(outcome, Outcome::Failed { .. }), "{id} missed the bug: {outcome:?}");
    }
    let unblamed = outcomes(plant.harness(), &[passes], None).await;
    let sound: Arc<dyn Harness> = Arc::new(ReferenceHarness::new());
    let unharmed = outcomes(sound, caught_by, None).await;
    for (id, outcome) in unblamed.into_iter().chain(unharmed) {
        assert!(matches!(outcome, Outcome::Passed { .. }), "{id}: {outcome:?}");
    }
    for id in caught_by.iter().filter(|id| is_seeded(id)) {
        assert_caught_by_chance(saboteur, id).await;
    }
}

/// Whether what a case or trial does depends on the seed.
fn is_seeded(id: &str) -> bool {
    ["loss.", "fault.", "model."].iter().any(|kind| id.starts_with(kind))
}

async fn assert_caught_by_chance(saboteur: &Saboteur, id: &str) {
    let seeds: [u64; RANDOM_SEEDS] = rand::random();
    let mut caught = false;
    for seed in seeds {
        let tried = outcomes(saboteur.plant.harness(), &[id], Some(seed)).await;
        caught = tried.iter().all(|(_, outcome)| matches!(outcome, Outcome::Failed { .. }));
        if caught {
            break;
        }
    }
    assert!(caught, "{id} missed the bug by each of the seeds {seeds:?}");
}
