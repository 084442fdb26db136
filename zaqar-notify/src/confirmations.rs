//! Sends confirmations in the background.
//!
//! They are not kept in a store: a process that ends forgets those that it has not sent, and a
//! subscriber that asks again is sent another.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::channel::Verdict;
use crate::confirmation::Confirmation;
use crate::meters;
use crate::notifier::Shared;
use crate::policy::{PolicyUnreadable, RETRY_POLICY, RetryPolicy};

/// Most confirmations that wait at a time; more are not sent.
const WAITING_MAX: usize = 1_000;
/// How long a busy channel is left alone.
const BUSY: Duration = Duration::from_secs(1);
/// How long to wait for a retry policy that cannot be read.
const UNREADABLE: Duration = Duration::from_secs(5);
/// The longest that a subscriber can put the next attempt off.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// Sends confirmations; cloning shares it.
#[derive(Debug, Clone)]
pub struct Confirmations {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

impl Confirmations {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, tasks: TaskTracker::new() }
    }

    /// Takes a confirmation over and sends it in the background, as often as the retry policy says.
    /// Must be called within a tokio runtime.
    pub fn send(&self, confirmation: Confirmation) {
        if self.tasks.len() >= WAITING_MAX || self.shared.stopping.is_cancelled() {
            meters::confirmation("dropped");
            let subscription = confirmation.subscription.id;
            tracing::warn!(%subscription, "too many confirmations wait: this one is not sent");
            return;
        }
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = shared.stopping.cancelled() => meters::confirmation("dropped"),
                sent = attempts(&shared, &confirmation) => {
                    meters::confirmation(if sent { "sent" } else { "failed" });
                }
            }
        });
    }

    /// Ends what is still waiting.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.tasks.close();
        if timeout(grace, self.tasks.wait()).await.is_err() {
            tracing::warn!("confirmations were cut off");
        }
    }
}

/// Tries until it is sent, or until the policy ends.
async fn attempts(shared: &Shared, confirmation: &Confirmation) -> bool {
    let subscription = &confirmation.subscription;
    let Some(channel) = shared.schemes.channel(subscription) else {
        tracing::warn!(subscription = %subscription.id, "no channel sends such a confirmation");
        return false;
    };
    let queue = loop {
        match shared.policies.queue_policy(&confirmation.queue).await {
            Ok(policy) => break policy,
            Err(PolicyUnreadable) => sleep(UNREADABLE).await,
        }
    };
    let own = subscription.options.get(RETRY_POLICY).and_then(serde_json::Value::as_object);
    let policy = RetryPolicy::choose(own, queue.as_deref());
    let mut failures = 0;
    loop {
        let wait = match channel.confirm(confirmation).await {
            Verdict::Delivered => return true,
            Verdict::Gone => return false,
            Verdict::Busy => BUSY,
            Verdict::Failed { reason, retry_after, permanent } => {
                failures += 1;
                let delay = policy.delay_after(failures).filter(|_| !permanent);
                let Some(delay) = delay else {
                    tracing::warn!(subscription = %subscription.id, reason, "not confirmed");
                    return false;
                };
                delay.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
            }
        };
        sleep(wait).await;
    }
}
