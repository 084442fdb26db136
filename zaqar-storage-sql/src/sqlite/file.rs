//! The file behind a store: what it lies on, how much room is left, and whether it still is there (G15).

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zaqar_core::Health;

use crate::findings::{Finding, tell};

/// Room below which an operator is warned: some thousand large batches.
const ROOM_MIN: u64 = 256 << 20;

/// File systems across a network or in another program, by the number that `statfs` tells. Locks
/// and flushes do not do there what SQLite needs of them.
#[cfg(target_os = "linux")]
const REMOTE: &[(u32, &str)] = &[
    (0x0000_6969, "nfs"),
    (0x0000_517b, "smb"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0x00c3_6400, "ceph"),
    (0x5346_414f, "afs"),
    (0x7375_7245, "coda"),
    (0x0000_564c, "ncp"),
];

/// File systems in memory.
#[cfg(target_os = "linux")]
const MEMORY: &[(u32, &str)] = &[(0x0102_1994, "tmpfs"), (0x8584_58f6, "ramfs")];

/// A file that was opened.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    /// Device and number: another file under the name has others.
    identity: (u64, u64),
}

impl File {
    /// The file that is at `path` now.
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), identity: identity(path)? })
    }

    /// What may lose messages.
    pub(crate) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        match kind(&self.path) {
            Ok(Kind::Remote(name)) => {
                findings.push(Finding::new("file system", name, "a local one"))
            }
            Ok(Kind::Memory(_) | Kind::Other) => {}
            Err(error) => {
                let value = format!("unknown ({})", error.kind());
                findings.push(Finding::new("file system", &value, "a local one"));
            }
        }
        // What is written to a file without a name is gone with the last process that has it open.
        if identity(&self.path).ok() != Some(self.identity) {
            findings.push(Finding::new("file", "removed or replaced", "the one that was opened"));
        }
        findings
    }

    /// Adds what there is to say about the file.
    pub(crate) fn report(&self, health: &mut Health) {
        tell(&self.findings(), health);
        if let Ok(Kind::Memory(name)) = kind(&self.path) {
            let what =
                format!("the file is on {name}: it does not outlive a restart of the machine");
            health.warnings.push(what);
        }
        if let Some(bytes) = room(&self.path).ok().filter(|bytes| *bytes < ROOM_MIN) {
            let mib = bytes >> 20;
            health.warnings.push(format!("{mib} MiB are left on the file's disk; posts fail at 0"));
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

/// Bytes that may still be written beside the file.
fn room(path: &Path) -> io::Result<u64> {
    let free = rustix::fs::statvfs(path)?;
    Ok(free.f_bavail.saturating_mul(free.f_frsize))
}

/// What a file lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Remote(&'static str),
    Memory(&'static str),
    Other,
}

#[cfg(target_os = "linux")]
fn kind(path: &Path) -> io::Result<Kind> {
    // The type of the field differs between machines; the numbers have 32 bits on all of them.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "32 bits are used")]
    let number = rustix::fs::statfs(path)?.f_type as u32;
    Ok(classify(number))
}

/// Elsewhere file systems are not told by a number.
#[cfg(not(target_os = "linux"))]
fn kind(_path: &Path) -> io::Result<Kind> {
    Ok(Kind::Other)
}

#[cfg(target_os = "linux")]
fn classify(number: u32) -> Kind {
    let name = |list: &[(u32, &'static str)]| {
        list.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
    };
    match (name(REMOTE), name(MEMORY)) {
        (Some(name), _) => Kind::Remote(name),
        (None, Some(name)) => Kind::Memory(name),
        (None, None) => Kind::Other,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn file_systems_across_a_network_are_told_from_local_ones() {
        assert_eq!(classify(0x6969), Kind::Remote("nfs"));
        assert_eq!(classify(0xfe53_4d42), Kind::Remote("smb2"));
        assert_eq!(classify(0x0102_1994), Kind::Memory("tmpfs"));
        assert_eq!(classify(0xef53), Kind::Other);
        assert_eq!(kind(Path::new("/proc")).unwrap(), Kind::Other);
        assert!(matches!(kind(Path::new("/dev/shm")), Ok(Kind::Memory("tmpfs")) | Err(_)));
    }

    #[test]
    fn a_file_that_was_replaced_is_not_the_one_that_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "one").unwrap();
        let file = File::at(&path).unwrap();
        assert_eq!(file.findings(), []);
        std::fs::write(folder.path().join("g"), "two").unwrap();
        std::fs::rename(folder.path().join("g"), &path).unwrap();
        assert_eq!(file.findings().len(), 1);
        std::fs::remove_file(&path).unwrap();
        let said: Vec<String> = file.findings().into_iter().map(|found| found.setting).collect();
        assert_eq!(said, ["file system", "file"]);
    }
}
