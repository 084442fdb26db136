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

use super::frame::{Found, framed, read};

/// A folder that this process has locked.
#[derive(Debug)]
pub(crate) struct LogFolder {
    path: PathBuf,
    /// Held for as long as this value lives: the system lets go of it even if the process is killed.
    _lock: File,
}

/// A log that was read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) folder: LogFolder,
    /// At its end, for appending.
    pub(crate) log: File,
    pub(crate) length: u64,
    /// The lines, in order.
    pub(crate) lines: Vec<Vec<u8>>,
}

impl LogFolder {
    /// Locks the folder, makes what is missing, and reads the log, whose torn end it cuts off.
    pub(crate) fn open(path: &Path) -> Result<Opened, OpenError> {
        let lock = locked(path)?;
        let folder = Self { path: path.to_owned(), _lock: lock };
        let log = folder.path.join("log");
        if !log.try_exists().map_err(failed)? {
            folder.replace(&[]).map_err(failed)?;
            // The folder itself may be new, too.
            if let Some(parent) = folder.path.parent() {
                sync_folder(parent).map_err(failed)?;
            }
        }
        let bytes = fs::read(&log).map_err(failed)?;
        let (frames, torn) = match read(&bytes) {
            Found::Sound { frames, torn } => (frames, torn),
            Found::Damaged { at } => return Err(damaged(&log, at)),
        };
        let lines = frames.into_iter().flat_map(|frame| frame.split_inclusive(|b| *b == b'\n'));
        let lines = lines.map(<[u8]>::to_vec).collect();
        let length =
            u64::try_from(bytes.len() - torn).map_err(|error| failed(io::Error::other(error)))?;
        let log = OpenOptions::new().append(true).open(log).map_err(failed)?;
        if torn > 0 {
            log.set_len(length).map_err(failed)?;
        }
        // Also what an earlier process wrote and did not flush: it is believed from now on.
        log.sync_all().map_err(failed)?;
        Ok(Opened { folder, log, length, lines })
    }

    /// Puts a log of these lines in the place of the present one: at every moment one of the two is
    /// there, whole. Returns it with its length.
    pub(super) fn replace(&self, lines: &[u8]) -> io::Result<(File, u64)> {
        let new = self.path.join("log.new");
        let frame = if lines.is_empty() { Some(Vec::new()) } else { framed(lines) };
        let frame =
            frame.ok_or_else(|| io::Error::other("the store is too large for one frame"))?;
        let mut file = File::create(&new)?;
        file.write_all(&frame)?;
        file.sync_all()?;
        fs::rename(&new, self.path.join("log"))?;
        sync_folder(&self.path)?;
        let length = u64::try_from(frame.len()).map_err(io::Error::other)?;
        Ok((file, length))
    }
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
