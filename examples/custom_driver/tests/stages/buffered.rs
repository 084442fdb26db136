//! The third stage's log: lines in a file, through a buffer that is written when it is full or the
//! store is closed. Everybody is answered at once.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use custom_driver::Journal;
use custom_driver::journal::{Lines, Ticket};
use zaqar_core::OpenError;

/// Larger than what one life of a process under test writes.
const BUFFER_BYTES: usize = 64 << 20;

#[derive(Debug)]
pub(crate) struct Buffered {
    log: Mutex<BufWriter<File>>,
    failed: AtomicBool,
}

impl Buffered {
    pub(crate) fn open(folder: &Path) -> Result<(Lines, Box<dyn Journal>), OpenError> {
        let (lines, log) =
            read(folder).map_err(|error| OpenError::Backend { source: error.into() })?;
        let log = Mutex::new(BufWriter::with_capacity(BUFFER_BYTES, log));
        Ok((lines, Box::new(Self { log, failed: AtomicBool::new(false) })))
    }

    fn remember(&self, result: io::Result<()>) {
        if result.is_err() {
            self.failed.store(true, Ordering::SeqCst);
        }
    }
}

fn read(folder: &Path) -> io::Result<(Lines, File)> {
    let path = folder.join("lines");
    let log = OpenOptions::new().create(true).append(true).open(&path)?;
    let text = std::fs::read(&path)?;
    Ok((text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect(), log))
}

#[async_trait]
impl Journal for Buffered {
    fn append(&self, line: Vec<u8>) -> Ticket {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.remember(log.write_all(&line));
        0
    }
    fn wants_rewrite(&self) -> bool {
        false
    }
    fn rewrite(&self, snapshot: Vec<u8>) -> Ticket {
        self.append(snapshot)
    }
    /// The mistake: what is in the buffer is lost with the process.
    async fn flushed(&self, _: Ticket) -> io::Result<()> {
        Ok(())
    }
    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }
    fn end(&self) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        self.remember(log.flush());
    }
}
