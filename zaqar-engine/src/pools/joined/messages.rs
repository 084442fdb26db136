//! Messages of a queue that is being moved.

use std::collections::BTreeMap;

use async_trait::async_trait;
use zaqar_core::{
    ClaimId, Created, DataDriver, DeadLetterOrigin, Effect, Error, ListMessages, Message,
    MessageController, MessageId, MessageMarker, MessageWatch, MovedMessage, NewMessage, Page,
    PageLimit, PostMessages, Posted, QueueEnd, QueueRef, QueueStats, Result, Retry,
};

use super::{Joined, gone, held, patiently};

/// How often statistics are taken anew because something moved meanwhile.
const COUNTS_MAX: usize = 5;

/// The messages of both, each once, in queue order.
pub(super) fn merge(
    source: impl IntoIterator<Item = Message>,
    target: impl IntoIterator<Item = Message>,
) -> impl Iterator<Item = Message> {
    let all = source.into_iter().chain(target);
    let placed: BTreeMap<u64, Message> =
        all.map(|message| (message.marker.sequence(), message)).collect();
    placed.into_values()
}

/// Which of these messages a store holds.
async fn found(data: &dyn DataDriver, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
    Ok(held(data.messages().message_bulk_get(queue, ids).await)?.unwrap_or_default())
}

/// What a store answers about a message: `None` if it has nothing of the queue, `Some(None)` if it
/// does not know the message.
fn there(answer: Result<Message>) -> Result<Option<Option<Message>>> {
    match answer {
        Err(Error::MessageNotFound { .. }) => Ok(Some(None)),
        answer => Ok(held(answer)?.map(Some)),
    }
}

/// What the source knows of an earlier call, or does for as long as it takes new things; otherwise
/// `None`: it belongs to the target.
fn remembered<T>(queue: &QueueRef, answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(Error::QueueMoved { epoch, .. }) if epoch == queue.epoch => Ok(None),
        answer => held(answer),
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MessageController for Joined {
    /// With a key, the source is asked first whether it knows the key.
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        if options.key.is_some() {
            let (messages, options) = (messages.clone(), options.clone());
            let answer = self.source().messages().message_post(queue, messages, options).await;
            if let Some(posted) = remembered(queue, answer)? {
                return Ok(posted);
            }
        }
        self.anew(queue, |data| {
            data.messages().message_post(queue, messages.clone(), options.clone())
        })
        .await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        let limit = options.limit.as_usize();
        let marker = self.placed(queue, options.marker).await?;
        let options = options.marker(marker);
        let is_open = self.is_open(queue).await?;
        let source = held(self.list_source(queue, options.clone()).await)?;
        if !is_open && let Some(items) = &source {
            if self.is_open(queue).await? {
                return self.message_list(queue, options).await;
            }
            self.check_source(queue).await?;
            return Ok(Page::of(items.clone(), |message| message.marker));
        }
        let target = held(self.target().messages().message_list(queue, options).await)?;
        let target = target.map(|page| page.items);
        let (source, target) = self.both(queue, source, target).await?;
        let items = merge(source.unwrap_or_default(), target.unwrap_or_default());
        Ok(Page::of(items.take(limit).collect(), |message| message.marker))
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        let source = held(self.source().messages().message_first(queue, end).await)?;
        let target = held(self.target().messages().message_first(queue, end).await)?;
        let (source, target) = self.both(queue, source, target).await?;
        let both = source.flatten().into_iter().chain(target.flatten());
        let place = |message: &Message| message.marker.sequence();
        Ok(match end {
            QueueEnd::Oldest => both.min_by_key(place),
            QueueEnd::Newest => both.max_by_key(place),
        })
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        let source = there(self.source().messages().message_get(queue, id).await)?;
        if let Some(Some(message)) = source {
            return Ok(message);
        }
        let target = there(self.target().messages().message_get(queue, id).await)?;
        let (_, target) = self.both(queue, source, target).await?;
        let missing = || Error::MessageNotFound { queue: queue.key.name.clone(), id };
        target.flatten().ok_or_else(missing)
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        let source = held(self.source().messages().message_bulk_get(queue, ids).await)?;
        let target = held(self.target().messages().message_bulk_get(queue, ids).await)?;
        let (source, target) = self.both(queue, source, target).await?;
        let both = source.unwrap_or_default().into_iter().chain(target.unwrap_or_default());
        let mut found: BTreeMap<MessageId, Message> =
            both.map(|message| (message.id, message)).collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        patiently(|| async {
            let source = held(self.source().messages().message_delete(queue, id, claim).await)?;
            let target = held(self.target().messages().message_delete(queue, id, claim).await)?;
            self.both(queue, source, target).await.map(drop)
        })
        .await
    }

    /// The store that would refuse is asked first, so that nothing is removed if it does. A claim
    /// that ends between the two may still let one refuse after the other has removed something: the
    /// effect is unknown then, and a repeat is safe.
    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        patiently(|| async {
            let (mut first, mut second, mut there) = (self.source(), self.target(), Vec::new());
            if let Some(claims) = claims {
                let at_target = found(second, queue, ids).await?;
                let is_held =
                    |message: &Message| message.claim.is_some_and(|by| claims.contains(&by));
                if !at_target.iter().all(is_held) {
                    (first, second) = (second, first);
                }
                there = self.message_bulk_get(queue, ids).await?;
            }
            let one = held(first.messages().message_bulk_delete(queue, ids, claims).await)?;
            let two = match held(second.messages().message_bulk_delete(queue, ids, claims).await) {
                Ok(two) => two,
                Err(moved @ (Error::QueueMoving { .. } | Error::QueueMoved { .. })) => {
                    return Err(moved);
                }
                Err(refused) if self.message_bulk_get(queue, ids).await?.len() == there.len() => {
                    return Err(refused);
                }
                Err(refused) => {
                    let (unknown, later) = (Effect::Unknown, Retry::Later);
                    return Err(Error::backend("message_bulk_delete", unknown, later, refused));
                }
            };
            self.both(queue, one, two).await.map(drop)
        })
        .await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        let answer = patiently(|| async {
            let before = self.frontier(queue).await?;
            let popped = self.pop_both(queue, limit).await?;
            if popped.is_empty() {
                self.check_at_rest(queue, before).await?;
            }
            Ok(popped)
        })
        .await;
        nothing_yet(answer)
    }

    /// At the source first: what is on its way between the two is purged at either end.
    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        let source = held(self.source().messages().message_purge(queue).await)?;
        let target = held(self.target().messages().message_purge(queue).await)?;
        self.both(queue, source, target).await.map(drop)
    }

    /// Counted anew if something arrived at the target meanwhile, a few times at most: after that a
    /// part that was under way may be counted twice.
    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        let mut counts = 1;
        loop {
            let before = self.frontier(queue).await?;
            let source = held(self.source().messages().message_stats(queue).await)?;
            let target = held(self.target().messages().message_stats(queue).await)?;
            let still = before.is_some() && before == self.frontier(queue).await?;
            if still || counts == COUNTS_MAX {
                let (source, target) = self.both(queue, source, target).await?;
                return Ok(sum(source.unwrap_or_default(), target.unwrap_or_default()));
            }
            counts += 1;
            tokio::time::sleep(super::PAUSE).await;
        }
    }

    /// Place by place: few queues are being moved at a time.
    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        let one = PageLimit::new(1)?;
        let mut available = Vec::with_capacity(watches.len());
        for MessageWatch { queue, after } in watches {
            let options = ListMessages::new().marker(*after).limit(one);
            let page = held(self.message_list(queue, options).await)?;
            available.push(page.is_none_or(|page| !page.items.is_empty()));
        }
        Ok(available)
    }

    /// The source is asked first whether the message came there.
    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        let answer = self.source().messages().message_insert_moved(queue, message.clone()).await;
        if let Some(created) = remembered(queue, answer)? {
            return Ok(created);
        }
        self.anew(queue, |data| data.messages().message_insert_moved(queue, message.clone())).await
    }

    /// What the source remembers comes to the target after the messages.
    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        let source = held(self.source().messages().message_origins(queue, ids).await)?;
        let target = held(self.target().messages().message_origins(queue, ids).await)?;
        let (source, target) = self.both(queue, source, target).await?;
        let none = || vec![None; ids.len()];
        let both = source.unwrap_or_else(none).into_iter().zip(target.unwrap_or_else(none));
        Ok(both.map(|(source, target)| source.or(target)).collect())
    }
}

/// What of a limit is left.
pub(super) fn rest(limit: PageLimit, taken: usize) -> Option<PageLimit> {
    let taken = u32::try_from(taken).unwrap_or(u32::MAX);
    PageLimit::new(limit.get().saturating_sub(taken)).ok()
}

/// Nothing can be had for now: patience is over.
pub(super) fn nothing_yet<T: Default>(answer: Result<T>) -> Result<T> {
    match answer {
        Err(Error::QueueMoving { .. }) => Ok(T::default()),
        answer => answer,
    }
}

fn sum(source: QueueStats, target: QueueStats) -> QueueStats {
    QueueStats {
        claimed: source.claimed.saturating_add(target.claimed),
        free: source.free.saturating_add(target.free),
        oldest: source.oldest.or(target.oldest),
        newest: target.newest.or(source.newest),
    }
}

impl Joined {
    /// A full page of the source, or all that is left there: what is shorter than it might be must
    /// not be followed by what the target has.
    async fn list_source(&self, queue: &QueueRef, options: ListMessages) -> Result<Vec<Message>> {
        let mut items = Vec::new();
        let mut options = options;
        while let Some(left) = rest(options.limit, items.len()) {
            let next = options.clone().limit(left);
            let page = self.source().messages().message_list(queue, next).await?;
            if page.items.is_empty() {
                break;
            }
            options.marker = page.next;
            items.extend(page.items);
        }
        Ok(items)
    }

    /// Pops at the source, and the rest at the target, unless a part is on its way that comes before.
    async fn pop_both(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        let is_open = self.is_open(queue).await?;
        let source = held(self.source().messages().message_pop(queue, limit).await)?;
        let is_there = source.is_some();
        let mut popped = source.unwrap_or_default();
        let Some(left) = rest(limit, popped.len()) else { return Ok(popped) };
        if is_there && !is_open {
            return Ok(popped);
        }
        if is_there && self.is_held_up(queue).await? {
            return match popped.is_empty() {
                true => Err(Error::QueueMoving { name: queue.key.name.clone() }),
                false => Ok(popped),
            };
        }
        match self.target().messages().message_pop(queue, left).await {
            Ok(more) => popped.extend(more),
            Err(Error::QueueGone { .. }) if is_there => {}
            // What was popped is gone from the store: it must be handed over.
            Err(error) if !popped.is_empty() => {
                tracing::debug!(%error, "the target of a move gave nothing more");
            }
            Err(error) => return Err(error),
        }
        Ok(popped)
    }

    /// Refuses to take "nothing" for an answer if a part was on its way meanwhile.
    pub(super) async fn check_at_rest(&self, queue: &QueueRef, before: Option<u64>) -> Result<()> {
        if before.is_none() || before != self.frontier(queue).await? {
            return Err(Error::QueueMoving { name: queue.key.name.clone() });
        }
        Ok(())
    }

    /// The place that a marker means, where it is the id of a dead letter: only the store that it
    /// came to knows which that is.
    async fn placed(
        &self,
        queue: &QueueRef,
        marker: Option<MessageMarker>,
    ) -> Result<Option<MessageMarker>> {
        let foreign = marker.filter(|marker| marker.incarnation() != queue.incarnation);
        let Some(foreign) = foreign else { return Ok(marker) };
        match self.message_get(queue, MessageId::from(foreign)).await {
            Ok(message) => Ok(Some(message.marker)),
            Err(Error::MessageNotFound { .. }) => Ok(marker),
            Err(error) => Err(error),
        }
    }

    /// How far the move is: the lowest position that came to the target, `None` while a part is
    /// between the stores.
    pub(super) async fn frontier(&self, queue: &QueueRef) -> Result<Option<u64>> {
        match self.target().moves().move_part(queue).await {
            Ok(part) => Ok(part.is_empty().then_some(part.from)),
            // The queue was made here, after its move was begun.
            Err(Error::QueueMoved { epoch, .. }) if epoch < queue.epoch => Ok(Some(u64::MAX)),
            Err(Error::QueueGone { .. }) if self.source().heads().head_get(queue).await.is_ok() => {
                Ok(Some(u64::MAX))
            }
            Err(Error::QueueGone { .. }) => Err(gone(queue)),
            Err(error) => Err(error),
        }
    }
}
