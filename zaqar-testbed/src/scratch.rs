//! Temporary folders for servers' data, and what is left of them when their owner was killed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::{Builder, TempDir};

use crate::disk;

const PREFIX: &str = "zaqar-testbed-";
/// Locked for as long as the folder's owner lives.
const LOCK: &str = "in-use";

/// A folder that goes with its owner; if the owner is killed, the next one removes it.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub(crate) fn new() -> Result<Self> {
        remove_left_over(&std::env::temp_dir());
        let folder = open_to_all(PREFIX)?;
        let draft = folder.path().join("draft");
        let lock = File::create(&draft).context("making a lock")?;
        lock.lock().context("taking a lock")?;
        // Not before it is locked: one that is not, is left over.
        fs::rename(draft, folder.path().join(LOCK)).context("making a lock")?;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A folder that stays until somebody removes it.
pub(crate) fn lasting() -> Result<PathBuf> {
    open_to_all("zaqar-services-").map(TempDir::keep)
}

/// A folder that another user, too, can get into: PostgreSQL does not run as root.
fn open_to_all(prefix: &str) -> Result<TempDir> {
    Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o755))
        .tempdir()
        .context("cannot make a temporary folder")
}

/// Removes folders whose owners were killed. What cannot be removed is somebody else's.
fn remove_left_over(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX));
        let lock = ours.then(|| File::open(entry.path().join(LOCK)).ok()).flatten();
        if lock.is_some_and(|lock| lock.try_lock().is_ok()) {
            disk::unmount_in(&entry.path());
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_whose_owner_was_killed_is_removed_by_the_next_one() {
        let held = Scratch::new().unwrap();
        let left = Scratch::new().unwrap();
        let path = left.path().to_owned();
        let Scratch { folder, _lock } = left;
        let _kept = folder.keep();
        drop(_lock);
        let _next = Scratch::new().unwrap();
        assert!(!path.exists());
        assert!(held.path().exists());
    }

    #[test]
    fn everybody_can_get_into_a_folder() {
        let scratch = Scratch::new().unwrap();
        let mode = fs::metadata(scratch.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }
}
