//! Claims on a queue that is being moved: one claim may hold messages at both ends.

use async_trait::async_trait;
use zaqar_core::{
    Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef, Result, Ttl,
};

use super::messages::{merge, nothing_yet, rest};
use super::{Joined, held, patiently};

/// What a store answers about a claim: `None` if it has nothing of the queue, `Some(None)` if it
/// does not know the claim.
fn known<T>(answer: Result<T>) -> Result<Option<Option<T>>> {
    match answer {
        Err(Error::ClaimNotFound { .. }) => Ok(Some(None)),
        answer => Ok(held(answer)?.map(Some)),
    }
}

fn missing(queue: &QueueRef, id: ClaimId) -> Error {
    Error::ClaimNotFound { queue: queue.key.name.clone(), id }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ClaimController for Joined {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        let answer = patiently(|| async {
            let before = self.frontier(queue).await?;
            let claimed = self.claim_both(queue, &options).await?;
            if claimed.messages.is_empty() && claimed.parked == 0 {
                self.check_at_rest(queue, before).await?;
            }
            Ok(claimed)
        })
        .await;
        nothing_yet(answer)
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        let source = known(self.source().claims().claim_get(queue, id).await)?;
        let target = known(self.target().claims().claim_get(queue, id).await)?;
        let (source, target) = self.both(queue, source, target).await?;
        match (source.flatten(), target.flatten()) {
            (Some((claim, source)), Some((_, target))) => {
                Ok((claim, merge(source, target).collect()))
            }
            (one, other) => one.or(other).ok_or_else(|| missing(queue, id)),
        }
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        patiently(|| async {
            let source = self.source().claims().claim_update(queue, id, ttl, grace).await;
            let source = known(source)?;
            let target = self.target().claims().claim_update(queue, id, ttl, grace).await;
            let (source, target) = self.both(queue, source, known(target)?).await?;
            source.flatten().or(target.flatten()).ok_or_else(|| missing(queue, id))
        })
        .await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        patiently(|| async {
            let source = held(self.source().claims().claim_delete(queue, id).await)?;
            let target = held(self.target().claims().claim_delete(queue, id).await)?;
            self.both(queue, source, target).await.map(drop)
        })
        .await
    }
}

impl Joined {
    /// Claims at the source, and the rest at the target under the same claim, unless a part is on its
    /// way that comes before.
    async fn claim_both(&self, queue: &QueueRef, options: &CreateClaim) -> Result<Claimed> {
        let is_open = self.is_open(queue).await?;
        let source = held(self.source().claims().claim_create(queue, options.clone()).await)?;
        let is_there = source.is_some();
        let mut claimed = source.unwrap_or_default();
        let Some(left) = rest(options.limit, claimed.messages.len()) else { return Ok(claimed) };
        if is_there && !is_open {
            return Ok(claimed);
        }
        if is_there && self.is_held_up(queue).await? {
            return match claimed.messages.is_empty() && claimed.parked == 0 {
                true => Err(Error::QueueMoving { name: queue.key.name.clone() }),
                false => Ok(claimed),
            };
        }
        match self.target().claims().claim_create(queue, options.clone().limit(left)).await {
            Ok(more) => {
                let taken = std::mem::take(&mut claimed.messages);
                claimed.messages = merge(taken, more.messages).collect();
                claimed.parked = claimed.parked.saturating_add(more.parked);
            }
            Err(Error::QueueGone { .. }) if is_there => {}
            // What was claimed would wait for its claim's end if it were not told of.
            Err(error) if !claimed.messages.is_empty() => {
                tracing::debug!(%error, "the target of a move gave nothing more");
            }
            Err(error) => return Err(error),
        }
        Ok(claimed)
    }
}
