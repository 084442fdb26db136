//! The process ring is tested too: a store that says it is durable and keeps everything in the
//! memory of its process must be found out by the first kill.

mod forgetful;

use std::process::ExitCode;
use std::sync::Arc;

use forgetful::Forgetful;
use libtest_mimic::{Arguments, Failed, Trial};
use zaqar_conformance::main_macro::{Binary, run};
use zaqar_conformance::{Availability, Outcome, Suite};

/// The trial that must find the bug.
const TRIAL: &str = "fault.process.sigkill_loses_nothing";

fn main() -> ExitCode {
    // The trial starts this binary again as the process to be killed.
    if std::env::var_os("ZAQAR_CONFORMANCE_CHILD").is_some() {
        let binary = Binary {
            package: env!("CARGO_PKG_NAME"),
            test: env!("CARGO_CRATE_NAME"),
            scratch: option_env!("CARGO_TARGET_TMPDIR"),
            licence: env!("CARGO_PKG_LICENSE"),
            manifest: env!("CARGO_MANIFEST_DIR"),
        };
        return run(binary, || Availability::from(Forgetful::default()));
    }
    let test = Trial::test("a_store_that_forgets_when_it_is_killed_is_caught", is_caught);
    libtest_mimic::run(&Arguments::from_args(), vec![test]).exit_code()
}

fn is_caught() -> Result<(), Failed> {
    let suite = Suite::new(Arc::new(Forgetful::default())).only([TRIAL]);
    let report = tokio::runtime::Runtime::new()?.block_on(suite.run())?;
    match report.entries.first().map(|entry| &entry.outcome) {
        Some(Outcome::Failed { evidence }) if evidence.contains("lost") => Ok(()),
        other => Err(Failed::from(format!("the bug was missed: {other:?}"))),
    }
}
