//! One atomic step: decide, apply, write, wait, answer.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zaqar_core::{Effect, Error, OpenError, Result, Retry, Timestamp};

use crate::journal::{Journal, LINE_BYTES_MAX, Ticket};
use crate::record::Record;
use crate::state::State;

/// What an operation decided: what becomes so, and the answer.
pub(crate) type Decision<T> = Result<(Vec<Record>, T)>;

/// A store that is open, whichever journal it writes to.
pub struct Store {
    memory: Mutex<Memory>,
    journal: Box<dyn Journal>,
}

struct Memory {
    state: State,
    /// The ticket of the latest line: what the state holds is on the disk once that is.
    latest: Ticket,
    ended: bool,
}

/// An answer that must not be given before everything it rests on is on the disk.
pub(crate) struct Pending<T> {
    answer: Result<T>,
    ticket: Ticket,
    operation: &'static str,
    wrote: bool,
}

impl<T> Pending<T> {
    /// Whether this operation itself changed something.
    pub(crate) fn wrote(&self) -> bool {
        self.wrote
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("journal", &self.journal).finish_non_exhaustive()
    }
}

impl Store {
    /// The store that replaying `lines` gives, which writes to `journal` from then on.
    ///
    /// # Errors
    /// [`OpenError::Damaged`] if a line is none of this driver's.
    pub fn replay(
        lines: impl IntoIterator<Item = Vec<u8>>,
        journal: Box<dyn Journal>,
    ) -> Result<Arc<Self>, OpenError> {
        let mut state = State::default();
        for (number, line) in lines.into_iter().enumerate() {
            let records: Vec<Record> = serde_json::from_slice(&line).map_err(|error| {
                let number = number + 1;
                OpenError::Damaged { reason: format!("line {number} of the log: {error}") }
            })?;
            records.into_iter().for_each(|record| state.apply(record));
        }
        let memory = Memory { state, latest: 0, ended: false };
        Ok(Arc::new(Self { memory: Mutex::new(memory), journal }))
    }

    /// Finishes what was decided and lets go of the journal; every later step is refused.
    pub fn end(&self) {
        self.lock().ended = true;
        self.journal.end();
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Decides and applies, under the lock, at the time that `now` tells there. It is done when
    /// this returns, whether or not anybody waits for the answer (G16).
    pub(crate) fn decide<T>(
        &self,
        operation: &'static str,
        now: impl FnOnce() -> Result<Timestamp>,
        decide: impl FnOnce(&State, Timestamp) -> Decision<T>,
    ) -> Pending<T> {
        let mut memory = self.lock();
        let before = memory.latest;
        let answer = self.check(&memory, operation).and_then(|()| {
            let (records, answer) = decide(&memory.state, now()?)?;
            self.record(&mut memory, operation, records)?;
            Ok(answer)
        });
        let ticket = memory.latest;
        Pending { answer, ticket, operation, wrote: ticket > before }
    }

    /// Refuses what could not be kept.
    fn check(&self, memory: &Memory, operation: &'static str) -> Result<()> {
        let reason = if memory.ended {
            "the store is closed"
        } else if self.journal.has_failed() {
            "the log could not be written; the store must be opened again"
        } else {
            return Ok(());
        };
        Err(Error::backend(operation, Effect::None, Retry::AfterReopen, reason))
    }

    fn record(
        &self,
        memory: &mut Memory,
        operation: &'static str,
        records: Vec<Record>,
    ) -> Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        memory.latest = self.journal.append(line(operation, &records)?);
        records.into_iter().for_each(|record| memory.state.apply(record));
        // A store that is too large for one line keeps its long log.
        if self.journal.wants_rewrite()
            && let Ok(snapshot) =
                line(operation, &[Record::Snapshot(Box::new(memory.state.clone()))])
        {
            memory.latest = self.journal.rewrite(snapshot);
        }
        Ok(())
    }

    /// Waits until everything that the answer rests on is on the disk, the writes of others too:
    /// a reader must not be shown what a crash may still undo.
    pub(crate) async fn settle<T>(&self, pending: Pending<T>) -> Result<T> {
        let Pending { answer, ticket, operation, wrote } = pending;
        match self.journal.flushed(ticket).await {
            Ok(()) => answer,
            Err(error) => {
                let effect = if wrote { Effect::Unknown } else { Effect::None };
                Err(Error::backend(operation, effect, Retry::AfterReopen, error))
            }
        }
    }
}

/// The line of one operation: all its records or none are replayed (G2).
fn line(operation: &'static str, records: &[Record]) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(records)
        .map_err(|error| Error::backend(operation, Effect::None, Retry::Never, error))?;
    line.push(b'\n');
    if line.len() > LINE_BYTES_MAX {
        let reason = format!("must have at most {LINE_BYTES_MAX} bytes as they are stored");
        return Err(Error::Invalid { field: "messages", reason });
    }
    Ok(line)
}
