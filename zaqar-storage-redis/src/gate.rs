//! How many operations may be under way, and how many may wait, of all and of each project.
//!
//! A project that floods the store fills its own share and is pushed back; the others' operations
//! still get through. An operation whose caller leaves while it waits here was never begun.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zaqar_core::{Error, ProjectId, Result};

use crate::error::closed;

/// Operations under way.
const UNDER_WAY_MAX: u32 = 512;
/// Operations of one project under way.
const UNDER_WAY_OF_PROJECT_MAX: usize = 256;
/// Operations of one project under way or waiting.
const PRESENT_OF_PROJECT_MAX: usize = 4_096;

/// The gate of a store.
#[derive(Debug)]
pub(crate) struct Gate {
    all: Arc<Semaphore>,
    projects: Mutex<HashMap<ProjectId, Arc<Share>>>,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Share {
    under_way: Arc<Semaphore>,
    present: AtomicUsize,
}

/// Leave to be under way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass {
    _all: OwnedSemaphorePermit,
    _project: Option<(OwnedSemaphorePermit, Presence)>,
}

/// Counts an operation of a project.
#[derive(Debug)]
struct Presence {
    gate: Arc<Gate>,
    project: ProjectId,
    share: Arc<Share>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut projects = self.gate.projects();
        if self.share.present.fetch_sub(1, Ordering::Relaxed) == 1 {
            projects.remove(&self.project);
        }
    }
}

impl Gate {
    pub(crate) fn new() -> Arc<Self> {
        let permits = usize::try_from(UNDER_WAY_MAX).unwrap_or(usize::MAX);
        Arc::new(Self {
            all: Arc::new(Semaphore::new(permits)),
            projects: Mutex::default(),
            closed: AtomicBool::new(false),
        })
    }

    fn projects(&self) -> MutexGuard<'_, HashMap<ProjectId, Arc<Share>>> {
        // Nothing panics while it is held.
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for leave to begin an operation of a project, or of housekeeping.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        operation: &'static str,
        project: Option<&ProjectId>,
    ) -> Result<Pass> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed(operation));
        }
        let presence = project.map(|project| self.count(project)).transpose()?;
        let shut = |_| closed(operation);
        let project = match presence {
            Some(presence) => {
                let under_way = Arc::clone(&presence.share.under_way);
                Some((under_way.acquire_owned().await.map_err(shut)?, presence))
            }
            None => None,
        };
        let all = Arc::clone(&self.all).acquire_owned().await.map_err(shut)?;
        Ok(Pass { _all: all, _project: project })
    }

    fn count(self: &Arc<Self>, project: &ProjectId) -> Result<Presence> {
        let mut projects = self.projects();
        let share = projects.entry(project.clone()).or_insert_with(|| {
            let under_way = Arc::new(Semaphore::new(UNDER_WAY_OF_PROJECT_MAX));
            Arc::new(Share { under_way, present: AtomicUsize::new(0) })
        });
        if share.present.load(Ordering::Relaxed) >= PRESENT_OF_PROJECT_MAX {
            return Err(Error::Overloaded);
        }
        share.present.fetch_add(1, Ordering::Relaxed);
        let share = Arc::clone(share);
        Ok(Presence { gate: Arc::clone(self), project: project.clone(), share })
    }

    /// Lets nobody in any more and waits until everybody is out.
    pub(crate) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Whoever had begun has a permit; they come back one by one.
        if let Ok(all) = self.all.acquire_many(UNDER_WAY_MAX).await {
            self.all.close();
            drop(all);
        }
    }
}
