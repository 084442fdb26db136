//! What a parent and the child process that owns the store say to each other: a line of JSON for a
//! line of JSON.
//!
//! One line carries several jobs, which the child runs at the same time, so that one pipe is no
//! queue of one.

use serde::{Deserialize, Serialize};
use zaqar_core::{
    Effect, Error, Incarnation, ProjectId, QueueKey, QueueName, QueueRef, Retry, Timestamp,
};

use crate::loss::request::{Reply, Request};

/// A queue, as a line names it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WireQueue {
    pub(super) project: ProjectId,
    pub(super) name: QueueName,
    pub(super) incarnation: Incarnation,
}

impl From<&QueueRef> for WireQueue {
    fn from(queue: &QueueRef) -> Self {
        let QueueKey { project, name, .. } = queue.key.clone();
        Self { project, name, incarnation: queue.incarnation }
    }
}

impl From<WireQueue> for QueueRef {
    fn from(queue: WireQueue) -> Self {
        QueueKey::queue(queue.project, queue.name).incarnate(queue.incarnation)
    }
}

/// One thing to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Job {
    /// Finds the queue, or makes it.
    Open { project: ProjectId, name: QueueName },
    /// Carries out a request.
    Call { queue: WireQueue, request: Request },
    /// Does the background work.
    Tend,
}

/// A line to the child.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Batch {
    /// The time: the child's clock is set to it, unless it is ahead.
    pub(super) now: Timestamp,
    pub(super) jobs: Vec<Job>,
}

/// What came of one job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Done {
    Opened(Incarnation),
    Replied(Reply),
    Tended,
    Refused(Refusal),
}

/// An error, as far as a workload needs to know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Refusal {
    /// Whether it may have had its effect all the same.
    in_doubt: bool,
    /// Whether it is the domain's answer to whoever comes too late.
    expected: bool,
    text: String,
}

impl Refusal {
    pub(super) fn of(error: &Error, expected: bool) -> Self {
        let in_doubt = error.effect() == Effect::Unknown;
        Self { in_doubt, expected, text: format!("{error:?}") }
    }

    /// The refusal as the parent's workload sees it; `Err` if no worker can explain it.
    pub(super) fn into_error(self) -> Result<Error, String> {
        if !self.expected {
            return Err(self.text);
        }
        let effect = if self.in_doubt { Effect::Unknown } else { Effect::None };
        Ok(Error::backend("a call of the child process", effect, Retry::Never, self.text))
    }
}
