//! What can go wrong above the stores.

use zaqar_core::{Effect, Error, ErrorClass, PoolName, Retry};

/// Result of an engine operation.
pub type EngineResult<T> = Result<T, EngineError>;

/// Failure of an engine operation.
///
/// The texts of all variants but [`EngineError::Store`] are made for clients; a transport shows
/// them as they are.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A store refused or failed.
    #[error(transparent)]
    Store(#[from] Error),
    /// A reserved queue attribute has a value that it may not have; nothing was changed.
    #[error("{message}")]
    Attribute {
        /// Which attribute, and what it must be.
        message: String,
    },
    /// The request asks for more or less than is allowed; nothing was changed.
    #[error("{message}")]
    Rejected {
        /// What is allowed.
        message: String,
    },
    /// The project would hold more than its quota; nothing was changed.
    #[error("{message}")]
    Quota {
        /// Which quota.
        message: String,
    },
    /// There are no pools in this installation; nothing was changed.
    #[error("pooling is not enabled")]
    NoPooling,
    /// The data store of a pool cannot be opened; nothing was changed.
    #[error("the data store of the pool cannot be opened")]
    PoolUnreachable,
    /// A pool holds queues that would be out of reach; nothing was changed.
    #[error("pool {name} holds queues")]
    PoolHoldsQueues {
        /// Which.
        name: PoolName,
    },
    /// A metadata change does not fit what is stored; nothing was changed.
    #[error("{message}")]
    PatchConflict {
        /// Which key.
        message: String,
    },
}

impl EngineError {
    pub(crate) fn attribute(message: impl Into<String>) -> Self {
        Self::Attribute { message: message.into() }
    }

    pub(crate) fn rejected(message: impl Into<String>) -> Self {
        Self::Rejected { message: message.into() }
    }

    /// The kind of error.
    #[must_use]
    pub fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Attribute { .. } | Self::Rejected { .. } => ErrorClass::Invalid,
            Self::Quota { .. } => ErrorClass::Forbidden,
            Self::PatchConflict { .. } => ErrorClass::Conflict,
            Self::NoPooling => ErrorClass::NotFound,
            Self::PoolUnreachable => ErrorClass::Invalid,
            Self::PoolHoldsQueues { .. } => ErrorClass::Forbidden,
        }
    }

    /// Whether the operation may have taken effect.
    #[must_use]
    pub fn effect(&self) -> Effect {
        match self {
            Self::Store(error) => error.effect(),
            Self::Attribute { .. }
            | Self::Rejected { .. }
            | Self::Quota { .. }
            | Self::NoPooling
            | Self::PoolUnreachable
            | Self::PoolHoldsQueues { .. }
            | Self::PatchConflict { .. } => Effect::None,
        }
    }

    /// Whether to try again.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Store(error) => error.retry(),
            Self::Attribute { .. }
            | Self::Rejected { .. }
            | Self::Quota { .. }
            | Self::NoPooling
            | Self::PoolUnreachable
            | Self::PoolHoldsQueues { .. }
            | Self::PatchConflict { .. } => Retry::Never,
        }
    }

    /// Whether the cached route is to blame: the incarnation is closed or has moved.
    pub(crate) fn is_stale_route(&self) -> bool {
        matches!(self, Self::Store(Error::QueueGone { .. } | Error::QueueMoved { .. }))
    }
}
