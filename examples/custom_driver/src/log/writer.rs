//! The thread that writes the log: all lines that wait, one write, one flush, all the answers
//! (group commit).

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::watch;

use super::file::{LogFile, bytes_in};
use crate::journal::{Journal, LINE_BYTES_MAX, Ticket};

/// A log shorter than this is not worth being rewritten.
const REWRITE_BYTES_MIN: u64 = 4 << 20;
/// How many times longer than when it was rewritten last a log must be.
const REWRITE_GROWTH: u64 = 4;

/// The log file as the driver's journal.
#[derive(Debug)]
pub(crate) struct LogWriter {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    progress: watch::Sender<Progress>,
}

/// What is to be written next.
#[derive(Debug, Default)]
struct Waiting {
    /// Takes the place of all that was written before, and comes before `lines`.
    snapshot: Option<Vec<u8>>,
    lines: Vec<Vec<u8>>,
    /// The ticket of the latest line.
    latest: Ticket,
    /// How long the log is once all this is written.
    length: u64,
    /// How long it was after it was rewritten last, or opened.
    base: u64,
    ended: bool,
}

#[derive(Debug, Clone, Default)]
struct Progress {
    /// Lines up to this ticket are on the disk.
    flushed: Ticket,
    /// Why nothing is written any more.
    failure: Option<Arc<io::Error>>,
}

impl LogWriter {
    /// Starts the thread that writes to an opened log.
    pub(super) fn start(log: LogFile) -> io::Result<Self> {
        let length = log.length();
        let waiting = Waiting { length, base: length, ..Waiting::default() };
        let shared = Arc::new(Shared {
            waiting: Mutex::new(waiting),
            wake: Condvar::new(),
            progress: watch::Sender::new(Progress::default()),
        });
        let thread = std::thread::Builder::new().name("log-writer".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_all(log)
        })?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }
}

#[async_trait]
impl Journal for LogWriter {
    fn append(&self, line: Vec<u8>) -> Ticket {
        let mut waiting = self.shared.lock();
        waiting.length = waiting.length.saturating_add(bytes_in(line.len()));
        waiting.lines.push(line);
        waiting.latest += 1;
        self.shared.wake.notify_one();
        waiting.latest
    }

    fn wants_rewrite(&self) -> bool {
        let waiting = self.shared.lock();
        let grown = waiting.base.saturating_mul(REWRITE_GROWTH).max(REWRITE_BYTES_MIN);
        waiting.length > grown
    }

    fn rewrite(&self, snapshot: Vec<u8>) -> Ticket {
        let mut waiting = self.shared.lock();
        (waiting.length, waiting.base) = (bytes_in(snapshot.len()), bytes_in(snapshot.len()));
        // What was still to be written is in the snapshot.
        waiting.lines.clear();
        waiting.snapshot = Some(snapshot);
        waiting.latest += 1;
        self.shared.wake.notify_one();
        waiting.latest
    }

    async fn flushed(&self, ticket: Ticket) -> io::Result<()> {
        let mut progress = self.shared.progress.subscribe();
        let told =
            progress.wait_for(|progress| progress.flushed >= ticket || progress.failure.is_some());
        let told = told.await.map_err(io::Error::other)?;
        match &told.failure {
            Some(failure) if told.flushed < ticket => Err(io::Error::other(Arc::clone(failure))),
            _ => Ok(()),
        }
    }

    fn has_failed(&self) -> bool {
        self.shared.progress.borrow().failure.is_some()
    }

    fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.wake.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            self.shared.fail(io::Error::other("the thread that writes the log has panicked"));
        }
    }
}

/// What is written and flushed at once.
struct Batch {
    snapshot: Option<Vec<u8>>,
    lines: Vec<Vec<u8>>,
    latest: Ticket,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to write; `None` once all is written and nothing more will come.
    fn next(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        loop {
            if waiting.snapshot.is_some() || !waiting.lines.is_empty() {
                return Some(Batch {
                    snapshot: waiting.snapshot.take(),
                    lines: std::mem::take(&mut waiting.lines),
                    latest: waiting.latest,
                });
            }
            if waiting.ended {
                return None;
            }
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn write_all(&self, mut log: LogFile) {
        while let Some(Batch { snapshot, lines, latest }) = self.next() {
            if let Err(error) = write(&mut log, snapshot, &lines) {
                // After a failed flush nobody knows what is on the disk, and the next flush may
                // well succeed and tell nothing of it: the log must be read anew.
                self.fail(error);
                return;
            }
            self.progress.send_modify(|progress| progress.flushed = latest);
        }
    }

    fn fail(&self, error: io::Error) {
        self.progress.send_modify(|progress| progress.failure = Some(Arc::new(error)));
    }
}

fn write(log: &mut LogFile, snapshot: Option<Vec<u8>>, lines: &[Vec<u8>]) -> io::Result<()> {
    if let Some(snapshot) = snapshot {
        log.replace(&snapshot)?;
    }
    let mut batch = Vec::new();
    for line in lines {
        if batch.len().saturating_add(line.len()) > LINE_BYTES_MAX {
            log.append(&batch)?;
            batch.clear();
        }
        batch.extend_from_slice(line);
    }
    log.append(&batch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::file;

    #[tokio::test]
    async fn lines_are_on_the_disk_once_they_are_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let writer = LogWriter::start(file::open(folder.path()).unwrap().1).unwrap();
        let tickets: Vec<Ticket> = (0..100).map(|n| writer.append(vec![n, b'\n'])).collect();
        writer.flushed(tickets[49]).await.unwrap();
        let log = std::fs::read(folder.path().join("log")).unwrap();
        assert!((0..50).all(|n| log.windows(2).any(|pair| pair == [n, b'\n'])));
        writer.end();
    }

    #[tokio::test]
    async fn after_a_failed_write_nothing_is_ever_said_to_be_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = file::open(folder.path()).unwrap().1;
        // A file that is open for reading alone takes no write.
        log.log = std::fs::File::open(folder.path().join("log")).unwrap();
        let writer = LogWriter::start(log).unwrap();
        let (one, two) = (writer.append(b"a\n".to_vec()), writer.append(b"b\n".to_vec()));
        assert!(writer.flushed(one).await.is_err());
        assert!(writer.has_failed());
        assert!(writer.flushed(two).await.is_err());
        let later = writer.rewrite(b"c\n".to_vec());
        assert!(writer.flushed(later).await.is_err());
        writer.end();
        assert!(writer.flushed(later).await.is_err());
    }
}
