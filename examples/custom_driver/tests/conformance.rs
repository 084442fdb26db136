//! The conformance suite over the driver: a folder for each namespace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use async_trait::async_trait;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver};
use zaqar_core::Clock;

struct LogHarness {
    folder: PathBuf,
}

impl LogHarness {
    fn new() -> Self {
        Self { folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-log") }
    }

    /// Found from the namespace alone: a child process opens the same one.
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
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

zaqar_conformance::main!(LogHarness::new);
