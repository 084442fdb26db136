//! What is told about Keystone: counters, and a line in the log when it goes and when it is back.

use std::sync::atomic::{AtomicBool, Ordering};

use metrics::Counter;

use super::AuthError;
use super::api::Trouble;

/// Whether Keystone can be asked, as of the last time.
///
/// * `zaqar_auth_tokens_total{outcome}`: tokens of requests, by what is known of them: `cached`
///   (nobody was asked), `valid`, `refused`, `unavailable`.
pub(super) struct Health {
    is_down: AtomicBool,
    cached: Counter,
    valid: Counter,
    refused: Counter,
    unavailable: Counter,
}

impl Health {
    pub(super) fn new() -> Self {
        const NAME: &str = "zaqar_auth_tokens_total";
        metrics::describe_counter!(NAME, "Tokens of requests, by what is known of them.");
        let counter = |outcome: &'static str| metrics::counter!(NAME, "outcome" => outcome);
        Self {
            is_down: AtomicBool::new(false),
            cached: counter("cached"),
            valid: counter("valid"),
            refused: counter("refused"),
            unavailable: counter("unavailable"),
        }
    }

    /// A token was known.
    pub(super) fn cached(&self) {
        self.cached.increment(1);
    }

    /// A token had to be asked about.
    pub(super) fn asked(&self, error: Option<&AuthError>) {
        let counter = match error {
            None => &self.valid,
            Some(AuthError::Refused | AuthError::Unscoped) => &self.refused,
            Some(AuthError::Unavailable) => &self.unavailable,
        };
        counter.increment(1);
    }

    /// Keystone has answered.
    pub(super) fn up(&self) {
        if self.is_down.swap(false, Ordering::Relaxed) {
            tracing::info!("Keystone answers again");
        }
    }

    /// Keystone has not answered, or not so that it helps. The log is told once, not with each
    /// request.
    pub(super) fn down(&self, trouble: &Trouble) {
        if self.is_down.swap(true, Ordering::Relaxed) {
            tracing::debug!(reason = %trouble, "Keystone cannot be asked");
        } else {
            tracing::error!(reason = %trouble, "Keystone cannot be asked: only tokens that are known serve");
        }
    }

    /// Whether it could not be asked last time.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }
}
