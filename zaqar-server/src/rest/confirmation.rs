//! What a subscriber is asked or told about its confirmation.

use std::fmt::Debug;

use http::Method;
use zaqar_core::{QueueKey, Subscription, Timestamp};

use super::subscriptions::path;
use crate::signed_url::{Expiry, Grant, UrlSigner};

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

impl ConfirmationRequest {
    /// With leave to answer until `end`; `None` if there is no secret to sign that with.
    pub(crate) fn sign(
        kind: ConfirmationKind,
        queue: &QueueKey,
        subscription: &Subscription,
        end: Timestamp,
        signer: &UrlSigner,
    ) -> Option<Self> {
        let path = format!("{}/confirm", path(queue, subscription.id));
        let methods = vec![Method::PUT.to_string()];
        let grant = Grant::new(vec![path], methods, queue.project.as_str(), Expiry::at(end));
        let Some(signature) = signer.sign(&grant) else {
            // The configuration is refused at start if it demands confirmation and has no secret.
            tracing::error!("a subscriber is not asked to confirm: there is no secret to sign");
            return None;
        };
        let (queue, subscription) = (queue.clone(), subscription.clone());
        Some(Self { kind, queue, subscription, grant, signature })
    }
}

/// Whoever carries such messages to subscribers.
pub trait Confirmations: Debug + Send + Sync + 'static {
    /// Takes a message over; it is sent in the background.
    fn send(&self, request: ConfirmationRequest);
}
