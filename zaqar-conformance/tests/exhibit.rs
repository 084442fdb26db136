//! A trial that fails leaves behind what shows it: files that can be read and judged again.

use std::fs;
use std::sync::Arc;

use zaqar_conformance::loss::history::History;
use zaqar_conformance::loss::verdict::judge;
use zaqar_conformance::reference::{Quirks, ReferenceHarness};
use zaqar_conformance::report::exhibit_name;
use zaqar_conformance::{Outcome, Suite};

#[tokio::test]
async fn a_driver_that_loses_posts_is_shown_to_people() -> anyhow::Result<()> {
    let trial = "loss.concurrent.claims_are_exclusive";
    let quirks = Quirks { drop_one_in_n_posts: true, ..Quirks::none() };
    let suite = Suite::new(Arc::new(ReferenceHarness::with_quirks(quirks))).only([trial]);
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
