//! The data driver that an engine with pools works on: each operation goes to its queue's store.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Capabilities, Capability, Claim, ClaimController, ClaimId, Claimed, CreateClaim, Created,
    DataDriver, DeadLetterOrigin, DriverInfo, Error, GcOptions, GcReport, Health, ListMessages,
    Message, MessageController, MessageId, MessageMarker, MessageWatch, MoveController,
    MovedMessage, NewMessage, NewSubscription, NoMoves, OutboxController, Page, PageLimit,
    PostMessages, Posted, QueueEnd, QueueHead, QueueHeadController, QueueRef, QueueStats, Result,
    StoreVolume, Subscription, SubscriptionController, SubscriptionId, Ttl, UpdateSubscription,
};

use super::Pools;
use super::routing::Store;

/// The sum of what the stores did, or the failure of one: what the others did stays done.
fn sum((reports, failed): (Vec<GcReport>, Option<Error>)) -> Result<GcReport> {
    let add = |sum: GcReport, report: GcReport| GcReport {
        rows: sum.rows.saturating_add(report.rows),
        more: sum.more || report.more,
    };
    match failed {
        Some(error) => Err(error),
        None => Ok(reports.into_iter().fold(GcReport::default(), add)),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl DataDriver for Pools {
    fn heads(&self) -> &dyn QueueHeadController {
        self
    }

    fn messages(&self) -> &dyn MessageController {
        self
    }

    fn claims(&self) -> &dyn ClaimController {
        self
    }

    fn subscriptions(&self) -> &dyn SubscriptionController {
        self
    }

    fn outbox(&self) -> &dyn OutboxController {
        self
    }

    /// Queues move from store to store below this.
    fn moves(&self) -> &dyn MoveController {
        &NoMoves
    }

    fn info(&self) -> DriverInfo {
        self.0.home.info()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.home.capabilities().without(Capability::LiveMove)
    }

    /// The home store's: one pool that is down is no reason to take this head out of service.
    async fn health(&self) -> Result<Health> {
        self.0.home.health().await
    }

    async fn volume(&self) -> Result<StoreVolume> {
        let count = |store: Arc<Store>| async move { store.data().volume().await };
        let (volumes, failed) = self.on_all(count).await?;
        let add = |sum: StoreVolume, volume: StoreVolume| StoreVolume {
            free: sum.free.saturating_add(volume.free),
            claimed: sum.claimed.saturating_add(volume.claimed),
        };
        match failed {
            Some(error) => Err(error),
            None => Ok(volumes.into_iter().fold(StoreVolume::default(), add)),
        }
    }

    async fn sweep(&self) -> Result<GcReport> {
        let sweep = |store: Arc<Store>| async move { store.data().sweep().await };
        sum(self.on_all(sweep).await?)
    }

    async fn gc(&self, options: GcOptions) -> Result<GcReport> {
        let collect = |store: Arc<Store>| async move {
            if store.keeps_everything() {
                return Ok(GcReport::default());
            }
            store.data().gc(options).await
        };
        sum(self.on_all(collect).await?)
    }

    async fn close(&self) {
        self.0.connections.close().await;
        self.0.home.close().await;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl QueueHeadController for Pools {
    /// Places the incarnation first, among the pools without a flavor, if that was not done.
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        match self.0.control.catalogue().catalogue_get(queue).await {
            Err(Error::QueueNotMapped { .. }) => self.place(queue, None).await?,
            placed => drop(placed?),
        }
        self.on(queue, async |store, queue| store.data().heads().head_open(&queue).await).await
    }

    /// Wherever it lives by now: a head that was left open somewhere would keep its messages for
    /// ever.
    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        let mut place = match self.place_now(queue).await {
            // The incarnation is another queue's: there is nothing to close.
            Err(Error::QueueGone { .. }) => return Ok(()),
            place => place?,
        };
        loop {
            place.store.data().heads().head_close(&place.queue(queue)).await?;
            let now = self.place_now(queue).await?;
            if now.is_as(&place) {
                return Ok(());
            }
            place = now;
        }
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        self.on(queue, async |store, queue| store.data().heads().head_get(&queue).await).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.on(queue, async |store, queue| store.data().heads().head_move(&queue, epoch).await)
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MessageController for Pools {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        self.on_safe("message_post", queue, async |store, queue| {
            store.data().messages().message_post(&queue, messages.clone(), options.clone()).await
        })
        .await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        self.on(queue, async |store, queue| {
            store.data().messages().message_list(&queue, options.clone()).await
        })
        .await
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        self.on(queue, async |store, queue| {
            store.data().messages().message_first(&queue, end).await
        })
        .await
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        self.on(queue, async |store, queue| store.data().messages().message_get(&queue, id).await)
            .await
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        self.on(queue, async |store, queue| {
            store.data().messages().message_bulk_get(&queue, ids).await
        })
        .await
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.on(queue, async |store, queue| {
            store.data().messages().message_delete(&queue, id, claim).await
        })
        .await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        self.on(queue, async |store, queue| {
            store.data().messages().message_bulk_delete(&queue, ids, claims).await
        })
        .await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        self.on(queue, async |store, queue| {
            store.data().messages().message_pop(&queue, limit).await
        })
        .await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.on(queue, async |store, queue| store.data().messages().message_purge(&queue).await)
            .await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        self.on(queue, async |store, queue| store.data().messages().message_stats(&queue).await)
            .await
    }

    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        self.available(watches).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.on_safe("message_insert_moved", queue, async |store, queue| {
            store.data().messages().message_insert_moved(&queue, message.clone()).await
        })
        .await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        self.on(queue, async |store, queue| {
            store.data().messages().message_origins(&queue, ids).await
        })
        .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ClaimController for Pools {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        self.on(queue, async |store, queue| {
            store.data().claims().claim_create(&queue, options.clone()).await
        })
        .await
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        self.on(queue, async |store, queue| store.data().claims().claim_get(&queue, id).await).await
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        self.on(queue, async |store, queue| {
            store.data().claims().claim_update(&queue, id, ttl, grace).await
        })
        .await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        self.on(queue, async |store, queue| store.data().claims().claim_delete(&queue, id).await)
            .await
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SubscriptionController for Pools {
    async fn subscription_create(
        &self,
        queue: &QueueRef,
        subscription: NewSubscription,
    ) -> Result<Created<Subscription>> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_create(&queue, subscription.clone()).await
        })
        .await
    }

    async fn subscription_list(
        &self,
        queue: &QueueRef,
        marker: Option<SubscriptionId>,
        limit: PageLimit,
    ) -> Result<Page<Subscription, SubscriptionId>> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_list(&queue, marker, limit).await
        })
        .await
    }

    async fn subscription_get(&self, queue: &QueueRef, id: SubscriptionId) -> Result<Subscription> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_get(&queue, id).await
        })
        .await
    }

    async fn subscription_find(
        &self,
        queue: &QueueRef,
        subscriber: &str,
    ) -> Result<Option<Subscription>> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_find(&queue, subscriber).await
        })
        .await
    }

    async fn subscription_update(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        changes: UpdateSubscription,
    ) -> Result<()> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_update(&queue, id, changes.clone()).await
        })
        .await
    }

    async fn subscription_confirm(
        &self,
        queue: &QueueRef,
        id: SubscriptionId,
        confirmed: bool,
    ) -> Result<()> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_confirm(&queue, id, confirmed).await
        })
        .await
    }

    async fn subscription_delete(&self, queue: &QueueRef, id: SubscriptionId) -> Result<()> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_delete(&queue, id).await
        })
        .await
    }

    async fn subscription_purge(&self, queue: &QueueRef) -> Result<()> {
        self.on(queue, async |store, queue| {
            store.data().subscriptions().subscription_purge(&queue).await
        })
        .await
    }
}
