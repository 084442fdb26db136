//! Claims, and the dead-letter policy that a queue's attributes set.

use std::sync::Arc;

use tokio::sync::oneshot;
use zaqar_core::{
    Capability, Claim, ClaimId, Claimed, CreateClaim, Error, Message, QueueKey, QueueKind,
};

use crate::engine::Engine;
use crate::error::EngineResult;
use crate::fence::Call;
use crate::routing::Route;

/// What a worker asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimRequest {
    /// The claim's name; `None`: a new one. A repeat under the same name returns the same messages.
    pub id: Option<ClaimId>,
    /// How long the claim lasts, in seconds; `None`: the configured default.
    pub ttl: Option<u64>,
    /// How much longer than the claim its messages live at least, in seconds; `None`: the
    /// configured default.
    pub grace: Option<u64>,
    /// How many messages at most; `None`: ten.
    pub limit: Option<u64>,
}

impl ClaimRequest {
    /// A claim with the default life, grace and number of messages.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the claim, so that a repeat is safe.
    #[must_use]
    pub fn id(mut self, id: impl Into<Option<ClaimId>>) -> Self {
        self.id = id.into();
        self
    }

    /// Sets how long it lasts, in seconds.
    #[must_use]
    pub fn ttl(mut self, ttl: impl Into<Option<u64>>) -> Self {
        self.ttl = ttl.into();
        self
    }

    /// Sets how much longer its messages live at least, in seconds.
    #[must_use]
    pub fn grace(mut self, grace: impl Into<Option<u64>>) -> Self {
        self.grace = grace.into();
        self
    }

    /// Sets how many messages to claim at most.
    #[must_use]
    pub fn limit(mut self, limit: impl Into<Option<u64>>) -> Self {
        self.limit = limit.into();
        self
    }
}

/// Messages under a new claim; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedMessages {
    /// The claim.
    pub id: ClaimId,
    /// Its messages, oldest first.
    pub messages: Vec<Message>,
}

impl Engine {
    /// Claims messages, oldest first; `None` if there is nothing to claim, or no queue.
    ///
    /// In a queue with a dead-letter queue, messages that were claimed too often are moved there
    /// before this answers, or by [maintenance](crate::maintenance) if that fails.
    ///
    /// # Errors
    /// `Rejected` for what is out of range; `Unsupported` for a topic; the stores'.
    pub async fn claim_create(
        &self,
        key: &QueueKey,
        request: ClaimRequest,
    ) -> EngineResult<Option<ClaimedMessages>> {
        refuse_topic(key, "claim_create")?;
        let config = self.config();
        let ttl = config.claim_ttl_checked(request.ttl)?;
        let limit = config.claim_limit_checked(request.limit)?;
        let grace = config.claim_grace_checked(request.grace)?;
        let id = request.id.unwrap_or_else(ClaimId::random);
        let call = Call::write("claim_create");
        let claimed = self
            .on_queue(call, key, |route| async move {
                let options = CreateClaim::new(id, ttl, grace).limit(limit);
                match self.redrive(&route).await? {
                    None => self.claim_directly(&route, options).await,
                    redrive => self.claim_and_move(call, route, options.redrive(redrive)).await,
                }
            })
            .await?;
        let messages = claimed.map(|claimed| claimed.messages).unwrap_or_default();
        Ok(if messages.is_empty() { None } else { Some(ClaimedMessages { id, messages }) })
    }

    async fn claim_directly(&self, route: &Route, options: CreateClaim) -> EngineResult<Claimed> {
        let claimed = self.data().claims().claim_create(&route.queue, options).await?;
        if !claimed.messages.is_empty() {
            route.changed();
        }
        Ok(claimed)
    }

    /// Claims in a task of its own, so that parked messages are moved even if the caller goes away.
    /// What was claimed for a caller that has gone is released at once.
    async fn claim_and_move(
        &self,
        call: Call,
        route: Arc<Route>,
        options: CreateClaim,
    ) -> EngineResult<Claimed> {
        let engine = self.clone();
        let id = options.id;
        let (answer, answered) = oneshot::channel();
        self.detached(call, async move {
            let claimed = engine.claim_directly(&route, options).await?;
            if claimed.parked > 0 {
                route.changed();
                // The claim stands whatever becomes of the dead letters.
                if let Err(error) = engine.dead_letters_move(Some(&route.queue)).await {
                    tracing::warn!(%error, "dead letters stay parked for now");
                }
            }
            if answer.send(claimed).is_err() {
                engine.data().claims().claim_delete(&route.queue, id).await?;
                engine.wake_released(&route.queue.key);
            }
            Ok(())
        })
        .await?;
        // The task has sent before it ended, and this end is still here to have received.
        Ok(answered.await.unwrap_or_default())
    }

    /// Reads a live claim and its messages.
    ///
    /// # Errors
    /// `ClaimNotFound`, also for a missing queue; the stores'.
    pub async fn claim_get(
        &self,
        key: &QueueKey,
        id: ClaimId,
    ) -> EngineResult<(Claim, Vec<Message>)> {
        let found = self
            .on_queue(Call::read("claim_get"), key, |route| async move {
                Ok(self.data().claims().claim_get(&route.queue, id).await?)
            })
            .await?;
        found.ok_or_else(|| Error::ClaimNotFound { queue: key.name.clone(), id }.into())
    }

    /// Starts the claim's time anew. What is `None` is set to the configured default.
    ///
    /// # Errors
    /// `Rejected` for what is out of range; `ClaimNotFound`, also for a missing queue; the stores'.
    pub async fn claim_update(
        &self,
        key: &QueueKey,
        id: ClaimId,
        ttl: Option<u64>,
        grace: Option<u64>,
    ) -> EngineResult<()> {
        let ttl = self.config().claim_ttl_checked(ttl)?;
        let grace = self.config().claim_grace_checked(grace)?;
        let found = self
            .on_queue(Call::write("claim_update"), key, |route| async move {
                self.data().claims().claim_update(&route.queue, id, ttl, grace).await?;
                route.changed();
                Ok(())
            })
            .await?;
        found.ok_or_else(|| Error::ClaimNotFound { queue: key.name.clone(), id }.into())
    }

    /// Releases what the claim still holds; silent if the claim or the queue is not there.
    ///
    /// # Errors
    /// The stores'.
    pub async fn claim_delete(&self, key: &QueueKey, id: ClaimId) -> EngineResult<()> {
        self.on_queue(Call::write("claim_delete"), key, |route| async move {
            self.data().claims().claim_delete(&route.queue, id).await?;
            route.changed();
            self.wake_released(key);
            Ok(())
        })
        .await
        .map(Option::unwrap_or_default)
    }
}

fn refuse_topic(key: &QueueKey, operation: &'static str) -> Result<(), Error> {
    match key.kind {
        QueueKind::Queue => Ok(()),
        QueueKind::Topic => {
            Err(Error::Unsupported { operation, driver: "topics", capability: Capability::Claims })
        }
    }
}
