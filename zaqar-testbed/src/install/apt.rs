//! Debian's packages, installed without starting what is in them.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Asked by every package that would start a daemon.
const POLICY: &str = "/usr/sbin/policy-rc.d";
/// 101 means "no".
const REFUSAL: &str = "#!/bin/sh\nexit 101\n";

/// Installs `packages`, if there are any.
pub(super) fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !rustix::process::geteuid().is_root() {
        bail!("missing on this machine; as root: apt-get install {list}");
    }
    println!("installing {list}");
    let _quiet = Quiet::new(Path::new(POLICY))?;
    run(&["update"], packages)?;
    run(&["install", "--yes", "--no-install-recommends"], packages)
}

fn run(arguments: &[&str], packages: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet").args(arguments);
    if arguments.first() == Some(&"install") {
        command.args(packages);
    }
    let status = command
        .stdin(Stdio::null())
        // What a caller reads from us is not apt's to write.
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("there is no apt-get here; install {}", packages.join(", ")))?;
    ensure!(status.success(), "apt-get {} failed: {status}", arguments.join(" "));
    Ok(())
}

/// While it lives, packages start no daemons; then the machine's own policy is back.
struct Quiet {
    policy: PathBuf,
    /// Where the machine's own policy is meanwhile, if it has one.
    saved: PathBuf,
}

impl Quiet {
    fn new(policy: &Path) -> Result<Self> {
        let saved = policy.with_extension("d.saved-by-zaqar-testbed");
        let quiet = Self { policy: policy.to_owned(), saved };
        // If an earlier run was killed, the machine's own policy is the one put aside then.
        if !quiet.saved.exists() {
            absent_is_fine(fs::rename(policy, &quiet.saved))
                .context("putting the machine's policy aside")?;
        }
        fs::write(policy, REFUSAL).context("keeping packages from starting daemons")?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))
            .context("keeping packages from starting daemons")?;
        Ok(quiet)
    }

    fn restore(&self) -> std::io::Result<()> {
        if self.saved.exists() {
            fs::rename(&self.saved, &self.policy)
        } else {
            absent_is_fine(fs::remove_file(&self.policy))
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Err(error) = self.restore() {
            eprintln!("{} could not be restored: {error}", self.policy.display());
        }
    }
}

fn absent_is_fine(result: std::io::Result<()>) -> std::io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_policy_is_back_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        fs::write(&policy, "own").unwrap();
        drop(Quiet::new(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "own");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_machine_without_a_policy_has_none_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        let quiet = Quiet::new(&policy).unwrap();
        assert_eq!(fs::read_to_string(&policy).unwrap(), REFUSAL);
        assert_eq!(fs::metadata(&policy).unwrap().permissions().mode() & 0o777, 0o755);
        drop(quiet);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_run_that_was_killed_does_not_cost_the_machine_its_policy() {
        let folder = tempfile::tempdir().unwrap();
        let policy = folder.path().join("policy-rc.d");
        fs::write(&policy, "own").unwrap();
        std::mem::forget(Quiet::new(&policy).unwrap());
        drop(Quiet::new(&policy).unwrap());
        assert_eq!(fs::read_to_string(&policy).unwrap(), "own");
    }
}
