//! The driver at three earlier stages of `docs/driver-guide.md`, each under the whole suite.
//!
//! What the suite says of each is in `stages/`, and this test compares: the verdicts, and the
//! outcome of every case and trial that the file names. What is written is written by
//!
//! ```sh
//! STAGES=write cargo test -p custom-driver --test stages
//! ```

extern crate self as my_driver;

mod buffered;
mod harness;
mod output;

/// What the guide has its reader begin with.
#[path = "../../first/src/lib.rs"]
mod first;
#[path = "../../first/tests/conformance.rs"]
mod first_conformance;

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, ensure};
use libtest_mimic::{Arguments, Trial};
use zaqar_conformance::{Report, Suite};

pub use first::{Driver, Store};
use harness::{Stage, StageHarness};

/// The namespace that a child process of the suite opens; only the third stage has any.
const CHILD: &str = "ZAQAR_CONFORMANCE_CHILD";

fn main() -> ExitCode {
    if std::env::var_os(CHILD).is_some() {
        let make = || StageHarness::new(Stage::Logged).into();
        return zaqar_conformance::main_macro::run(zaqar_conformance::binary!(), make);
    }
    let mut trials = vec![Trial::test("the_first_case_is_green", || Ok(first_case()?))];
    trials.extend(Stage::ALL.map(|stage| {
        Trial::test(format!("{}_is_as_the_file_says", stage.file()), move || Ok(compare(stage)?))
    }));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn run(suite: Suite) -> anyhow::Result<Report> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let report = runtime.block_on(suite.run())?;
    runtime.shutdown_background();
    Ok(report)
}

fn first_case() -> anyhow::Result<()> {
    let harness = Arc::new(first_conformance::MyHarness::default());
    let report = run(Suite::new(harness).only(["queue.incarnation.never_repeated"]))?;
    ensure!(report.entries.len() == 1 && report.exit_code() == 0, "{}", report.text());
    Ok(())
}

fn compare(stage: Stage) -> anyhow::Result<()> {
    let report = run(Suite::new(Arc::new(StageHarness::new(stage))))?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = folder.join("stages").join(stage.file());
    if std::env::var("STAGES").is_ok_and(|value| value == "write") {
        let text = output::of(stage, &report);
        std::fs::write(&file, &text).context("writing the file")?;
        return quote(&folder.join("../../docs/driver-guide.md"), stage, &text);
    }
    let committed = std::fs::read_to_string(&file).context("reading the file")?;
    output::compare(&committed, &report)
}

/// Brings what the guide quotes of the file up to date.
fn quote(guide: &Path, stage: Stage, text: &str) -> anyhow::Result<()> {
    // The stages' tests run side by side, and all of them write the one guide.
    static GUIDE: Mutex<()> = Mutex::new(());
    let _alone = GUIDE.lock();
    let old = std::fs::read_to_string(guide).context("reading the guide")?;
    let new = output::quoted(&old, stage, text).context("the guide does not quote the file")?;
    std::fs::write(guide, new).context("writing the guide")
}
