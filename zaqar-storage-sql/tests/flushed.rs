//! SQLite's write-ahead log is flushed before a post is acknowledged: seen by strace.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use zaqar_conformance::fault::flush::Flushing;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, Subject, Waiver};
use zaqar_core::Clock;
use zaqar_storage_sql::{OpenOptions, scratch};

fn main() -> ExitCode {
    Flushing::new(zaqar_conformance::binary!()).on("sqlite", "-wal", SqliteHarness::new).run()
}

/// The file beside which those of the namespaces lie.
struct SqliteHarness {
    folder: PathBuf,
}

impl SqliteHarness {
    fn new() -> Self {
        Self { folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("flushed-sqlite") }
    }

    fn uri(&self) -> String {
        format!("sqlite://{}", self.folder.join("store.db").display())
    }
}

#[async_trait]
impl Harness for SqliteHarness {
    fn subject(&self) -> Subject {
        Subject {
            driver: "sqlite".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            backend: "SQLite, bundled".into(),
            mode: "file".into(),
        }
    }

    async fn open(&self, ns: &Namespace, clock: Arc<dyn Clock>) -> anyhow::Result<Drivers> {
        std::fs::create_dir_all(&self.folder).context("making the folder")?;
        // The file is found from the namespace alone: a child process opens the same one.
        let uri = scratch::uri(&self.uri(), ns.as_str())?;
        let drivers = zaqar_storage_sql::open(&uri, OpenOptions::new(clock)).await?;
        Ok(Drivers { control: drivers.control, data: drivers.data })
    }

    async fn wipe(&self, ns: &Namespace) -> anyhow::Result<()> {
        Ok(scratch::remove(&self.uri(), ns.as_str()).await?)
    }

    fn process(&self) -> Option<&dyn ProcessControl> {
        None
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}
