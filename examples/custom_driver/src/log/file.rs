//! The folder: a lock, a log, and how either comes to be there for good.
//!
//! ```text
//! lock      held by the process that has the folder open
//! log       the frames
//! log.new   a log that is being made; it takes the place of the old one when it is on the disk
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use zaqar_core::OpenError;

use crate::journal::Lines;

use super::frame::{Found, framed, read};

/// The log of a folder that this process has locked.
#[derive(Debug)]
pub(super) struct LogFile {
    folder: PathBuf,
    /// Written to at its end alone.
    pub(super) log: File,
    length: u64,
    /// Held for as long as this value lives: the system lets go of it even if the process is killed.
    _lock: File,
}

/// Locks the folder, makes what is missing, and reads the lines, of which a torn end is cut off.
pub(super) fn open(folder: &Path) -> Result<(Lines, LogFile), OpenError> {
    let lock = locked(folder)?;
    let path = folder.join("log");
    if !path.try_exists().map_err(failed)? {
        new_log(folder, &[]).map_err(failed)?;
        // The folder itself may be new, too.
        if let Some(parent) = folder.parent() {
            sync_folder(parent).map_err(failed)?;
        }
    }
    let bytes = fs::read(&path).map_err(failed)?;
    let (frames, torn) = match read(&bytes) {
        Found::Sound { frames, torn } => (frames, torn),
        Found::Damaged { at } => return Err(damaged(&path, at)),
    };
    let lines = frames.into_iter().flat_map(|frame| frame.split_inclusive(|b| *b == b'\n'));
    let lines = lines.map(<[u8]>::to_vec).collect();
    let log = OpenOptions::new().append(true).open(path).map_err(failed)?;
    let length = bytes_in(bytes.len() - torn);
    if torn > 0 {
        log.set_len(length).map_err(failed)?;
    }
    // Also what an earlier process wrote and did not flush: it is believed from now on.
    log.sync_all().map_err(failed)?;
    Ok((lines, LogFile { folder: folder.to_owned(), log, length, _lock: lock }))
}

impl LogFile {
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes one frame of lines, and flushes it.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let frame = framed(lines).ok_or_else(too_long)?;
        self.log.write_all(&frame)?;
        self.log.sync_data()
    }

    /// Puts a log of these lines in the place of the present one: at every moment one of the two is
    /// there, whole.
    pub(super) fn replace(&mut self, lines: &[u8]) -> io::Result<()> {
        self.log = new_log(&self.folder, &framed(lines).ok_or_else(too_long)?)?;
        Ok(())
    }
}

/// Makes the folder's log anew.
fn new_log(folder: &Path, bytes: &[u8]) -> io::Result<File> {
    let new = folder.join("log.new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, folder.join("log"))?;
    sync_folder(folder)?;
    Ok(file)
}

fn too_long() -> io::Error {
    io::Error::other("the lines are too long for one frame")
}

pub(super) fn bytes_in(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn locked(path: &Path) -> Result<File, OpenError> {
    fs::create_dir_all(path).map_err(failed)?;
    let options = OpenOptions::new().create(true).truncate(false).write(true).to_owned();
    let lock = options.open(path.join("lock")).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => {
            let reason = format!("{} is open in another process", path.display());
            Err(failed(io::Error::new(io::ErrorKind::ResourceBusy, reason)))
        }
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Makes the names in a folder as durable as the files that they name.
fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

fn failed(error: io::Error) -> OpenError {
    OpenError::Backend { source: error.into() }
}

fn damaged(log: &Path, at: usize) -> OpenError {
    let reason = format!(
        "{} holds no frame at byte {at}, and a whole one after it; a crash leaves no such log, \
         so it is not opened: restore it from a copy",
        log.display()
    );
    OpenError::Damaged { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log of these lines, a frame each.
    fn written(folder: &Path, lines: &[&[u8]]) {
        let (_, mut log) = open(folder).unwrap();
        lines.iter().for_each(|line| log.append(line).unwrap());
    }

    fn lines(folder: &Path) -> Vec<Vec<u8>> {
        open(folder).unwrap().0
    }

    #[test]
    fn a_torn_end_is_cut_and_what_comes_next_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &[b"a\n", b"b\n"]);
        let path = folder.path().join("log");
        let whole = fs::read(&path).unwrap();
        for torn in 1..14 {
            fs::write(&path, &whole[..whole.len() - torn]).unwrap();
            assert_eq!(lines(folder.path()), [b"a\n"], "{torn} bytes less");
            written(folder.path(), &[b"c\n"]);
            assert_eq!(lines(folder.path()), [b"a\n", b"c\n"], "{torn} bytes less");
        }
    }

    #[test]
    fn damage_before_the_end_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &[b"a\n", b"b\n"]);
        let path = folder.path().join("log");
        let mut bytes = fs::read(&path).unwrap();
        bytes[12] ^= 1;
        fs::write(&path, &bytes).unwrap();
        let refused = open(folder.path()).unwrap_err();
        assert!(matches!(&refused, OpenError::Damaged { reason } if reason.contains("byte 0")));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_log_that_was_not_finished_does_not_take_the_place_of_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        written(folder.path(), &[b"a\n"]);
        fs::write(folder.path().join("log.new"), b"half of a").unwrap();
        assert_eq!(lines(folder.path()), [b"a\n"]);
        let (_, mut log) = open(folder.path()).unwrap();
        log.replace(b"b\n").unwrap();
        log.append(b"c\n").unwrap();
        drop(log);
        assert_eq!(lines(folder.path()), [b"b\n", b"c\n"]);
    }

    #[test]
    fn a_folder_is_open_once() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path()).unwrap();
        let second = open(folder.path()).unwrap_err();
        assert!(
            matches!(&second, OpenError::Backend { source } if source.to_string().contains("open in another"))
        );
        drop(first);
        open(folder.path()).unwrap();
    }
}
