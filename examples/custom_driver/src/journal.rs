//! Where records go before anybody is answered.

use std::fmt;
use std::io;
use std::path::Path;

use async_trait::async_trait;
use zaqar_core::OpenError;

/// What was appended, a line for each operation.
pub type Lines = Vec<Vec<u8>>;

/// Counts lines from 1, in the order in which they were appended.
pub type Ticket = u64;

/// A line has at most so many bytes.
pub const LINE_BYTES_MAX: usize = 1 << 30;

/// Takes the lines of a store's log, in order, and says when they are on the disk.
///
/// The driver's own is the log file; a [`Store`](crate::Store) on [`Memory`] forgets everything with
/// its process.
#[async_trait]
pub trait Journal: fmt::Debug + Send + Sync + 'static {
    /// Takes one line: what one operation decided, which is to be kept whole or not at all. Never
    /// blocks for longer than it takes to copy it.
    fn append(&self, line: Vec<u8>) -> Ticket;

    /// Whether the log has grown so long that [`Self::rewrite`] is worth while.
    fn wants_rewrite(&self) -> bool;

    /// Puts one line in the place of all that were appended before.
    fn rewrite(&self, snapshot: Vec<u8>) -> Ticket;

    /// Waits until the line of that ticket, and all before it, are on the disk.
    ///
    /// # Errors
    /// If one of them could not be written; then nothing is written ever again.
    async fn flushed(&self, ticket: Ticket) -> io::Result<()>;

    /// Whether a line could not be written.
    fn has_failed(&self) -> bool;

    /// Writes what was appended and lets go of the log. Nothing is appended afterwards.
    fn end(&self);
}

/// Reads the lines of a folder's log and says where to write on.
pub type StartJournal = fn(&Path) -> Result<(Lines, Box<dyn Journal>), OpenError>;

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory;

#[async_trait]
impl Journal for Memory {
    fn append(&self, _: Vec<u8>) -> Ticket {
        0
    }
    fn wants_rewrite(&self) -> bool {
        false
    }
    fn rewrite(&self, _: Vec<u8>) -> Ticket {
        0
    }
    async fn flushed(&self, _: Ticket) -> io::Result<()> {
        Ok(())
    }
    fn has_failed(&self) -> bool {
        false
    }
    fn end(&self) {}
}
