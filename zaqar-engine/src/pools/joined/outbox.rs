//! What is to be delivered of a queue that is being moved, and its dead letters: each is finished
//! by the store in which it began.

use std::future::Future;

use async_trait::async_trait;
use zaqar_core::{
    DataDriver, Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId,
    MessageId, OutboxBacklog, OutboxController, Page, PageLimit, QueueRef, Result, Transfer, Ttl,
};

use super::messages::rest;
use super::{Joined, held};

/// Set in the numbers of the target's records, so that a walk meets the source's first.
const AT_TARGET: u64 = 1 << 62;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OutboxController for Joined {
    /// The target's: rounds over all stores visit each by itself.
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.target().outbox().delivery_lease(options).await
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        self.leased(|data| data.outbox().delivery_complete(delivery, outcomes, release)).await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.leased(|data| data.outbox().delivery_renew(delivery, ttl)).await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        // A marker of the target is beyond all that the source has.
        let outbox = self.source().outbox();
        let source = held(outbox.delivery_list_exhausted(queue, marker, limit).await)?;
        let after = marker.filter(|marker| *marker >= AT_TARGET).map(|marker| marker ^ AT_TARGET);
        let outbox = self.target().outbox();
        let target = held(outbox.delivery_list_exhausted(queue, after, limit).await)?;
        let (source, target) = self.both(queue, source, target).await?;
        let numbered = |record: ExhaustedDelivery| ExhaustedDelivery {
            number: record.number | AT_TARGET,
            ..record
        };
        let source = source.unwrap_or_default().items;
        // What was carried over is shown as the source has it.
        let is_carried = |record: &ExhaustedDelivery| {
            let same = |known: &ExhaustedDelivery| {
                (known.message, &known.subscriber) == (record.message, &record.subscriber)
            };
            source.iter().any(same)
        };
        let target = target.unwrap_or_default().items.into_iter();
        let new: Vec<_> = target.filter(|record| !is_carried(record)).map(numbered).collect();
        let records = source.into_iter().chain(new);
        Ok(Page::of(records.take(limit.as_usize()).collect(), |record| record.number))
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        let Some(queue) = queue else {
            return self.target().outbox().transfer_lease(None, lease, ttl, limit).await;
        };
        let source = self.source().outbox().transfer_lease(Some(queue), lease, ttl, limit).await;
        let source = held(source)?;
        let leased = source.as_ref().map_or(0, Vec::len);
        let Some(left) = rest(limit, leased) else { return Ok(source.unwrap_or_default()) };
        let target = self.target().outbox().transfer_lease(Some(queue), lease, ttl, left).await;
        let (source, target) = self.both(queue, source, held(target)?).await?;
        Ok(source.into_iter().chain(target).flatten().collect())
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        let source = held(self.source().outbox().transfer_complete(transfer).await)?;
        let target = held(self.target().outbox().transfer_complete(transfer).await)?;
        self.both(&transfer.source, source, target).await.map(drop)
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        self.target().outbox().outbox_backlog().await
    }
}

impl Joined {
    /// Works on what one of the two has leased: a lease is nobody else's.
    async fn leased<'j, F, W>(&'j self, work: F) -> Result<()>
    where
        F: Fn(&'j dyn DataDriver) -> W,
        W: Future<Output = Result<()>>,
    {
        let not_here = |answer: &Result<()>| {
            matches!(
                answer,
                Err(Error::LeaseLost
                    | Error::QueueGone { .. }
                    | Error::SubscriptionNotFound { .. })
            )
        };
        let source = work(self.source()).await;
        if !not_here(&source) {
            return source;
        }
        match work(self.target()).await {
            Err(Error::QueueGone { .. }) => source,
            answer => answer,
        }
    }
}
