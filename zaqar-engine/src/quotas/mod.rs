//! How much a project may hold: queues, topics, messages, and bytes of messages.
//!
//! Queues and topics are counted when one is to be made, under a lock of their project, so that a
//! process makes none too many. Messages are too many to be counted for each post: an `account`
//! of the project holds what the latest `sample` of the stores found and what was accepted here
//! since. A project without a quota costs one look-up.
//!
//! What the service makes for itself (the target of dead letters) is counted and never refused: what
//! was accepted must not be lost for want of room.

mod account;
mod ledger;
mod sample;

use std::collections::HashMap;

use zaqar_core::{ProjectId, QueueKind};

use crate::error::EngineError;
use crate::messages::PostRequest;

pub(crate) use ledger::Ledger;

/// How often posts and queues were refused, by limit.
const REFUSALS: &str = "zaqar_limit_refusals_total";

/// How much one project may hold; `None`: any amount.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Queues.
    pub queues: Option<u64>,
    /// Topics.
    pub topics: Option<u64>,
    /// Live messages in all its queues and topics.
    pub messages: Option<u64>,
    /// Bytes of the bodies of these messages.
    pub bytes: Option<u64>,
}

impl Quota {
    /// Whether messages have to be accounted for.
    fn is_about_messages(&self) -> bool {
        self.messages.is_some() || self.bytes.is_some()
    }

    fn of_kind(&self, kind: QueueKind) -> Option<u64> {
        match kind {
            QueueKind::Queue => self.queues,
            QueueKind::Topic => self.topics,
        }
    }
}

/// The quotas of all projects.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quotas {
    /// What holds for each project that has none of its own.
    pub all: Quota,
    /// Projects' own quotas.
    pub projects: HashMap<ProjectId, Quota>,
}

impl Quotas {
    /// The quota of a project.
    #[must_use]
    pub fn of(&self, project: &ProjectId) -> &Quota {
        self.projects.get(project).unwrap_or(&self.all)
    }
}

/// Messages, and the bytes of their bodies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Amount {
    messages: u64,
    bytes: u64,
}

impl Amount {
    fn of(request: &PostRequest) -> Self {
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        let bytes = request.messages.iter().map(|message| count(message.body.len()));
        Self { messages: count(request.messages.len()), bytes: bytes.fold(0, u64::saturating_add) }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn minus(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_sub(other.messages),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// A quota that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exceeded {
    Queues(QueueKind, u64),
    Messages(u64),
    Bytes(u64),
}

impl Exceeded {
    /// The refusal that says so; counted and, for whoever debugs, logged.
    fn refuse(self, project: &ProjectId) -> EngineError {
        let (limit, message) = match self {
            Self::Queues(QueueKind::Queue, max) => {
                ("queues", format!("This project may have at most {max} queues."))
            }
            Self::Queues(QueueKind::Topic, max) => {
                ("topics", format!("This project may have at most {max} topics."))
            }
            Self::Messages(max) => {
                ("messages", format!("This project may hold at most {max} messages."))
            }
            Self::Bytes(max) => {
                ("bytes", format!("This project may hold at most {max} bytes of messages."))
            }
        };
        metrics::counter!(REFUSALS, "limit" => limit).increment(1);
        tracing::debug!(%project, limit, "a quota is used up");
        EngineError::Quota { message }
    }
}
