//! What can go wrong, and whether anything may have been stored.
//!
//! Two questions decide what a caller does next, so every error answers both: may the effect have
//! happened ([`Error::effect`]), and is a repeat worth while ([`Error::retry`]). Domain variants
//! are definite: the store looked, refused, and changed nothing. Only [`Error::Backend`] can be in
//! doubt, and in doubt it says [`Effect::Unknown`].

use crate::capability::Capability;
use crate::ids::{
    ClaimId, FlavorName, InvalidId, MessageId, PoolName, ProjectId, QueueName, SubscriptionId,
};

/// Result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An engine's own error, kept as the cause for the log; its text never reaches a client.
pub type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Whether a failed operation may have taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Certainly nothing was stored, changed or removed.
    None,
    /// It may have happened, whole; never in part (G2).
    Unknown,
}

/// Whether repeating a failed operation makes sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// The same call gives the same answer.
    Never,
    /// The same call may succeed in a moment.
    Later,
    /// Only after the driver was opened again.
    AfterReopen,
}

/// The kind of an error, for transports: matched exhaustively, so that a new variant of [`Error`]
/// finds its answer without becoming an internal error by accident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// What the caller named is not there, or not the caller's.
    NotFound,
    /// It collides with what is there.
    Conflict,
    /// It is there, and the caller may not do this to it now.
    Forbidden,
    /// The request itself is wrong.
    Invalid,
    /// The driver does not offer this.
    Unsupported,
    /// Not now: overload, or the backend is away.
    Unavailable,
    /// A defect, ours or the backend's.
    Internal,
}

/// Failure of a storage operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No queue or topic of that name in the project.
    #[error("queue {name} does not exist for project {project}")]
    QueueNotFound {
        /// The project asked.
        project: ProjectId,
        /// The name asked for.
        name: QueueName,
    },
    /// The incarnation that the caller resolved is closed: resolve the name again (G11).
    #[error("the incarnation of queue {name} is closed")]
    QueueGone {
        /// The queue's name.
        name: QueueName,
    },
    /// The incarnation moved to another pool: resolve the name again (G17).
    #[error("queue {name} has moved, epoch {epoch}")]
    QueueMoved {
        /// The queue's name.
        name: QueueName,
        /// The epoch of the move; the catalogue holds this one or a later one.
        epoch: u64,
    },
    /// What the operation would change is on its way to another pool; nothing was done (G17).
    #[error("a part of queue {name} is being moved")]
    QueueMoving {
        /// The queue's name.
        name: QueueName,
    },
    /// Metadata changed since the caller read it.
    #[error("queue {name} was changed meanwhile")]
    QueueChanged {
        /// The queue's name.
        name: QueueName,
    },
    /// No such message, or expired, or another queue's.
    #[error("message {id} does not exist in queue {queue}")]
    MessageNotFound {
        /// The queue asked.
        queue: QueueName,
        /// The id asked for.
        id: MessageId,
    },
    /// The message is under a live claim and the caller named none.
    #[error("message {id} is claimed")]
    MessageClaimed {
        /// The message.
        id: MessageId,
    },
    /// The caller named a claim and the message is under none (G6).
    #[error("message {id} is no longer claimed")]
    MessageNotClaimed {
        /// The message.
        id: MessageId,
    },
    /// The message is under another live claim (G6).
    #[error("message {id} is not claimed by {claim}")]
    MessageNotClaimedBy {
        /// The message.
        id: MessageId,
        /// The claim that the caller named.
        claim: ClaimId,
    },
    /// No such claim, or it is over, or all its messages are gone.
    #[error("claim {id} does not exist in queue {queue}")]
    ClaimNotFound {
        /// The queue asked.
        queue: QueueName,
        /// The id asked for.
        id: ClaimId,
    },
    /// The message is stored encrypted and cannot be decrypted here; it stays as it is.
    #[error("message {id} cannot be decrypted: {reason}")]
    Unreadable {
        /// The message.
        id: MessageId,
        /// Why; says nothing about any key.
        reason: &'static str,
    },
    /// Messages are to be stored encrypted and there is no key to do it with; nothing was stored.
    #[error(
        "messages of this queue are stored encrypted, and this server has no key to encrypt with"
    )]
    NoEncryptionKey,
    /// The idempotency key was used for another body (G3).
    #[error("the idempotency key was used for other messages")]
    IdempotencyConflict,
    /// No such subscription, or it is over.
    #[error("subscription {id} does not exist")]
    SubscriptionNotFound {
        /// The id asked for.
        id: SubscriptionId,
    },
    /// The queue has a subscription for that subscriber already.
    #[error("such a subscription exists already")]
    SubscriptionExists,
    /// The lease on this outbox work is over or another's.
    #[error("the lease is over")]
    LeaseLost,
    /// No such pool.
    #[error("pool {name} does not exist")]
    PoolNotFound {
        /// The name asked for.
        name: PoolName,
    },
    /// Another pool uses that URI.
    #[error("the database URI is in use by another pool")]
    PoolUriInUse,
    /// The pool is its flavor's last.
    #[error("pool {name} is in use by flavor {flavor}")]
    PoolInUse {
        /// The pool.
        name: PoolName,
        /// The flavor whose last pool it is.
        flavor: FlavorName,
    },
    /// The pool's driver declares other capabilities than the pools it is to join.
    #[error("the pool does not have the capabilities of its flavor")]
    PoolCapabilitiesMismatch,
    /// No such flavor in the project.
    #[error("flavor {name} does not exist")]
    FlavorNotFound {
        /// The name asked for.
        name: FlavorName,
    },
    /// The catalogue does not map that queue.
    #[error("no pool found for queue {queue} for project {project}")]
    QueueNotMapped {
        /// The project asked.
        project: ProjectId,
        /// The queue asked for.
        queue: QueueName,
    },
    /// The request breaks a rule; nothing was stored.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field at fault.
        field: &'static str,
        /// What is wrong with it, and the limit.
        reason: String,
    },
    /// The driver does not have that capability; nothing was changed.
    #[error("{driver} does not support {operation} (capability {capability:?})")]
    Unsupported {
        /// The operation asked for.
        operation: &'static str,
        /// The driver that refuses.
        driver: &'static str,
        /// What it would need.
        capability: Capability,
    },
    /// Too much is waiting; the operation was not begun.
    #[error("too many operations of this project are waiting")]
    Overloaded,
    /// The backend failed.
    #[error("{operation} failed in the backend")]
    Backend {
        /// The operation that failed.
        operation: &'static str,
        /// Whether it may have taken effect.
        effect: Effect,
        /// Whether to try again.
        retry: Retry,
        /// The engine's own error, for the log alone.
        #[source]
        source: Source,
    },
}

impl Error {
    /// A backend failure.
    pub fn backend(
        operation: &'static str,
        effect: Effect,
        retry: Retry,
        source: impl Into<Source>,
    ) -> Self {
        Self::Backend { operation, effect, retry, source: source.into() }
    }

    /// Whether the operation may have taken effect. Only [`Error::Backend`] can be in doubt.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Backend { effect, .. } => *effect,
            _ => Effect::None,
        }
    }

    /// Whether to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Backend { retry, .. } => *retry,
            Self::Overloaded
            | Self::QueueChanged { .. }
            | Self::QueueMoving { .. }
            | Self::Unreadable { .. }
            | Self::NoEncryptionKey => Retry::Later,
            _ => Retry::Never,
        }
    }

    /// The kind of error.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::QueueNotFound { .. }
            | Self::QueueGone { .. }
            | Self::QueueMoved { .. }
            | Self::MessageNotFound { .. }
            | Self::ClaimNotFound { .. }
            | Self::SubscriptionNotFound { .. }
            | Self::PoolNotFound { .. }
            | Self::FlavorNotFound { .. }
            | Self::QueueNotMapped { .. } => ErrorClass::NotFound,
            Self::QueueChanged { .. }
            | Self::IdempotencyConflict
            | Self::SubscriptionExists
            | Self::LeaseLost
            | Self::PoolUriInUse => ErrorClass::Conflict,
            Self::MessageClaimed { .. }
            | Self::MessageNotClaimed { .. }
            | Self::MessageNotClaimedBy { .. }
            | Self::PoolInUse { .. } => ErrorClass::Forbidden,
            Self::Invalid { .. } | Self::PoolCapabilitiesMismatch => ErrorClass::Invalid,
            Self::Unsupported { .. } => ErrorClass::Unsupported,
            Self::Overloaded
            | Self::QueueMoving { .. }
            | Self::Unreadable { .. }
            | Self::NoEncryptionKey => ErrorClass::Unavailable,
            Self::Backend { retry: Retry::Never, .. } => ErrorClass::Internal,
            Self::Backend { .. } => ErrorClass::Unavailable,
        }
    }
}

impl From<InvalidId> for Error {
    fn from(invalid: InvalidId) -> Self {
        Self::Invalid { field: invalid.field, reason: invalid.reason }
    }
}

/// Failure to open a store. Nothing was changed unless a migration had begun, which completes or
/// leaves the old version.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URI does not say where the store is.
    #[error("the storage URI is not valid: {reason}")]
    InvalidUri {
        /// What is wrong with it; never the URI itself, which may hold a password.
        reason: String,
    },
    /// No driver for that URI scheme is part of this build.
    #[error("no driver for scheme {scheme}: {hint}")]
    UnknownScheme {
        /// The scheme asked for.
        scheme: String,
        /// Which feature to build with, or which schemes there are.
        hint: String,
    },
    /// The store was written by a newer version of this software.
    #[error("the store has schema version {found}, newer than {supported} that this version knows")]
    SchemaTooNew {
        /// The version found in the store.
        found: i64,
        /// The newest version that this software knows.
        supported: i64,
    },
    /// The backend is set up to lose data (G15).
    #[error("the backend may lose messages: {setting} is {value}, must be {safe}")]
    Unsafe {
        /// The setting at fault.
        setting: String,
        /// Its value.
        value: String,
        /// What it must be.
        safe: String,
    },
    /// The store is damaged.
    #[error("the store is damaged: {reason}")]
    Damaged {
        /// What the check found.
        reason: String,
    },
    /// The backend failed while it was being opened.
    #[error("the store could not be opened")]
    Backend {
        /// The engine's own error.
        #[source]
        source: Source,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_backend_failure_can_be_in_doubt() {
        let doubt = Error::backend("post", Effect::Unknown, Retry::Later, "cut");
        assert_eq!(doubt.effect(), Effect::Unknown);
        assert_eq!(doubt.class(), ErrorClass::Unavailable);
        assert_eq!(Error::Overloaded.effect(), Effect::None);
        assert_eq!(Error::IdempotencyConflict.class(), ErrorClass::Conflict);
    }

    #[test]
    fn a_backend_failures_text_does_not_repeat_its_cause() {
        let error = Error::backend("post", Effect::None, Retry::Never, "secret://user:pw@host");
        assert_eq!(error.to_string(), "post failed in the backend");
    }
}
