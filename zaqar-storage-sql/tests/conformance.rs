//! The conformance suite over SQLite: a file for each namespace.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use zaqar_conformance::{Drivers, Harness, Namespace, ProcessControl, SelfSpawn, Subject, Waiver};
use zaqar_core::Clock;
use zaqar_storage_sql::{OpenOptions, scratch};

/// The file beside which those of the namespaces lie.
struct SqliteHarness {
    folder: PathBuf,
}

impl SqliteHarness {
    fn new() -> Self {
        Self { folder: Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance-sqlite") }
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
        Some(&SelfSpawn)
    }

    fn waivers(&self) -> Vec<Waiver> {
        Vec::new()
    }
}

zaqar_conformance::main!(SqliteHarness::new);
