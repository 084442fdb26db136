//! What is to be delivered, and dead letters on their way: over all stores.

use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId, MessageId,
    OutboxBacklog, OutboxController, OutboxMessage, Page, PageLimit, QueueRef, Result, Transfer,
    Ttl,
};

use super::Pools;
use super::routing::{Store, at_once};

/// The part of `left` that each of these stores may give: one at least; `None` if there is nothing
/// to share, or nobody.
fn share(left: usize, stores: usize) -> Option<PageLimit> {
    if stores == 0 {
        return None;
    }
    PageLimit::new(u32::try_from(left.div_ceil(stores)).unwrap_or(u32::MAX)).ok()
}

impl Pools {
    /// Takes up to `limit` from all stores: each gives its share, then those that had more give what
    /// is left.
    ///
    /// A failure counts only if it is all there is: what others have to do must not wait for a
    /// store that is down.
    async fn take<T, F, W>(&self, limit: PageLimit, lease: F) -> Result<Vec<T>>
    where
        F: Fn(Arc<Store>, PageLimit) -> W,
        W: Future<Output = Result<Vec<T>>>,
    {
        let mut stores = self.stores().await?;
        let (mut taken, mut failed) = (Vec::new(), None);
        loop {
            // No more stores at once than may each give something.
            let left = limit.as_usize().saturating_sub(taken.len());
            let later = stores.split_off(left.min(stores.len()));
            let Some(share) = share(left, stores.len()) else { break };
            let answers = at_once(&stores, |store| lease(store, share)).await;
            let asked = std::mem::replace(&mut stores, later);
            for (store, answer) in asked.into_iter().zip(answers) {
                match answer {
                    Ok(some) => {
                        if some.len() >= share.as_usize() {
                            stores.push(store);
                        }
                        taken.extend(some);
                    }
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
        }
        match failed {
            Some(error) if taken.is_empty() => Err(error),
            _ => Ok(taken),
        }
    }
}

impl Pools {
    /// The delivery as it is to be made now. The store that a queue is moved out of has copies of
    /// the subscriptions; what became of one since is known at the other.
    async fn still_wanted(&self, delivery: Delivery) -> Result<Option<Delivery>> {
        if delivery.queue.epoch == 0 {
            return Ok(Some(delivery));
        }
        let place = self.place_of(&delivery.queue).await?;
        if !matches!(*place.store, Store::Moving(_)) {
            return Ok(Some(delivery));
        }
        let queue = place.queue(&delivery.queue);
        let subscriptions = place.store.data().subscriptions();
        match subscriptions.subscription_get(&queue, delivery.subscription.id).await {
            Ok(subscription) if subscription.is_active() => {
                Ok(Some(Delivery { subscription, ..delivery }))
            }
            Ok(_) | Err(Error::SubscriptionNotFound { .. }) => {
                let done = |message: &OutboxMessage| (message.id, DeliveryOutcome::Delivered);
                let outcomes: Vec<_> = delivery.messages.iter().map(done).collect();
                self.delivery_complete(&delivery, &outcomes, true).await?;
                Ok(None)
            }
            // Its lease ends, and it is looked at again.
            Err(error) => {
                tracing::debug!(%error, "whether a delivery is wanted still is not known");
                Ok(None)
            }
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl OutboxController for Pools {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        let lease = |store: Arc<Store>, limit| {
            let options = options.clone().subscriptions_max(limit);
            async move { store.data().outbox().delivery_lease(options).await }
        };
        let taken = self.take(options.subscriptions_max, lease).await?;
        let mut current = Vec::with_capacity(taken.len());
        for delivery in taken {
            let wanted = self.still_wanted(delivery).await?;
            current.extend(wanted.map(|delivery| {
                let queue = delivery.queue.at_epoch(0);
                Delivery { queue, ..delivery }
            }));
        }
        Ok(current)
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        self.on(&delivery.queue, async |store, queue| {
            let delivery = Delivery { queue, ..delivery.clone() };
            store.data().outbox().delivery_complete(&delivery, outcomes, release).await
        })
        .await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.on(&delivery.queue, async |store, queue| {
            let delivery = Delivery { queue, ..delivery.clone() };
            store.data().outbox().delivery_renew(&delivery, ttl).await
        })
        .await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        self.on(queue, async |store, queue| {
            store.data().outbox().delivery_list_exhausted(&queue, marker, limit).await
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
        let take = |store: Arc<Store>, limit| async move {
            store.data().outbox().transfer_lease(None, lease, ttl, limit).await
        };
        let of_queue = async |store: Arc<Store>, queue: QueueRef| {
            store.data().outbox().transfer_lease(Some(&queue), lease, ttl, limit).await
        };
        let leased = match queue {
            Some(queue) => self.on(queue, of_queue).await?,
            None => self.take(limit, take).await?,
        };
        let shown = |transfer: Transfer| {
            let source = transfer.source.at_epoch(0);
            Transfer { source, ..transfer }
        };
        Ok(leased.into_iter().map(shown).collect())
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        self.on(&transfer.source, async |store, source| {
            let transfer = Transfer { source, ..transfer.clone() };
            store.data().outbox().transfer_complete(&transfer).await
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
