//! How a notification reaches one kind of subscriber.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use zaqar_core::{OutboxMessage, QueueKey, Subscription};

use crate::confirmation::Confirmation;

/// A message on its way to a subscriber.
#[derive(Debug, Clone)]
pub struct Notification {
    /// The queue or topic that was posted to.
    pub queue: QueueKey,
    /// Whom to hand it to.
    pub subscription: Subscription,
    /// What was posted.
    pub message: OutboxMessage,
}

impl Notification {
    /// The same for every attempt at this message and this subscription, and for no other pair: a
    /// receiver drops what it has seen.
    #[must_use]
    pub fn id(&self) -> String {
        format!("msg_{}_{}", self.message.id, self.subscription.id)
    }

    /// Which attempt this is, the first being 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.message.attempts.saturating_add(1)
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The subscriber took it.
    Delivered,
    /// It failed; the retry policy says what follows.
    Failed {
        /// Why, for the operator: no body, no secret, no text from the subscriber.
        reason: String,
        /// The earliest next attempt that the subscriber asked for.
        retry_after: Option<Duration>,
        /// Whether another attempt cannot succeed.
        permanent: bool,
    },
    /// The subscriber wants nothing more: its subscription is to be removed.
    Gone,
    /// Nothing was attempted, for now nothing can be: it stays in the outbox, and no attempt counts.
    Busy,
}

impl Verdict {
    /// A failure that another attempt may mend.
    pub fn failed(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), retry_after: None, permanent: false }
    }

    /// A failure that no other attempt mends.
    pub fn hopeless(reason: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), retry_after: None, permanent: true }
    }
}

/// A way to reach subscribers of one kind.
///
/// Cancelling an attempt leaves open whether the subscriber got it; it is made again.
#[async_trait]
pub trait Channel: Debug + Send + Sync + 'static {
    /// Makes one attempt; bounded in time and memory whatever the subscriber does.
    async fn deliver(&self, notification: &Notification) -> Verdict;

    /// Makes one attempt at telling a subscriber about its confirmation.
    async fn confirm(&self, confirmation: &Confirmation) -> Verdict {
        let kind = confirmation.kind;
        Verdict::hopeless(format!("subscribers of this kind are not sent {}", kind.message_type()))
    }
}
