//! What is to be delivered, and dead letters on their way: over all stores.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId, MessageId,
    OutboxBacklog, OutboxController, Page, PageLimit, QueueRef, Result, Transfer, Ttl,
};

use super::Pools;
use super::routing::Store;

/// What the stores gave. A failure counts only if it is all there is: what others have to do must
/// not wait for a store that is down.
fn any<T>((answers, failed): (Vec<Vec<T>>, Option<Error>)) -> Result<Vec<T>> {
    let found: Vec<T> = answers.into_iter().flatten().collect();
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

/// A store's part of what may be taken from all: one at least.
fn share(limit: PageLimit, stores: usize) -> PageLimit {
    let stores = u32::try_from(stores).unwrap_or(u32::MAX).max(1);
    PageLimit::new(limit.get().div_ceil(stores)).unwrap_or(limit)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OutboxController for Pools {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        let stores = self.all().await?.len() + 1;
        let options = options.clone().subscriptions_max(share(options.subscriptions_max, stores));
        let options = &options;
        let lease = |store: Arc<Store>| async move {
            store.data().outbox().delivery_lease(options.clone()).await
        };
        any(self.on_all(lease).await?)
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        self.on(&delivery.queue, |store| async move {
            store.data().outbox().delivery_complete(delivery, outcomes, release).await
        })
        .await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.on(&delivery.queue, |store| async move {
            store.data().outbox().delivery_renew(delivery, ttl).await
        })
        .await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        self.on(queue, |store| async move {
            store.data().outbox().delivery_list_exhausted(queue, marker, limit).await
        })
        .await
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        if let Some(queue) = queue {
            return self
                .on(queue, |store| async move {
                    store.data().outbox().transfer_lease(Some(queue), lease, ttl, limit).await
                })
                .await;
        }
        let limit = share(limit, self.all().await?.len() + 1);
        let take = |store: Arc<Store>| async move {
            store.data().outbox().transfer_lease(None, lease, ttl, limit).await
        };
        any(self.on_all(take).await?)
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        self.on(&transfer.source, |store| async move {
            store.data().outbox().transfer_complete(transfer).await
        })
        .await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        let count = |store: Arc<Store>| async move { store.data().outbox().outbox_backlog().await };
        let (backlogs, failed) = self.on_all(count).await?;
        let add = |sum: OutboxBacklog, backlog: OutboxBacklog| OutboxBacklog {
            entries: sum.entries.saturating_add(backlog.entries),
            retries: sum.retries.saturating_add(backlog.retries),
            exhausted: sum.exhausted.saturating_add(backlog.exhausted),
            transfers: sum.transfers.saturating_add(backlog.transfers),
        };
        match failed {
            Some(error) => Err(error),
            None => Ok(backlogs.into_iter().fold(OutboxBacklog::default(), add)),
        }
    }
}
