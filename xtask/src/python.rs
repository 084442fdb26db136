//! The Python environment that holds the real clients.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

const REQUIREMENTS: [&str; 2] = ["tests/clients/requirements.txt", "tests/clients/constraints.txt"];
/// In the environment: what was installed into it, written when all was.
const STAMP: &str = "installed.txt";

#[derive(Args)]
pub(crate) struct SetupArgs {
    /// Build cargo-nextest, too; without it, tests run under cargo test
    #[arg(long)]
    nextest: bool,
}

pub(crate) fn setup(workspace: &Workspace, args: &SetupArgs) -> Result<()> {
    let python = environment(workspace)?;
    println!("clients installed for {}", python.display());
    if args.nextest && !process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        process::run(workspace.cargo().args(["install", "cargo-nextest", "--locked"]))?;
    }
    Ok(())
}

/// Makes the environment, if it is not there as the requirements want it; returns its interpreter.
pub(crate) fn environment(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target_dir.join("clients-venv");
    let python = folder.join("bin/python");
    let wanted = wanted(&workspace.root)?;
    let installed = fs::read_to_string(folder.join(STAMP)).is_ok_and(|held| held == wanted);
    // The interpreter itself is the system's, and may have gone since.
    if installed && process::succeeds(Command::new(&python).args(["-c", "import zaqarclient"])) {
        return Ok(python);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove the outdated environment")?;
    }
    ensure_venv()?;
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    process::run(
        Command::new(&python)
            .current_dir(&workspace.root)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--requirement", REQUIREMENTS[0]]),
    )?;
    fs::write(folder.join(STAMP), wanted).context("cannot mark the environment as finished")?;
    Ok(python)
}

/// What the environment is to hold.
fn wanted(root: &Path) -> Result<String> {
    REQUIREMENTS
        .iter()
        .map(|path| fs::read_to_string(root.join(path)).with_context(|| format!("reading {path}")))
        .collect()
}

/// Debian's python3 comes without the module that makes environments.
fn ensure_venv() -> Result<()> {
    let usable =
        || process::succeeds(Command::new("python3").args(["-c", "import ensurepip, venv"]));
    if usable() {
        return Ok(());
    }
    let packages = ["python3", "python3-venv"];
    let by_hand = format!("install them: apt-get install {}", packages.join(" "));
    if !process::is_root()? || !process::succeeds(Command::new("apt-get").arg("--version")) {
        bail!("the client tests need Python with its venv module; {by_hand}");
    }
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
        apt
    };
    process::run(apt().arg("update"))?;
    process::run(apt().args(["install", "--yes", "--no-install-recommends"]).args(packages))?;
    if !usable() {
        bail!("python3 still cannot make environments");
    }
    Ok(())
}
