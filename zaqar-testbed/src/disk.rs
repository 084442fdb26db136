//! A small disk of one's own, which can be full.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::scratch::Scratch;

/// Where it is mounted in a temporary folder.
const MOUNT: &str = "disk";
/// What fills it.
const FILLER: &str = "filler";
/// The file system's unit: less than that is not free in part.
const BLOCK: usize = 4_096;

/// A file system in memory, of a fixed size; gone when dropped. Only root may have one.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    // After the file system in it was unmounted.
    scratch: Scratch,
}

impl Disk {
    /// Makes one of `mib` MiB.
    ///
    /// # Errors
    /// If this user, or this machine, may not mount anything.
    pub fn new(mib: u32) -> Result<Self> {
        let scratch = Scratch::new()?;
        let folder = scratch.path().join(MOUNT);
        fs::create_dir(&folder).context("making a folder to mount on")?;
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m,mode=755"), "tmpfs"])
            .arg(&folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .context("cannot start mount")?;
        ensure!(status.success(), "a file system cannot be mounted here ({status})");
        Ok(Self { folder, scratch })
    }

    /// Whether this process may have one.
    #[must_use]
    pub fn is_possible() -> bool {
        Self::new(1).is_ok()
    }

    /// Where its files are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Leaves no room on it.
    ///
    /// # Errors
    /// If it cannot be written for any other reason.
    pub fn fill(&self) -> Result<()> {
        let file = File::options().create(true).append(true).open(self.folder.join(FILLER));
        let mut file = file.context("opening what fills a disk")?;
        let block = [0; BLOCK];
        loop {
            match file.write(&block) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error).context("filling a disk"),
            }
        }
    }

    /// Makes room again.
    ///
    /// # Errors
    /// If that fails.
    pub fn free(&self) -> Result<()> {
        match fs::remove_file(self.folder.join(FILLER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("removing what fills a disk")
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        unmount_in(self.scratch.path());
    }
}

/// Unmounts the disk in a temporary folder, if there is one, also from under who still works there.
pub(crate) fn unmount_in(folder: &Path) {
    let folder = folder.join(MOUNT);
    if folder.is_dir() {
        let mut command = Command::new("umount");
        let command = command.arg("-l").arg(folder);
        // One that stays mounted is left for the next to try.
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_there_is_room_again() {
        if !Disk::is_possible() {
            eprintln!("left out: nothing may be mounted here");
            return;
        }
        let disk = Disk::new(1).unwrap();
        let path = disk.path().to_owned();
        let file = path.join("file");
        disk.fill().unwrap();
        assert_eq!(fs::write(&file, "x").unwrap_err().kind(), ErrorKind::StorageFull);
        disk.free().unwrap();
        fs::write(&file, "x").unwrap();
        drop(disk);
        assert!(!path.exists());
    }
}
