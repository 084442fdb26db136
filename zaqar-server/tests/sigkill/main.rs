//! The real program is killed with SIGKILL under load, again and again, and keeps its promise:
//! nothing that it acknowledged is lost, nothing deleted comes back, nothing is claimed twice.
//!
//! `ZAQAR_SIGKILL_CYCLES` sets how often (10 unless set), `ZAQAR_SIGKILL_SEED` the plan.

#[path = "../support/mod.rs"]
mod support;

#[cfg(test)]
mod heads;
#[cfg(test)]
mod keyed;
mod ledger;
mod load;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod redrive;
#[cfg(test)]
#[path = "../support/uris.rs"]
mod uris;
mod walk;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ledger::{Counts, Ledger};
use support::program::{Program, command};

/// Whose queues they are.
const PROJECT: &str = "tests";
/// Acknowledged requests after which the program is killed: from, to.
const ACKNOWLEDGED: (u64, u64) = (100, 1_000);

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A small generator of numbers (splitmix64): the plan needs no better one.
struct Plan(u64);

impl Plan {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn between(&mut self, (from, to): (u64, u64)) -> u64 {
        from + self.next() % (to - from + 1)
    }
}

async fn start(file: &Path) -> anyhow::Result<Program> {
    let storage = format!("sqlite:{}", file.display());
    let arguments = [
        "--storage",
        storage.as_str(),
        "--port",
        "0",
        "--admin-bind",
        "",
        "--log-level",
        "warn",
        "--set",
        "transport.max_messages_per_page=1000",
    ];
    let program = Program::start(&mut command(&arguments)).await?;
    let same_file = program.banner.iter().any(|line| line.contains(&file.display().to_string()));
    anyhow::ensure!(same_file, "it serves another file: {:?}", program.banner);
    Ok(program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_revived_or_claimed_twice_however_often_it_is_killed() {
    let cycles = setting("ZAQAR_SIGKILL_CYCLES", 10);
    let seed = setting("ZAQAR_SIGKILL_SEED", 0x5eed);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("zaqar.db");
    let ledger = Arc::new(Ledger::default());
    let mut plan = Plan(seed);
    let begun = Instant::now();
    for cycle in 0..cycles {
        let mut program = start(&file).await.unwrap();
        walk::compare(program.address, PROJECT, &ledger).await.unwrap();
        let target = plan.between(ACKNOWLEDGED);
        let load = load::Load::start(program.address, &ledger, cycle, plan.next());
        load.acknowledged(target).await.unwrap();
        program.child.kill().await.unwrap();
        load.end().await;
    }
    let program = start(&file).await.unwrap();
    walk::compare(program.address, PROJECT, &ledger).await.unwrap();
    let drained = load::drain(program.address, &ledger).await.unwrap();
    walk::compare(program.address, PROJECT, &ledger).await.unwrap();
    assert!(program.terminate().await.unwrap().success());

    let counts = ledger.counts();
    println!("seed {seed:#x}, {cycles} kills in {:.1} s", begun.elapsed().as_secs_f64());
    println!("{counts}, drained at the end: {drained}");
    let violations = ledger.violations();
    assert!(violations.is_empty(), "{violations:#?}");
    // A run in which nothing was in doubt or nothing was taken would have shown nothing.
    let Counts { posted, in_doubt, claimed, deleted, .. } = counts;
    assert!(posted > cycles && claimed > cycles && deleted > cycles && in_doubt > 0, "{counts}");
}
