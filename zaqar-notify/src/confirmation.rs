//! What a subscriber is asked or told about its confirmation.

use zaqar_core::{QueueKey, Subscription};

/// What a subscriber is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfirmationKind {
    /// That somebody subscribed it, and how to confirm.
    Subscribe,
    /// That it gets nothing more, and how to come back.
    Unsubscribe,
}

impl ConfirmationKind {
    /// What the message calls itself.
    #[must_use]
    pub fn message_type(self) -> &'static str {
        match self {
            Self::Subscribe => "SubscriptionConfirmation",
            Self::Unsubscribe => "UnsubscribeConfirmation",
        }
    }
}

/// A message to a subscriber about its own subscription, with leave to answer without a token.
#[derive(Clone)]
pub struct Confirmation {
    /// What to tell.
    pub kind: ConfirmationKind,
    /// The queue or topic.
    pub queue: QueueKey,
    /// Whom to tell.
    pub subscription: Subscription,
    /// The path that takes the answer.
    pub path: String,
    /// The method that takes it.
    pub method: String,
    /// When the leave ends, as it was signed.
    pub expires: String,
    /// The signature of the leave: whoever has it may answer.
    pub signature: String,
    /// The whole address of `path`, if the operator said where this API is.
    pub url: Option<String>,
    /// The same for WebSocket.
    pub websocket_url: Option<String>,
}

impl Confirmation {
    /// The same for every attempt at this message, and for no other message.
    #[must_use]
    pub fn id(&self) -> String {
        let kind = match self.kind {
            ConfirmationKind::Subscribe => "subscribe",
            ConfirmationKind::Unsubscribe => "unsubscribe",
        };
        format!("msg_{kind}_{}_{}", self.subscription.id, self.expires)
    }
}

/// The signature stays out of logs.
impl std::fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confirmation")
            .field("kind", &self.kind)
            .field("queue", &self.queue)
            .field("subscription", &self.subscription.id)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
