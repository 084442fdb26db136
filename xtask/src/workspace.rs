//! Where the checkout and its build directory are.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::process;

/// The checkout that `cargo xtask` was called in.
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    pub(crate) root: PathBuf,
    /// Cargo's build directory, wherever the caller's settings put it.
    pub(crate) target_dir: PathBuf,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        // At run time, not at compile time: several checkouts may share one build directory.
        let manifest_dir = env::var_os("CARGO_MANIFEST_DIR")
            .context("CARGO_MANIFEST_DIR is unset; start this program as `cargo xtask`")?;
        let root = Path::new(&manifest_dir)
            .parent()
            .context("the xtask crate must be in a folder of the workspace")?
            .to_owned();
        let metadata = process::capture(process::cargo(&root).args([
            "metadata",
            "--no-deps",
            "--format-version=1",
        ]))?;
        let metadata: serde_json::Value =
            serde_json::from_str(&metadata).context("`cargo metadata` printed no JSON")?;
        let target_dir = metadata
            .get("target_directory")
            .and_then(serde_json::Value::as_str)
            .context("`cargo metadata` names no target directory")?
            .into();
        Ok(Self { root, target_dir })
    }

    /// Cargo, run in this workspace.
    pub(crate) fn cargo(&self) -> std::process::Command {
        process::cargo(&self.root)
    }
}
