//! The log is flushed before a post is acknowledged: seen by strace.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use zaqar_conformance::fault::flush::Flushing;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::Clock;

fn main() -> ExitCode {
    Flushing::new(zaqar_conformance::binary!()).on("log", "/log", LogHarness::new).run()
}

struct LogHarness {
    folder: PathBuf,
}

impl LogHarness {
    fn new() -> Self {
        Self { folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("flushed-log") }
    }

    fn of(&self, ns: &Namespace) -> PathBuf {
        self.folder.join(ns.as_str())
    }
}

#[async_trait]
impl Harness for LogHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: custom_driver::NAME.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "a log file".into(),
            mode: "folder".into(),
        }
    }

    /// Each plane gets a node of its own: they are closed one after the other.
    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        let control = custom_driver::open(&self.of(ns), Arc::clone(&clock)).await?;
        let data = custom_driver::open(&self.of(ns), clock).await?;
        Ok(Drivers { control: Arc::new(control), data: Arc::new(data) })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        match std::fs::remove_dir_all(self.of(ns)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("removing the folder")
            }
            _ => Ok(()),
        }
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}
