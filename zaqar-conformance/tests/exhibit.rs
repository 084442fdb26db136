//! A trial that fails leaves behind what shows it: files that can be read and judged again.

use std::fs;
use std::sync::Arc;

use zaqar_conformance::loss::history::History;
use zaqar_conformance::loss::verdict::judge;
use zaqar_conformance::reference::{Quirk, ReferenceHarness};
use zaqar_conformance::report::exhibit_name;
use zaqar_conformance::{Outcome, Regressions, Suite};

#[tokio::test]
async fn a_driver_that_loses_posts_is_shown_to_people() -> anyhow::Result<()> {
    let trial = "loss.concurrent.claims_are_exclusive";
    let saboteur = ReferenceHarness::with_quirk(Quirk::DropOneInNPosts);
    let suite = Suite::new(Arc::new(saboteur)).only([trial]);
    let report = suite.run().await?;
    let Some(Outcome::Failed { evidence }) = report.outcome(trial) else {
        anyhow::bail!("the bug was missed: {}", report.text());
    };
    assert!(evidence.starts_with("lost: message p0#"), "{evidence}");
    assert!(evidence.contains("acknowledged by worker"), "{evidence}");

    let folder = tempfile::tempdir()?;
    report.write(folder.path())?;
    let name = exhibit_name(&report.subject, trial, report.seed);
    let read = |kind: &str| fs::read_to_string(folder.path().join(format!("{name}.{kind}")));
    let whole = judge(&History::from_lines(&read("history.jsonl")?)?);
    let shortest = History::from_lines(&read("shortest.jsonl")?)?;
    assert!(shortest.calls.len() < 5, "{:?}", shortest.calls);
    assert_eq!(judge(&shortest).lost.first(), whole.lost.first());
    assert!(read("explained.txt")?.contains("breaks G1, durable acknowledgement"));
    assert!(read("svg")?.starts_with("<svg"));
    let html = report.html();
    assert!(html.contains("<svg xmlns") && html.contains("<summary>Explanation"), "{html}");
    assert!(!html.contains("<script"));
    Ok(())
}

#[tokio::test]
async fn a_seed_that_failed_is_tried_again_before_the_runs_own() -> anyhow::Result<()> {
    let trial = "loss.concurrent.claims_are_exclusive";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tests/regressions.txt");
    let suite = |broken, seed| {
        let harness = match broken {
            true => ReferenceHarness::with_quirk(Quirk::DropOneInNPosts),
            false => ReferenceHarness::new(),
        };
        let kept = Regressions::new(&path, "conformance");
        Suite::new(Arc::new(harness)).only([trial]).seed(seed).regressions(kept)
    };
    // Nothing is kept of a sound driver.
    assert_eq!(suite(false, 1).run().await?.exit_code(), 0);
    assert!(!path.exists());
    assert_eq!(suite(true, 2).run().await?.exit_code(), 1);
    assert_eq!(fs::read_to_string(&path)?, format!("conformance {trial} smoke 2\n"));
    // The seed of old is found first, and is the one that is told of.
    let report = suite(true, 3).run().await?;
    let entry = report.entries.first().expect("the trial was run");
    assert_eq!(entry.seed, Some(2));
    let exhibit = entry.exhibit.as_ref().expect("it failed");
    assert_eq!(History::from_lines(&exhibit.history)?.run, 2);
    // Both seeds are tried on a driver that was mended.
    assert_eq!(suite(false, 3).run().await?.exit_code(), 0);
    Ok(())
}
