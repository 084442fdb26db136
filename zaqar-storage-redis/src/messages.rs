//! Messages: the controller, and reading.

use std::collections::HashSet;

use async_trait::async_trait;
use zaqar_core::limits::{PAGE_LIMIT_MAX, ROWS_PER_STEP_MAX};
use zaqar_core::{
    ClaimId, Created, DeadLetterOrigin, Error, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MessageWatch, MovedMessage, NewMessage, Page, PageLimit, PostMessages, Posted,
    QueueEnd, QueueRef, QueueStats, Result, Timestamp,
};

use crate::codec::{NUMBER_MAX, moment};
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{GET, LIST};
use crate::removals::{Rule, id_argument};
use crate::store::{Call, endless, queue_text};

/// Rows that one step of a listing examines: ten times K.
const WINDOW: u32 = 10 * ROWS_PER_STEP_MAX;
/// Bytes of records that one step of a listing reads, beyond one page.
const BYTES_MAX: u32 = 4 << 20;
/// What has matured must be released before the listing may go on.
const UNSETTLED: i64 = 8;
/// Steps of one listing.
const STEPS_MAX: usize = 100_000;

/// One walk through a queue.
struct Walk<'q> {
    operation: &'static str,
    queue: &'q QueueRef,
    options: ListMessages,
    /// Start strictly after this place.
    after: String,
    descending: bool,
}

impl RedisData {
    /// Goes on until there is something, or the end is reached: to a client an empty page is the end.
    async fn walk(&self, mut walk: Walk<'_>) -> Result<Vec<Message>> {
        for _ in 0..STEPS_MAX {
            let answer = self.walk_step(&walk).await?;
            if answer.code == UNSETTLED {
                // Free by time, but not in its place yet: it must not be stepped over.
                self.store.settle(walk.operation, walk.queue.incarnation).await?;
                continue;
            }
            let now = answer.now;
            let mut reply = answer.done(walk.queue)?;
            let after = reply.text("place")?;
            let messages = reply.messages(walk.queue.incarnation, now)?;
            if !messages.is_empty() || after.is_empty() {
                return Ok(messages);
            }
            walk.after = after;
        }
        Err(endless(walk.operation))
    }

    async fn walk_step(&self, walk: &Walk<'_>) -> Result<crate::store::Answer> {
        let text = queue_text(walk.queue);
        let Walk { operation, queue, options, after, descending } = walk;
        let flag = |set: bool| u8::from(set);
        let call = Call {
            operation,
            script: &LIST,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(after).arg(options.limit.get());
                command.arg(flag(*descending)).arg(flag(options.include_claimed));
                command.arg(flag(options.include_delayed));
                command.arg(options.hide_client.as_ref().map_or("", |client| client.as_str()));
                command.arg(WINDOW).arg(BYTES_MAX);
            },
        };
        self.store.read(Some(&queue.key.project), call).await
    }

    async fn find(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Message>> {
        let text = queue_text(queue);
        let incarnation = queue.incarnation.get();
        let call = Call {
            operation,
            script: &GET,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(incarnation);
                for id in ids {
                    command.arg(id_argument(queue, *id));
                }
            },
        };
        let answer = self.store.read(Some(&queue.key.project), call).await?;
        let now = answer.now;
        let mut reply = answer.done(queue)?;
        let mut found = Vec::with_capacity(ids.len());
        while !reply.is_empty() {
            found.push(reply.message(queue.incarnation, now)?);
        }
        Ok(found)
    }
}

/// The place that a marker stands for, as scripts are told.
fn marker_argument(queue: &QueueRef, marker: MessageMarker) -> String {
    if marker.incarnation() == queue.incarnation {
        marker.sequence().min(NUMBER_MAX).to_string()
    } else {
        format!("f{marker}")
    }
}

#[async_trait]
impl MessageController for RedisData {
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
        let after = options.marker.map(|marker| marker_argument(queue, marker));
        let after = after.unwrap_or_else(|| "0".to_owned());
        let operation = "message_list";
        let walk = Walk { operation, queue, options, after, descending: false };
        Ok(Page::of(self.walk(walk).await?, |message| message.marker))
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        let one = PageLimit::new(1)?;
        let options = ListMessages::new().limit(one).include_claimed(true).include_delayed(true);
        let descending = end == QueueEnd::Newest;
        let after = if descending { NUMBER_MAX } else { 0 }.to_string();
        let operation = "message_first";
        let walk = Walk { operation, queue, options, after, descending };
        Ok(self.walk(walk).await?.into_iter().next())
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        let found = self.find("message_get", queue, &[id]).await?;
        let missing = || Error::MessageNotFound { queue: queue.key.name.clone(), id };
        found.into_iter().next().ok_or_else(missing)
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        let mut seen = HashSet::new();
        let ids: Vec<MessageId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let step = usize::try_from(PAGE_LIMIT_MAX).unwrap_or(usize::MAX);
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(step) {
            found.extend(self.find("message_bulk_get", queue, ids).await?);
        }
        if ids.is_empty() {
            self.find("message_bulk_get", queue, &[]).await?;
        }
        Ok(found)
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        let rule = claim.map_or(Rule::Free, Rule::HeldBy);
        self.remove("message_delete", queue, vec![id], rule).await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        let rule = claims.map_or(Rule::Any, |claims| Rule::AllHeldBy(claims.to_vec()));
        self.remove("message_bulk_delete", queue, ids.to_vec(), rule).await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        self.pop(queue, limit).await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.purge(queue).await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        self.count(queue).await
    }

    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        self.available(watches).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.insert_moved(queue, message).await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        self.origins(queue, ids).await
    }
}
