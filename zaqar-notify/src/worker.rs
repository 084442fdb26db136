//! One delivery: the messages of one subscription, one after the other, under a lease.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval_at, sleep};
use zaqar_core::{
    Delivery, DeliveryOutcome, Error, MessageId, OutboxMessage, Retry, Timestamp, Ttl,
};

use crate::channel::{Channel, Notification, Verdict};
use crate::meters::Meters;
use crate::notifier::Shared;
use crate::policy::{PolicyUnreadable, RETRY_POLICY, RetryPolicy};
use crate::projects::Projects;

/// Outcomes older than this are recorded before the next attempt: they are what a crash repeats.
const UNRECORDED_MAX: Duration = Duration::from_secs(1);
/// How long a busy subscriber is left alone.
const BUSY_S: u64 = 1;
/// How long deliveries wait whose retry policy cannot be read.
const UNREADABLE_S: u64 = 5;
/// The longest that a subscriber can put the next attempt off.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// How often recording is tried while the store fails.
const RECORD_TRIES: u32 = 5;
const RECORD_PAUSE: Duration = Duration::from_millis(100);

/// Why a delivery ends before its last message.
#[derive(Debug)]
enum End {
    /// Another has the lease, or there is nothing to deliver to any more.
    Lost,
    /// The subscriber takes nothing for now.
    Busy,
    /// The subscriber wants nothing more.
    Gone,
}

/// Makes deliveries.
pub(crate) struct Worker {
    shared: Arc<Shared>,
    meters: Meters,
    projects: Projects,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>, meters: Meters) -> Self {
        let projects = Projects::new(shared.config.per_project_max);
        Self { shared, meters, projects }
    }

    /// Delivers what was leased, records it and gives the lease back.
    pub(crate) async fn work(&self, delivery: Delivery) {
        // What goes to a connection of this process takes no time worth counting.
        let turn = match delivery.subscription.owner {
            Some(_) => None,
            None => match self.projects.enter(&delivery.queue.key.project).await {
                Ok(turn) => Some(turn),
                Err(away) => return self.put_off(&delivery, away).await,
            },
        };
        self.run(delivery).await;
        drop(turn);
    }

    /// Leaves a subscription alone: its project has as many deliveries under way as it may.
    async fn put_off(&self, delivery: &Delivery, away: Ttl) {
        self.meters.busy.increment(1);
        let outbox = self.shared.data.outbox();
        if let Err(error) = persist(|| outbox.delivery_renew(delivery, away)).await {
            // It is handed out again when its lease ends.
            tracing::debug!(error = %chain(&error), "a lease was not shortened");
        }
    }

    async fn run(&self, delivery: Delivery) {
        let mut run = Run {
            worker: self,
            delivery,
            told: Vec::new(),
            told_at: None,
            policy: None,
            is_waiting: false,
        };
        if let Err(error) = run.through().await {
            tracing::warn!(
                error = %chain(&error),
                subscription = %run.delivery.subscription.id,
                "deliveries could not be recorded and will be made again"
            );
        }
    }
}

struct Run<'w> {
    worker: &'w Worker,
    delivery: Delivery,
    /// What became of messages since it was recorded last.
    told: Vec<(MessageId, DeliveryOutcome)>,
    /// When the first of these was.
    told_at: Option<Instant>,
    /// The policy, once it was asked for.
    policy: Option<RetryPolicy>,
    /// Whether a message was left where it is, as nobody can tell what is to become of it.
    is_waiting: bool,
}

impl Run<'_> {
    fn shared(&self) -> &Shared {
        &self.worker.shared
    }

    async fn through(&mut self) -> Result<(), Error> {
        let channel = self.shared().schemes.channel(&self.delivery.subscription);
        let messages = self.delivery.messages.clone();
        for message in messages {
            if self.shared().stopping.is_cancelled() {
                break;
            }
            if self.told_at.is_some_and(|since| since.elapsed() > UNRECORDED_MAX) {
                self.record(false).await?;
            }
            match self.one(channel.as_deref(), message).await {
                Ok(()) => {}
                Err(End::Lost) => return Ok(()),
                Err(End::Busy) => return self.back_off(BUSY_S).await,
                Err(End::Gone) => return self.remove().await,
            }
        }
        if self.is_waiting { self.back_off(UNREADABLE_S).await } else { self.record(true).await }
    }

    /// Makes one attempt and notes what became of it.
    async fn one(
        &mut self,
        channel: Option<&dyn Channel>,
        message: OutboxMessage,
    ) -> Result<(), End> {
        let (id, failures) = (message.id, message.attempts.saturating_add(1));
        // Whether there is another attempt at all is the policy's to say.
        if message.attempts > 0 && self.policy().await.is_err() {
            self.is_waiting = true;
            return Ok(());
        }
        let verdict = match channel {
            None => Verdict::hopeless("this server does not serve subscribers of this type"),
            Some(channel) => {
                let notification = Notification {
                    queue: self.delivery.queue.key.clone(),
                    subscription: self.delivery.subscription.clone(),
                    message,
                };
                self.under_lease(channel.deliver(&notification)).await.ok_or(End::Lost)?
            }
        };
        let meters = &self.worker.meters;
        let outcome = match verdict {
            Verdict::Busy => {
                meters.busy.increment(1);
                return Err(End::Busy);
            }
            Verdict::Gone => {
                meters.gone.increment(1);
                return Err(End::Gone);
            }
            Verdict::Delivered => {
                meters.delivered.increment(1);
                DeliveryOutcome::Delivered
            }
            Verdict::Failed { reason, permanent: true, .. } => self.exhausted(id, reason),
            Verdict::Failed { reason, retry_after, permanent: false } => {
                self.failed(id, failures, reason, retry_after).await
            }
        };
        self.told_at.get_or_insert_with(Instant::now);
        self.told.push((id, outcome));
        Ok(())
    }

    async fn failed(
        &mut self,
        id: MessageId,
        failures: u32,
        reason: String,
        retry_after: Option<Duration>,
    ) -> DeliveryOutcome {
        let delay = match self.policy().await {
            Ok(policy) => policy.delay_after(failures),
            Err(PolicyUnreadable) => Some(Duration::from_secs(UNREADABLE_S)),
        };
        let Some(delay) = delay else {
            return self.exhausted(id, reason);
        };
        let asked = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let not_before = after(self.shared().clock.now(), delay.max(asked));
        self.worker.meters.retry.increment(1);
        tracing::debug!(message = %id, failures, reason, "a delivery failed and is tried again");
        DeliveryOutcome::Retry { not_before }
    }

    fn exhausted(&self, id: MessageId, reason: String) -> DeliveryOutcome {
        self.worker.meters.exhausted.increment(1);
        let subscription = self.delivery.subscription.id;
        tracing::info!(message = %id, %subscription, reason, "a delivery was given up");
        DeliveryOutcome::Exhausted { reason }
    }

    async fn policy(&mut self) -> Result<RetryPolicy, PolicyUnreadable> {
        if let Some(policy) = self.policy {
            return Ok(policy);
        }
        let queue = self.shared().policies.queue_policy(&self.delivery.queue.key).await?;
        let own = self.delivery.subscription.options.get(RETRY_POLICY);
        let policy =
            RetryPolicy::choose(own.and_then(serde_json::Value::as_object), queue.as_deref());
        Ok(*self.policy.insert(policy))
    }

    /// Waits for `attempt` and prolongs the lease meanwhile; `None` if it was lost.
    async fn under_lease(&self, attempt: impl Future<Output = Verdict>) -> Option<Verdict> {
        let lease = self.shared().config.lease;
        let third = Duration::from_secs(lease.as_secs()).div_f64(3.0);
        let mut renewals = interval_at(Instant::now() + third, third.max(RECORD_PAUSE));
        tokio::pin!(attempt);
        loop {
            tokio::select! {
                biased;
                verdict = &mut attempt => return Some(verdict),
                _ = renewals.tick() => {
                    let renewed = self.shared().data.outbox().delivery_renew(&self.delivery, lease);
                    match renewed.await {
                        Err(error) if is_over(&error) => return None,
                        // The next renewal comes before the lease ends.
                        Err(error) => tracing::debug!(%error, "a lease was not prolonged"),
                        Ok(()) => {}
                    }
                }
            }
        }
    }

    /// Records what is not recorded yet, and gives the lease back if so wanted.
    async fn record(&mut self, release: bool) -> Result<(), Error> {
        if self.told.is_empty() && !release {
            return Ok(());
        }
        let (told, delivery) = (std::mem::take(&mut self.told), &self.delivery);
        self.told_at = None;
        let outbox = self.worker.shared.data.outbox();
        persist(|| outbox.delivery_complete(delivery, &told, release)).await
    }

    /// Records, and lets the lease end soon: until then nobody troubles the subscriber.
    async fn back_off(&mut self, seconds: u64) -> Result<(), Error> {
        self.record(false).await?;
        let (outbox, away) = (self.worker.shared.data.outbox(), Ttl::from_secs_clamped(seconds));
        persist(|| outbox.delivery_renew(&self.delivery, away)).await
    }

    async fn remove(&mut self) -> Result<(), Error> {
        self.record(false).await?;
        let (queue, id) = (&self.delivery.queue, self.delivery.subscription.id);
        tracing::info!(subscription = %id, "a subscriber wants nothing more: it was removed");
        let subscriptions = self.worker.shared.data.subscriptions();
        persist(|| subscriptions.subscription_delete(queue, id)).await
    }
}

/// Tries a change a few times, for repeating it is safe. That the lease is over is no failure:
/// another has the work.
async fn persist<F>(change: impl Fn() -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>>,
{
    let mut tries = 1;
    loop {
        match change().await {
            Ok(()) => return Ok(()),
            Err(error) if is_over(&error) => {
                tracing::debug!(%error, "a delivery was not recorded");
                return Ok(());
            }
            Err(error) if error.retry() == Retry::Later && tries < RECORD_TRIES => {
                sleep(RECORD_PAUSE * tries).await;
                tries += 1;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether there is nothing left to work on: another has it, or it is gone.
fn is_over(error: &Error) -> bool {
    matches!(error, Error::LeaseLost | Error::QueueGone { .. } | Error::SubscriptionNotFound { .. })
}

/// A moment later than `now`; the part of a millisecond counts as a whole one.
fn after(now: Timestamp, delay: Duration) -> Timestamp {
    let millis = i64::try_from(delay.as_micros().div_ceil(1_000)).unwrap_or(i64::MAX);
    Timestamp::from_millis(now.as_millis().saturating_add(millis))
}

/// An error with its causes, for the log.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
