//! The notifier: what it is put together from, how it starts and stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use zaqar_core::{Clock, DataDriver, Ttl};

use crate::channel::Channel;
use crate::confirmations::Confirmations;
use crate::policy::{NoPolicies, PolicySource};
use crate::rounds;
use crate::schemes::Schemes;

/// What an operator may set about the notifier itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotifierConfig {
    /// Subscriptions delivered to at a time; 0: nothing is delivered.
    pub workers_max: u32,
    /// Subscriptions of one project delivered to at a time, connections of this process left out.
    pub per_project_max: u32,
    /// How often the store is asked when nothing was heard of a post.
    pub poll: Duration,
    /// How long another notifier leaves alone what this one has taken, should it die.
    pub lease: Ttl,
    /// How long stopping waits for attempts under way.
    pub grace: Duration,
}

impl Default for NotifierConfig {
    fn default() -> Self {
        Self {
            workers_max: 64,
            per_project_max: 48,
            poll: Duration::from_millis(250),
            lease: Ttl::from_secs_clamped(30),
            grace: Duration::from_secs(5),
        }
    }
}

impl NotifierConfig {
    /// Sets how many subscriptions are delivered to at a time.
    #[must_use]
    pub fn workers_max(mut self, workers: u32) -> Self {
        self.workers_max = workers;
        self
    }

    /// Sets how many subscriptions of one project are delivered to at a time.
    #[must_use]
    pub fn per_project_max(mut self, workers: u32) -> Self {
        self.per_project_max = workers;
        self
    }

    /// Sets how often the store is asked.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll;
        self
    }

    /// Sets how long a lease lasts.
    #[must_use]
    pub fn lease(mut self, lease: Ttl) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long stopping waits.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// What the tasks of a notifier share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) data: Arc<dyn DataDriver>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: NotifierConfig,
    pub(crate) policies: Arc<dyn PolicySource>,
    pub(crate) schemes: Schemes,
    pub(crate) posted: Arc<Notify>,
    pub(crate) stopping: CancellationToken,
}

/// Puts a [`Notifier`] together.
#[derive(Debug)]
#[must_use]
pub struct NotifierBuilder {
    data: Arc<dyn DataDriver>,
    clock: Arc<dyn Clock>,
    config: NotifierConfig,
    policies: Arc<dyn PolicySource>,
    schemes: Schemes,
    posted: Arc<Notify>,
}

impl NotifierBuilder {
    /// Sets the configuration.
    pub fn config(mut self, config: NotifierConfig) -> Self {
        self.config = config;
        self
    }

    /// Says who knows the queues' retry policies. Without it they have none.
    pub fn policies(mut self, policies: Arc<dyn PolicySource>) -> Self {
        self.policies = policies;
        self
    }

    /// Says what is notified of each post, so that nothing waits for the next poll.
    pub fn posted(mut self, posted: Arc<Notify>) -> Self {
        self.posted = posted;
        self
    }

    /// Delivers to subscribers whose address has this scheme, in lower case, by this channel.
    pub fn channel(mut self, scheme: &str, channel: Arc<dyn Channel>) -> Self {
        self.schemes.add(scheme, channel);
        self
    }

    /// Delivers by this channel to the subscriptions that `owner` owns, which is this process.
    pub fn local(mut self, owner: impl Into<String>, channel: Arc<dyn Channel>) -> Self {
        self.schemes.own(owner.into(), channel);
        self
    }

    /// Starts it. Must be called within a tokio runtime.
    pub fn start(self) -> Notifier {
        let stopping = CancellationToken::new();
        let shared = Arc::new(Shared {
            data: self.data,
            clock: self.clock,
            config: self.config,
            policies: self.policies,
            schemes: self.schemes,
            posted: self.posted,
            stopping: stopping.clone(),
        });
        let confirmations = Confirmations::new(Arc::clone(&shared));
        let rounds = tokio::spawn(rounds::run(Arc::clone(&shared)));
        Notifier { shared, confirmations, rounds, stopping: stopping.drop_guard() }
    }
}

/// Delivers what the outbox of a store holds, until it is stopped or dropped.
///
/// Every web head on the store may run one: a subscription is leased to one of them at a time.
#[derive(Debug)]
#[must_use = "dropping it ends the deliveries"]
pub struct Notifier {
    shared: Arc<Shared>,
    confirmations: Confirmations,
    rounds: JoinHandle<()>,
    stopping: DropGuard,
}

impl Notifier {
    /// Starts to put a notifier together over a data driver, whose clock is `clock`.
    pub fn builder(data: Arc<dyn DataDriver>, clock: Arc<dyn Clock>) -> NotifierBuilder {
        NotifierBuilder {
            data,
            clock,
            config: NotifierConfig::default(),
            policies: Arc::new(NoPolicies),
            schemes: Schemes::default(),
            posted: Arc::default(),
        }
    }

    /// Says that something was posted. Costs next to nothing, and nothing more if it was said
    /// already.
    pub fn poke(&self) {
        self.shared.posted.notify_one();
    }

    /// What sends confirmations to subscribers.
    #[must_use]
    pub fn confirmations(&self) -> Confirmations {
        self.confirmations.clone()
    }

    /// Finishes and records the attempts under way, for the configured time at most. What is not
    /// recorded by then is handed out again when its lease ends.
    pub async fn stop(self) {
        let Self { confirmations, rounds, stopping, shared } = self;
        drop(stopping);
        if let Err(died) = rounds.await {
            tracing::error!(%died, "the notifier had died");
        }
        confirmations.stop(shared.config.grace).await;
    }
}
