//! Three heads behind HAProxy with two pools, as `examples/three-heads/run.sh` starts them: heads are
//! killed in turn under load, and nothing that was acknowledged is lost, nothing stored twice, and no
//! client meets an error that trying again does not mend.
//!
//! `ZAQAR_HEADS_KILLS` sets how often (6 unless set), `ZAQAR_HEADS_PERIOD_MS` the time between two
//! (1,500 unless set).

mod installation;
pub(crate) mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zaqar_testbed::Service;

use crate::ledger::Ledger;
use crate::uris::{file_uri, uri_in};
use crate::{setting, walk};
use installation::Heads;
use load::Load;

/// The stores of the installation: a file for the control plane, and two pools on other engines.
/// `None` leaves the test out.
fn uris(folder: &TempDir) -> Option<[String; 3]> {
    let control = file_uri(folder);
    // A data store belongs to one installation: the numbers of another one's queues are the same.
    let namespace = format!("zaqar_heads_{}", uuid::Uuid::new_v4().simple());
    let east = uri_in(Service::Redis, &namespace)?;
    let west = uri_in(Service::Mysql, &namespace)?;
    Some([control, east, west])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_while_heads_are_killed_in_turn() {
    let kills = setting("ZAQAR_HEADS_KILLS", 6);
    let period = Duration::from_millis(setting("ZAQAR_HEADS_PERIOD_MS", 1_500));
    let folder = tempfile::tempdir().unwrap();
    let Some([control, east, west]) = uris(&folder) else { return };
    let uris = [
        ("ZAQAR_CONTROL_URI", control.as_str()),
        ("ZAQAR_EAST_URI", east.as_str()),
        ("ZAQAR_WEST_URI", west.as_str()),
    ];
    let heads = Heads::start(folder.path(), uris).await.unwrap();
    let begun = Instant::now();
    let ledger = Arc::new(Ledger::default());
    let project = format!("heads-{}", std::process::id());
    let load = Load::start(heads.address, &project, &ledger);
    load.acknowledged(100).await.unwrap();
    let mut strikes = tokio::time::interval(period);
    for number in 0..kills {
        strikes.tick().await;
        heads.kill(number % 3 + 1).unwrap();
        // Work goes on while a head is away, however slow the machine.
        load.acknowledged(load.count() + 50).await.unwrap();
    }
    let repeats = load.end().await.unwrap_or_else(|error| panic!("{error:#}\n{}", heads.logs()));
    let compared = walk::compare(heads.address, &project, &ledger).await;
    compared.unwrap_or_else(|error| panic!("{error:#}\n{}", heads.logs()));
    let counts = ledger.counts();
    println!(
        "{kills} kills in {:.1} s, {repeats} repeats; {counts}",
        begun.elapsed().as_secs_f64()
    );
    let violations = ledger.violations();
    assert!(violations.is_empty(), "{violations:#?}\n{}", heads.logs());
    assert!(counts.posted > 0 && counts.claimed > 0 && counts.deleted > 0, "{counts}");
    // A run in which no client noticed anything would have shown nothing.
    assert!(repeats > 0, "no request was repeated");
    assert_eq!((counts.in_doubt, counts.deletions_in_doubt), (0, 0), "{counts}");
    heads.stop().await.unwrap();
}
