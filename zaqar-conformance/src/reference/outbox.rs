//! The outbox: deliveries to subscribers, and dead letters on their way.

use std::collections::BTreeMap;

use async_trait::async_trait;
use zaqar_core::{
    Capability, Delivery, DeliveryOutcome, Error, ExhaustedDelivery, LeaseDeliveries, LeaseId,
    MessageId, OutboxBacklog, OutboxController, OutboxMessage, Page, PageLimit, QueueRef, Result,
    Timestamp, Transfer, Ttl,
};

use super::driver::ReferenceData;
use super::head::{Head, OutboxEntry};
use super::quirks::Quirk;
use super::stored::{Lease, Stored};
use super::subscriptions::{RetryRow, StoredSubscription};

#[async_trait]
impl OutboxController for ReferenceData {
    async fn delivery_lease(&self, options: LeaseDeliveries) -> Result<Vec<Delivery>> {
        self.step("delivery_lease", |state, now| {
            state.require(Capability::Subscriptions, "delivery_lease")?;
            // What is leased is returned: a lease on anything else would only hold it up.
            let mut room = options.subscriptions_max.as_usize();
            let heads = state.heads.values_mut();
            Ok(heads.flat_map(|head| head.lease_deliveries(&options, now, &mut room)).collect())
        })
        .await
    }

    async fn delivery_complete(
        &self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
    ) -> Result<()> {
        self.step("delivery_complete", |state, now| {
            state.require(Capability::Subscriptions, "delivery_complete")?;
            state.head_mut(&delivery.queue)?.complete(delivery, outcomes, release, now)
        })
        .await
    }

    async fn delivery_renew(&self, delivery: &Delivery, ttl: Ttl) -> Result<()> {
        self.step("delivery_renew", |state, now| {
            state.require(Capability::Subscriptions, "delivery_renew")?;
            let subscription = state.head_mut(&delivery.queue)?.leased(delivery, now)?;
            subscription.lease = Some(Lease { id: delivery.lease, ends_at: now.after(ttl) });
            Ok(())
        })
        .await
    }

    async fn delivery_list_exhausted(
        &self,
        queue: &QueueRef,
        marker: Option<u64>,
        limit: PageLimit,
    ) -> Result<Page<ExhaustedDelivery, u64>> {
        self.step("delivery_list_exhausted", |state, _| {
            state.require(Capability::Subscriptions, "delivery_list_exhausted")?;
            let records = state.head(queue)?.exhausted.iter();
            let after = records.filter(|record| marker.is_none_or(|marker| record.number > marker));
            let items = after.take(limit.as_usize()).cloned().collect();
            Ok(Page::of(items, |record: &ExhaustedDelivery| record.number))
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
        self.step("transfer_lease", |state, now| {
            state.require(Capability::DeadLetter, "transfer_lease")?;
            let lease = Lease { id: lease, ends_at: now.after(ttl) };
            let mut transfers = Vec::new();
            let mut room = limit.as_usize();
            if let Some(queue) = queue {
                transfers.extend(state.head_mut(queue)?.lease_transfers(lease, now, &mut room));
            } else {
                for head in state.heads.values_mut() {
                    transfers.extend(head.lease_transfers(lease, now, &mut room));
                }
            }
            Ok(transfers)
        })
        .await
    }

    async fn transfer_complete(&self, transfer: &Transfer) -> Result<()> {
        self.step("transfer_complete", |state, _| {
            state.require(Capability::DeadLetter, "transfer_complete")?;
            let head = state.head_mut(&transfer.source)?;
            let parked = head.messages.values().find_map(|message| {
                let parked = message.parked.as_ref()?;
                (message.id == transfer.message.id).then_some((message.position, parked.lease))
            });
            match parked {
                None => Ok(()),
                Some((position, Some(lease))) if lease.id == transfer.lease => {
                    head.messages.remove(&position);
                    Ok(())
                }
                Some(_) => Err(Error::LeaseLost),
            }
        })
        .await
    }

    async fn outbox_backlog(&self) -> Result<OutboxBacklog> {
        self.step("outbox_backlog", |state, now| {
            let mut backlog = OutboxBacklog::default();
            for head in state.heads.values_mut() {
                head.trim(now);
                let live = head.subscriptions.values().filter(|stored| stored.is_live(now));
                let parked = head.messages.values().filter(|message| message.parked.is_some());
                backlog.entries += count(head.outbox.len());
                backlog.retries += live.map(|stored| count(stored.retries.len())).sum::<u64>();
                backlog.exhausted += count(head.exhausted.len());
                backlog.transfers += count(parked.count());
            }
            Ok(backlog)
        })
        .await
    }
}

fn count(items: usize) -> u64 {
    u64::try_from(items).unwrap_or(u64::MAX)
}

/// The entries' messages from a position on, in order.
fn entries_from(
    outbox: &[OutboxEntry],
    cursor: u64,
) -> impl Iterator<Item = &(u64, OutboxMessage)> {
    outbox.iter().flatten().filter(move |(position, _)| *position >= cursor)
}

impl StoredSubscription {
    /// What is to be delivered now: retries that are due, then what the cursor has not met.
    fn due(&self, outbox: &[OutboxEntry], limit: PageLimit, now: Timestamp) -> Vec<OutboxMessage> {
        let retries = self.retries.values().filter(|row| row.not_before <= now);
        let retries = retries.map(|row| row.message.clone());
        let new = entries_from(outbox, self.cursor).map(|(_, message)| message.clone());
        retries.chain(new).take(limit.as_usize()).collect()
    }
}

impl Head {
    fn lease_deliveries(
        &mut self,
        options: &LeaseDeliveries,
        now: Timestamp,
        room: &mut usize,
    ) -> Vec<Delivery> {
        let queue = self.key.incarnate(self.incarnation).at_epoch(self.epoch);
        let lease = Lease { id: options.lease, ends_at: now.after(options.ttl) };
        let quirks = self.quirks;
        let mut deliveries = Vec::new();
        let few = quirks.has(Quirk::FirstSubscribersOnly);
        let served = if few { 10 } else { usize::MAX };
        for subscription in self.subscriptions.values_mut().take(served) {
            let others = subscription.owner.is_some() && subscription.owner != options.owner;
            let held =
                Lease::is_live(subscription.lease.as_ref(), now) && !quirks.has(Quirk::DoubleLease);
            if others || held || !subscription.is_listening(now) {
                continue;
            }
            if *room == 0 {
                break;
            }
            let messages = subscription.due(&self.outbox, options.messages_max, now);
            if messages.is_empty() {
                continue;
            }
            subscription.lease = Some(lease);
            *room -= 1;
            deliveries.push(Delivery {
                queue: queue.clone(),
                subscription: subscription.show(now),
                lease: options.lease,
                messages,
            });
        }
        deliveries
    }

    /// The subscription of a delivery, if its lease is still in force.
    fn leased(&mut self, delivery: &Delivery, now: Timestamp) -> Result<&mut StoredSubscription> {
        let anyones = self.quirks.has(Quirk::CompleteWithoutLease);
        let subscription =
            self.subscription(delivery.subscription.id, now).map_err(|_| Error::LeaseLost)?;
        match &subscription.lease {
            _ if anyones => Ok(subscription),
            Some(lease) if lease.id == delivery.lease && now < lease.ends_at => Ok(subscription),
            _ => Err(Error::LeaseLost),
        }
    }

    fn complete(
        &mut self,
        delivery: &Delivery,
        outcomes: &[(MessageId, DeliveryOutcome)],
        release: bool,
        now: Timestamp,
    ) -> Result<()> {
        let cursor = self.leased(delivery, now)?.cursor;
        let quirks = self.quirks;
        let told: BTreeMap<MessageId, (u32, &DeliveryOutcome)> = delivery
            .pair(outcomes)?
            .into_iter()
            .map(|(message, outcome)| (message.id, (message.attempts, outcome)))
            .collect();
        let mut due: Vec<(u64, OutboxMessage)> =
            entries_from(&self.outbox, cursor).cloned().collect();
        let covered = due.iter().take_while(|(_, message)| told.contains_key(&message.id)).count();
        if due.iter().skip(covered).any(|(_, message)| told.contains_key(&message.id)) {
            let reason = "must cover the new messages from the first on".to_owned();
            return Err(Error::Invalid { field: "outcomes", reason });
        }
        let last = if quirks.has(Quirk::SkipUnmentioned) {
            due.last()
        } else {
            due.get(..covered).and_then(<[_]>::last)
        };
        let next = last.map_or(cursor, |(position, _)| position + 1);
        due.truncate(covered);
        let subscription = self.leased(delivery, now)?;
        let subscriber = subscription.subscriber.clone();
        // What an earlier call under this lease recorded stays as it is.
        let is_told = |row: &RetryRow| {
            let told = told.get(&row.message.id);
            told.is_some_and(|(leased, _)| {
                row.message.attempts == *leased || quirks.has(Quirk::CountRetryTwice)
            })
        };
        let tried_again = subscription.retries.extract_if(.., |_, row| is_told(row));
        let tried: Vec<(u64, OutboxMessage)> =
            tried_again.map(|(position, row)| (position, row.message)).chain(due).collect();
        subscription.cursor = next;
        if release {
            subscription.lease = None;
        }
        let mut exhausted = Vec::new();
        for (position, mut message) in tried {
            message.attempts = message.attempts.saturating_add(1);
            match told.get(&message.id).map(|(_, outcome)| *outcome) {
                Some(DeliveryOutcome::Retry { .. }) if quirks.has(Quirk::ForgetRetries) => {}
                Some(DeliveryOutcome::Retry { not_before }) => {
                    let row = RetryRow { message, not_before: *not_before };
                    subscription.retries.insert(position, row);
                }
                Some(DeliveryOutcome::Exhausted { reason }) => {
                    exhausted.push((message, reason.clone()));
                }
                Some(DeliveryOutcome::Delivered) | None => {}
            }
        }
        if quirks.has(Quirk::ExhaustUnrecorded) {
            exhausted.clear();
        }
        for (message, reason) in exhausted {
            self.record_exhausted(&message, &subscriber, reason, now);
        }
        self.trim(now);
        Ok(())
    }

    fn record_exhausted(
        &mut self,
        message: &OutboxMessage,
        subscriber: &str,
        reason: String,
        now: Timestamp,
    ) {
        self.exhausted.push(ExhaustedDelivery {
            number: self.exhausted_next,
            message: message.id,
            subscriber: subscriber.to_owned(),
            attempts: message.attempts,
            reason,
            at: now,
        });
        self.exhausted_next += 1;
    }

    /// Forgets the entries that no subscriber still needs.
    pub(super) fn trim(&mut self, now: Timestamp) {
        let subscriptions = &self.subscriptions;
        self.outbox.retain(|entry| {
            let last = entry.last().map_or(0, |(position, _)| *position);
            subscriptions.values().filter(|stored| stored.is_listening(now)).any(|stored| {
                let waits =
                    |(position, _): &(u64, OutboxMessage)| stored.retries.contains_key(position);
                stored.cursor <= last || entry.iter().any(waits)
            })
        });
    }

    fn lease_transfers(&mut self, lease: Lease, now: Timestamp, room: &mut usize) -> Vec<Transfer> {
        let source = self.key.incarnate(self.incarnation).at_epoch(self.epoch);
        let mut transfers = Vec::new();
        for message in self.messages.values_mut() {
            let taken = if *room == 0 { None } else { take_transfer(message, lease, &source, now) };
            transfers.extend(taken.inspect(|_| *room -= 1));
        }
        if self.quirks.has(Quirk::DlqDeleteBeforeInsert) {
            let leaves = |id: MessageId| transfers.iter().any(|transfer| transfer.message.id == id);
            self.messages.retain(|_, message| !leaves(message.id));
        }
        transfers
    }
}

fn take_transfer(
    message: &mut Stored,
    lease: Lease,
    source: &QueueRef,
    now: Timestamp,
) -> Option<Transfer> {
    let parked = message.parked.as_mut()?;
    if Lease::is_live(parked.lease.as_ref(), now) {
        return None;
    }
    parked.lease = Some(lease);
    let redrive = parked.redrive.clone();
    Some(Transfer {
        source: source.clone(),
        target: redrive.target,
        message: message.moved(&source.key.name, redrive.ttl),
        lease: lease.id,
    })
}
