//! A whole storage driver outside the project's crates: an append-only log file in a folder.
//!
//! It is the driver that `docs/driver-guide.md` builds, conformant to the profiles `core`,
//! `control`, `durable`, `fifo` and `delay`. The idea that keeps it small: an operation looks at the
//! state in memory, under one lock, and decides on records; nothing but applying records
//! changes the state. A record is in the log, and the log on the disk, before anybody is answered,
//! so that replaying the log gives the state that everybody was told of.
//!
//! | module | job |
//! | --- | --- |
//! | `record` | what can happen to a store: the lines of the log |
//! | `state`, `head`, `message` | what is stored, how records change it, and what is asked of it |
//! | `control`, `data` | the controllers of `zaqar-core`: each operation's decision |
//! | [`store`] | one atomic step: decide, apply, write, wait, answer |
//! | [`journal`], `log` | where records go: frames, the file, the thread that writes and flushes it |
//! | `registry` | a folder is opened once in a process, however many nodes use it |
//! | [`node`] | what an application holds |
//!
//! What it is not made for: a store must fit into memory, a claim walks past what is claimed or
//! delayed ahead of it, and rewriting the log holds everybody up for as long as the state takes to
//! be written out as text.

mod control;
mod data;
mod head;
pub mod journal;
mod log;
mod message;
pub mod node;
mod pairs;
mod record;
mod registry;
mod state;
pub mod store;

use std::path::Path;
use std::sync::Arc;

use zaqar_core::{Capabilities, Capability, Clock, OpenError};

pub use journal::{Journal, StartJournal};
pub use node::Node;
pub use store::Store;

/// The driver's name.
pub const NAME: &str = "log-file";

/// Everything that the driver can do.
#[must_use]
pub fn capabilities() -> Capabilities {
    [
        Capability::Fifo,
        Capability::Claims,
        Capability::Durable,
        Capability::AtLeastOnce,
        Capability::Delay,
        Capability::VirtualTime,
    ]
    .into_iter()
    .collect()
}

/// Opens the store in `folder`, making it if it is not there, as one more node of this process.
///
/// The node is both planes: [`zaqar_core::ControlDriver`] and [`zaqar_core::DataDriver`].
///
/// # Errors
/// [`OpenError::Backend`] if another process has it open or the file system fails,
/// [`OpenError::Damaged`] if the log holds what this driver did not write there.
pub async fn open(folder: &Path, clock: Arc<dyn Clock>) -> Result<Node, OpenError> {
    open_with(folder, clock, log::start).await
}

/// As [`open`], with another journal, of which a process has one for a folder: `start` reads the
/// lines that are there and says where to write on.
///
/// # Errors
/// As [`open`], and what `start` meets.
pub async fn open_with(
    folder: &Path,
    clock: Arc<dyn Clock>,
    start: StartJournal,
) -> Result<Node, OpenError> {
    let folder = folder.to_owned();
    // Reading a log blocks. Once begun it is finished, also when the caller goes away: the lease
    // that nobody takes is dropped, and the folder with it.
    let opened = tokio::task::spawn_blocking(move || registry::open(&folder, start)).await;
    let lease = opened.map_err(|error| OpenError::Backend { source: error.into() })??;
    Ok(Node::leased(lease, clock))
}
