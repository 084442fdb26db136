//! Folders that this process has open: nodes of one process share a store, so that each sees at
//! once what another did.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zaqar_core::OpenError;

use crate::journal::StartJournal;
use crate::store::Store;

static OPEN: Mutex<BTreeMap<PathBuf, Shared>> = Mutex::new(BTreeMap::new());

struct Shared {
    store: Arc<Store>,
    leases: usize,
}

/// A node's share of a store. When the last one is dropped, the store is closed and the folder
/// unlocked; that blocks for as long as the last flush takes.
#[derive(Debug)]
pub(crate) struct Lease {
    folder: PathBuf,
    pub(crate) store: Arc<Store>,
}

/// Opens the store in `folder`, or shares the one that is open.
pub(crate) fn open(folder: &Path, start: StartJournal) -> Result<Lease, OpenError> {
    // Held throughout, so that a store that is just being closed has let go of the folder.
    let mut open = lock();
    std::fs::create_dir_all(folder).map_err(failed)?;
    let folder = folder.canonicalize().map_err(failed)?;
    let store = match open.get_mut(&folder) {
        Some(shared) => {
            shared.leases += 1;
            Arc::clone(&shared.store)
        }
        None => {
            let (lines, journal) = start(&folder)?;
            let store = Store::replay(lines, journal)?;
            let shared = Shared { store: Arc::clone(&store), leases: 1 };
            open.insert(folder.clone(), shared);
            store
        }
    };
    Ok(Lease { folder, store })
}

impl Lease {
    pub(crate) fn location(&self) -> String {
        self.folder.display().to_string()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut open = lock();
        if let Some(shared) = open.get_mut(&self.folder) {
            shared.leases -= 1;
            if shared.leases == 0 {
                shared.store.end();
                open.remove(&self.folder);
            }
        }
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<PathBuf, Shared>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: std::io::Error) -> OpenError {
    OpenError::Backend { source: error.into() }
}
