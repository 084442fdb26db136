//! The outbox: the controller. Entries are written by posts.

use async_trait::async_trait;
use zaqar_core::{
    Delivery, DeliveryOutcome, ExhaustedDelivery, LeaseDeliveries, LeaseId, MessageId,
    OutboxBacklog, OutboxController, Page, PageLimit, QueueRef, Result, Transfer, Ttl,
};

use crate::codec::NUMBER_MAX;
use crate::driver::RedisData;
use crate::keys::Place;
use crate::moves::read_exhausted;
use crate::registry::DELIVERY_LIST_EXHAUSTED;
use crate::store::{Call, queue_text};

#[async_trait]
impl OutboxController for RedisData {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.lease(options).await
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        self.complete(delivery, outcomes, release).await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.renew(delivery, ttl).await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        let text = queue_text(queue);
        let after = marker.unwrap_or(0).min(NUMBER_MAX);
        let call = Call {
            operation: "delivery_list_exhausted",
            script: &DELIVERY_LIST_EXHAUSTED,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&text).arg(after).arg(limit.get());
            },
        };
        let answer = self.store.read(Some(&queue.key.project), call).await?;
        let mut reply = answer.done(queue)?;
        let mut items = Vec::new();
        let what = "record of a delivery";
        while !reply.is_empty() {
            let number = reply.number(what)?;
            items.push(read_exhausted(&mut reply, number)?);
        }
        Ok(Page::of(items, |record| record.number))
    }

    async fn transfer_lease(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        self.lease_transfers(queue, lease, ttl, limit).await
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        self.complete_transfer(transfer).await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        self.count_backlog().await
    }
}
