//! Python environments: one holds the real clients, one the real identity service, one what
//! makes requests up.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::process;
use crate::workspace::Workspace;

/// What an environment is and holds.
struct Environment {
    /// Its folder in the build directory.
    folder: &'static str,
    /// What is installed, and in which versions.
    requirements: [&'static str; 2],
    /// A module that is there if anything is.
    module: &'static str,
}

const CLIENTS: Environment = Environment {
    folder: "clients-venv",
    requirements: ["tests/clients/requirements.txt", "tests/clients/constraints.txt"],
    module: "zaqarclient",
};
/// Apart from the clients, whose libraries it needs in versions of its own.
const KEYSTONE: Environment = Environment {
    folder: "keystone-venv",
    requirements: ["tests/keystone/requirements.txt", "tests/keystone/constraints.txt"],
    module: "keystone",
};
/// Apart from the clients, for the same reason.
const SCHEMATHESIS: Environment = Environment {
    folder: "schemathesis-venv",
    requirements: ["tests/schemathesis/requirements.txt", "tests/schemathesis/constraints.txt"],
    module: "schemathesis",
};
/// In the environment: what was installed into it, written when all was.
const STAMP: &str = "installed.txt";

#[derive(Args)]
pub(crate) struct SetupArgs {
    /// Build cargo-nextest, too; without it, tests run under cargo test
    #[arg(long)]
    nextest: bool,
}

pub(crate) fn setup(workspace: &Workspace, args: &SetupArgs) -> Result<()> {
    println!("clients installed for {}", clients(workspace)?.display());
    println!("Keystone installed for {}", keystone(workspace)?.display());
    println!("schemathesis installed for {}", schemathesis(workspace)?.display());
    if args.nextest && !process::succeeds(workspace.cargo().args(["nextest", "--version"])) {
        process::run(workspace.cargo().args(["install", "cargo-nextest", "--locked"]))?;
    }
    Ok(())
}

/// The interpreter that has the clients.
pub(crate) fn clients(workspace: &Workspace) -> Result<PathBuf> {
    interpreter(workspace, &CLIENTS)
}

/// The interpreter that has the identity service.
pub(crate) fn keystone(workspace: &Workspace) -> Result<PathBuf> {
    interpreter(workspace, &KEYSTONE)
}

/// The interpreter that has what makes requests up.
pub(crate) fn schemathesis(workspace: &Workspace) -> Result<PathBuf> {
    interpreter(workspace, &SCHEMATHESIS)
}

/// Makes the environment, if it is not there as the requirements want it; returns its interpreter.
fn interpreter(workspace: &Workspace, environment: &Environment) -> Result<PathBuf> {
    let folder = workspace.target_dir.join(environment.folder);
    let python = folder.join("bin/python");
    let wanted = wanted(&workspace.root, environment)?;
    let installed = fs::read_to_string(folder.join(STAMP)).is_ok_and(|held| held == wanted);
    // The interpreter itself is the system's, and may have gone since.
    let import = format!("import {}", environment.module);
    if installed && process::succeeds(Command::new(&python).args(["-c", &import])) {
        return Ok(python);
    }
    if folder.exists() {
        fs::remove_dir_all(&folder).context("cannot remove the outdated environment")?;
    }
    ensure_venv()?;
    process::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let [requirements, _] = environment.requirements;
    process::run(
        Command::new(&python)
            .current_dir(&workspace.root)
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
            .args(["--requirement", requirements]),
    )?;
    fs::write(folder.join(STAMP), wanted).context("cannot mark the environment as finished")?;
    Ok(python)
}

/// What the environment is to hold.
fn wanted(root: &Path, environment: &Environment) -> Result<String> {
    environment
        .requirements
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
