//! What a subscriber is asked or told about its confirmation.

use std::fmt::Debug;

use zaqar_core::{QueueKey, Subscription};

use crate::signed_url::Grant;

/// What a subscriber is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmationKind {
    /// That somebody subscribed it, and how to confirm.
    Subscribe,
    /// That it gets nothing more, and how to come back.
    Unsubscribe,
}

/// A message to a subscriber about its own subscription, with leave to answer without a token.
#[derive(Debug, Clone)]
pub struct ConfirmationRequest {
    /// What to tell.
    pub kind: ConfirmationKind,
    /// The queue or topic.
    pub queue: QueueKey,
    /// Whom to tell.
    pub subscription: Subscription,
    /// The one path and method that answer, until when.
    pub grant: Grant,
    /// The signature of that.
    pub signature: String,
}

/// Whoever carries such messages to subscribers.
pub trait Confirmations: Debug + Send + Sync + 'static {
    /// Takes a message over; it is sent in the background.
    fn send(&self, request: ConfirmationRequest);
}
