//! Messages: what is posted and read. What is taken away is in [`super::takes`].

use async_trait::async_trait;
use zaqar_core::limits::MESSAGES_PER_POST_MAX;
use zaqar_core::{
    Capability, ClaimId, Created, DeadLetterOrigin, Error, ListMessages, Message,
    MessageController, MessageId, MessageMarker, MovedMessage, NewMessage, Page, PageLimit,
    PostMessages, Posted, QueueEnd, QueueRef, QueueStats, Result, Timestamp, Ttl,
};

use super::takes;
use crate::head::{Head, ids};
use crate::message::Stored;
use crate::node::Node;
use crate::record::{Change, Kept, Record};
use crate::state::State;
use crate::store::Decision;

#[async_trait]
impl MessageController for Node {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        if messages.iter().any(|message| message.delay > Ttl::ZERO) {
            self.require(Capability::Delay, "message_post")?;
        }
        self.step("message_post", |state, now| post(state, queue, messages, options, now)).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        self.read("message_list", |state, now| list(state.head(queue)?, &options, now)).await
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        self.read("message_first", |state, now| {
            let head = state.head(queue)?;
            let mut live = head.live(now);
            let found = match end {
                QueueEnd::Oldest => live.next(),
                QueueEnd::Newest => live.next_back(),
            };
            found.map(|(at, message)| message.show(head.incarnation, at, now)).transpose()
        })
        .await
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        self.read("message_get", |state, now| {
            let head = state.head(queue)?;
            let missing = || Error::MessageNotFound { queue: queue.key.name.clone(), id };
            let (at, message) = head.find(id, now).ok_or_else(missing)?;
            message.show(head.incarnation, at, now)
        })
        .await
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        self.read("message_bulk_get", |state, now| {
            let head = state.head(queue)?;
            let found = takes::distinct(ids).filter_map(|id| head.find(id, now));
            found.map(|(at, message)| message.show(head.incarnation, at, now)).collect()
        })
        .await
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.step("message_delete", |state, now| {
            takes::removal(takes::one(state.head(queue)?, id, claim, now)?, queue)
        })
        .await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        self.step("message_bulk_delete", |state, now| {
            takes::removal(takes::many(state.head(queue)?, ids, claims, now)?, queue)
        })
        .await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        self.step("message_pop", |state, now| takes::pop(state.head(queue)?, queue, limit, now))
            .await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.step("message_purge", |state, _| {
            state.head(queue)?;
            Ok((vec![Record::Head(queue.incarnation, Change::Purged)], ()))
        })
        .await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        self.read("message_stats", |state, now| {
            let head = state.head(queue)?;
            let edge = |found: Option<(u64, &Stored)>| {
                found.map(|(at, message)| message.edge(head.incarnation, at, now)).transpose()
            };
            let volume = head.volume(now);
            Ok(QueueStats {
                claimed: volume.claimed,
                free: volume.free,
                oldest: edge(head.live(now).next())?,
                newest: edge(head.live(now).next_back())?,
            })
        })
        .await
    }

    async fn message_insert_moved(
        &self,
        _: &QueueRef,
        _: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        Err(super::refused::refusal("message_insert_moved", Capability::DeadLetter))
    }

    async fn message_origins(
        &self,
        _: &QueueRef,
        _: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        Err(super::refused::refusal("message_origins", Capability::DeadLetter))
    }
}

/// Positions, messages and key become so in one record, or in none (G2, G3, G9).
fn post(
    state: &State,
    queue: &QueueRef,
    messages: Vec<NewMessage>,
    options: PostMessages,
    now: Timestamp,
) -> Decision<Posted> {
    if let Some(key) = &options.key
        && let Some(posted) = state.head(queue)?.repeated(key, now)?
    {
        return Ok((Vec::new(), posted));
    }
    let head = state.head_for_posts(queue)?;
    if messages.is_empty() || messages.len() > MESSAGES_PER_POST_MAX {
        let reason = format!("must be 1 to {MESSAGES_PER_POST_MAX}");
        return Err(Error::Invalid { field: "messages", reason });
    }
    let first = head.room_for(messages.len())?;
    let count = u64::try_from(messages.len()).unwrap_or(u64::MAX);
    let store = |message| Stored::new(message, options.client.as_ref(), now);
    let messages = messages.into_iter().map(store).collect();
    let key = options.key.map(|key| {
        (key.key, Kept { digest: key.digest, first, count, until: now.after(key.keep) })
    });
    let posted = Posted { ids: ids(queue.incarnation, first, count)?, repeated: false };
    let change = Change::Posted { first, messages, key };
    Ok((vec![Record::Head(queue.incarnation, change)], posted))
}

/// The filters come before the limit: a page is empty only at the end (G9).
fn list(
    head: &Head,
    options: &ListMessages,
    now: Timestamp,
) -> Result<Page<Message, MessageMarker>> {
    let wanted = |message: &Stored| {
        let hidden = options.hide_client.is_some() && message.client == options.hide_client;
        !hidden
            && (options.include_claimed || message.held_by(now).is_none())
            && (options.include_delayed || !message.is_delayed(now))
    };
    let items: Result<Vec<Message>> = head
        .live_from(head.after(options.marker), now)
        .filter(|(_, message)| wanted(message))
        .take(options.limit.as_usize())
        .map(|(at, message)| message.show(head.incarnation, at, now))
        .collect();
    Ok(Page::of(items?, |message| message.marker))
}
