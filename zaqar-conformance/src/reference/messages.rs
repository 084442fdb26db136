//! Messages.

use async_trait::async_trait;
use zaqar_core::{
    Capability, ClaimId, Created, DeadLetterOrigin, Error, ListMessages, Message,
    MessageController, MessageId, MessageMarker, MovedMessage, NewMessage, Page, PageLimit,
    PostMessages, Posted, QueueEnd, QueueRef, QueueStats, Result, Timestamp,
};

use super::driver::ReferenceData;
use super::head::{Arrived, Head};
use super::quirks::Quirk;
use super::stored::Stored;

#[async_trait]
impl MessageController for ReferenceData {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        self.post(queue, messages, options).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        self.step("message_list", |state, now| state.head(queue)?.list(&options, now)).await
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        self.step("message_first", |state, now| {
            let head = state.head(queue)?;
            let mut live = head.live(now);
            let message = match end {
                QueueEnd::Oldest => live.next(),
                QueueEnd::Newest => live.next_back(),
            };
            message.map(|message| message.show(head.incarnation, now)).transpose()
        })
        .await
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        self.step("message_get", |state, now| {
            let head = state.head(queue)?;
            if state.quirks.has(Quirk::CrossTenantRead) {
                let mut anyones = state.heads.values().filter_map(|head| head.find(id, now));
                if let Some(message) = anyones.next() {
                    return message.show(head.incarnation, now);
                }
            }
            let missing = || Error::MessageNotFound { queue: queue.key.name.clone(), id };
            head.find(id, now).ok_or_else(missing)?.show(head.incarnation, now)
        })
        .await
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        self.step("message_bulk_get", |state, now| {
            let head = state.head(queue)?;
            distinct(ids)
                .filter_map(|id| head.find(id, now))
                .map(|message| message.show(head.incarnation, now))
                .collect()
        })
        .await
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.step("message_delete", |state, now| state.head_mut(queue)?.delete(id, claim, now))
            .await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        self.step("message_bulk_delete", |state, now| {
            state.head_mut(queue)?.bulk_delete(ids, claims, now)
        })
        .await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        self.step("message_pop", |state, now| state.head_mut(queue)?.pop(limit, now)).await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.step("message_purge", |state, _| {
            let head = state.head_mut(queue)?;
            head.purged = head.sequence_next;
            let messages = std::mem::take(&mut head.messages);
            state.rubbish += messages.values().map(|_| 1).sum::<u64>();
            Ok(())
        })
        .await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        self.step("message_stats", |state, now| {
            let head = state.head(queue)?;
            let claimed = head.live(now).filter(|message| message.counts_as_claimed(now)).count();
            let free = head.live(now).count() - claimed;
            Ok(QueueStats {
                claimed: u64::try_from(claimed).unwrap_or(u64::MAX),
                free: u64::try_from(free).unwrap_or(u64::MAX),
                oldest: head.live(now).next().map(|message| message.edge(now)),
                newest: head.live(now).next_back().map(|message| message.edge(now)),
            })
        })
        .await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.step("message_insert_moved", |state, now| {
            state.require(Capability::DeadLetter, "message_insert_moved")?;
            if let Some(marker) = state.head_mut(queue)?.arrived(message.id)? {
                return Ok(Created::Existing(marker));
            }
            state.head_for_news(queue)?.insert_moved(message, now)
        })
        .await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        self.step("message_origins", |state, _| {
            state.require(Capability::DeadLetter, "message_origins")?;
            let arrivals = &state.head(queue)?.arrivals;
            Ok(ids.iter().map(|id| arrivals.get(id).and_then(|a| a.origin.clone())).collect())
        })
        .await
    }
}

/// The ids in their order, each once.
fn distinct(ids: &[MessageId]) -> impl Iterator<Item = MessageId> {
    let mut seen = std::collections::BTreeSet::new();
    ids.iter().copied().filter(move |id| seen.insert(*id))
}

impl Head {
    /// The filters come before the limit: a page is empty only at the end (G9).
    fn list(&self, options: &ListMessages, now: Timestamp) -> Result<Page<Message, MessageMarker>> {
        let mut after = options.marker.map_or(0, |marker| self.position_of(marker));
        if self.quirks.has(Quirk::RestartAtDeletedMarker) && !self.messages.contains_key(&after) {
            after = 0;
        }
        let limit = options.limit.as_usize();
        let looked_at = if self.quirks.has(Quirk::FilterAfterLimit) { limit } else { usize::MAX };
        let shown = |message: &&Stored| {
            let hidden = options.hide_client.is_some() && message.client == options.hide_client;
            !hidden
                && (options.include_claimed || !message.counts_as_claimed(now))
                && (options.include_delayed || !message.is_delayed(now))
        };
        let items: Result<Vec<Message>> = self
            .live(now)
            .filter(|message| message.position > after)
            .take(looked_at)
            .filter(shown)
            .take(limit)
            .map(|message| message.show(self.incarnation, now))
            .collect();
        let mut page = Page::of(items?, |message| message.marker);
        if self.quirks.has(Quirk::EndWithShortPage) && page.items.len() < limit {
            page.next = None;
        }
        Ok(page)
    }

    fn delete(&mut self, id: MessageId, claim: Option<ClaimId>, now: Timestamp) -> Result<()> {
        let Some(message) = self.find(id, now) else { return Ok(()) };
        self.check_still(message.position)?;
        let stale = self.quirks.has(Quirk::StaleClaimDeletes) && claim.is_some();
        match (claim, message.live_hold(now)) {
            _ if stale => {}
            (None, None) if message.parked.is_none() => {}
            (None, _) => return Err(Error::MessageClaimed { id }),
            (Some(_), None) => return Err(Error::MessageNotClaimed { id }),
            (Some(claim), Some(hold)) if claim != hold.claim => {
                return Err(Error::MessageNotClaimedBy { id, claim });
            }
            (Some(_), Some(_)) => {}
        }
        let position = message.position;
        let removed = self.messages.remove(&position);
        if self.quirks.has(Quirk::ResurrectDeleted) && claim.is_some() {
            self.graveyard.extend(removed);
        }
        Ok(())
    }

    /// Looks at every message first, so that a refusal removes none.
    fn bulk_delete(
        &mut self,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
        now: Timestamp,
    ) -> Result<()> {
        let mut doomed = Vec::new();
        for id in distinct(ids) {
            let Some(message) = self.find(id, now) else { continue };
            if message.parked.is_some() {
                continue;
            }
            self.check_still(message.position)?;
            if let Some(claims) = claims {
                check_held(message, claims, now)?;
            }
            doomed.push(message.position);
            if self.quirks.has(Quirk::BatchNotAtomic) {
                self.messages.retain(|position, _| !doomed.contains(position));
            }
        }
        self.messages.retain(|position, _| !doomed.contains(position));
        Ok(())
    }

    fn pop(&mut self, limit: PageLimit, now: Timestamp) -> Result<Vec<Message>> {
        let (quirks, end) = (self.quirks, self.takeable_end());
        let takes = |message: &&Stored| {
            let unchecked =
                quirks.has(Quirk::IgnoreExpiryOnPop) && message.live_hold(now).is_none();
            (message.is_claimable(now, quirks) || unchecked) && message.position < end
        };
        let popped: Result<Vec<Message>> = self
            .messages
            .values()
            .filter(takes)
            .take(limit.as_usize())
            .map(|message| message.show(self.incarnation, now))
            .collect();
        let popped = popped?;
        for message in &popped {
            self.messages.remove(&message.marker.sequence());
        }
        Ok(popped)
    }

    /// Where a message was put that arrived before.
    fn arrived(&self, id: MessageId) -> Result<Option<MessageMarker>> {
        let position = self.arrivals.get(&id).map(|arrived| arrived.position);
        Ok(position.map(|position| MessageMarker::new(self.incarnation, position)).transpose()?)
    }

    /// Its life restarts with its arrival; that it came is remembered as long as the queue lives.
    fn insert_moved(
        &mut self,
        message: MovedMessage,
        now: Timestamp,
    ) -> Result<Created<MessageMarker>> {
        let position = self.allocate(1)?;
        let marker = MessageMarker::new(self.incarnation, position)?;
        let origin = Some(DeadLetterOrigin::of(&message, now));
        self.arrivals.insert(message.id, Arrived { position, origin });
        let MovedMessage { id, body, ttl, claim_count, posted_at, checksum, .. } = message;
        let aged = self.quirks.has(Quirk::AgeDeadLetters);
        let starts = if aged { posted_at } else { now };
        let stored = Stored {
            id,
            position,
            body,
            ttl,
            posted_at,
            expires_at: starts.after(ttl),
            first_end: starts.after(ttl),
            delayed_until: now,
            client: None,
            checksum,
            claim_count,
            hold: None,
            last_claim: None,
            parked: None,
        };
        self.messages.insert(position, stored);
        Ok(Created::New(marker))
    }
}

/// Whether one of `claims` holds the message, in the words of a refusal.
fn check_held(message: &Stored, claims: &[ClaimId], now: Timestamp) -> Result<()> {
    let id = message.id;
    match (message.live_hold(now), claims.first()) {
        (None, _) => Err(Error::MessageNotClaimed { id }),
        (Some(hold), _) if claims.contains(&hold.claim) => Ok(()),
        (Some(_), Some(claim)) => Err(Error::MessageNotClaimedBy { id, claim: *claim }),
        (Some(_), None) => Err(Error::MessageNotClaimed { id }),
    }
}
