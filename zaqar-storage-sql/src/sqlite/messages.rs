//! Messages: the controller. Writes go to the writer, reads are here.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use tokio::sync::oneshot;
use zaqar_core::{
    ClaimId, Created, DeadLetterOrigin, Error, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MessageWatch, MovedMessage, NewMessage, Page, PageLimit, PostMessages, Posted,
    QueueEnd, QueueRef, QueueStats, Result, Timestamp,
};

use crate::layout::{WINDOW, row_id, row_id_end};

use super::available;
use super::driver::SqliteData;
use super::intake::Operation;
use super::moves::{self, InsertMoved, Purge};
use super::posts::Post;
use super::reader::{check_head, failed, purged_row};
use super::removals::{Removal, Rule};
use super::rows::{id_list, message, message_columns};
use super::statement::query;
use super::stats;
use super::sweep::ReleaseMatured;
use super::takes::{Outcome, Take, Taker};

const LIST: &str = "message_list";

/// Reads the live messages behind a walk, `w`, under the filters of a listing.
macro_rules! filtered {
    () => {
        concat!(
            " CROSS JOIN messages AS m ON m.id = w.id CROSS JOIN bodies AS b ON b.id = m.id \
             WHERE m.expires > ? AND (? OR NOT (m.avail = -2 OR (m.claim IS NOT NULL AND m.avail > ?))) \
             AND (? OR NOT (m.claim IS NULL AND m.avail > ?)) AND (? IS NULL OR m.client IS NOT ?) \
             LIMIT ?"
        )
    };
}

/// The walk of a default listing: what is claimed or delayed ahead is not in it.
macro_rules! claimable_walk {
    () => {
        concat!(
            "SELECT id FROM messages INDEXED BY claimable WHERE queue = ? AND avail = 0 \
             AND id > max(?, ",
            purged_row!(),
            ") ORDER BY id LIMIT ?"
        )
    };
}

/// The walk of a listing that shows claimed or delayed messages too.
macro_rules! whole_walk {
    () => {
        concat!(
            "SELECT id FROM messages WHERE id < ? AND id > max(?, ",
            purged_row!(),
            ") ORDER BY id LIMIT ?"
        )
    };
}

const LIST_CLAIMABLE: &str = concat!(
    "SELECT 0, EXISTS (SELECT 1 FROM messages INDEXED BY maturing \
                       WHERE queue = ? AND avail > 0 AND avail <= ?); \
     SELECT 9, ",
    message_columns!(),
    " FROM (",
    claimable_walk!(),
    ") AS w",
    filtered!(),
    check_head!()
);

const LIST_WHOLE: &str = concat!(
    "SELECT 0, 0; SELECT 9, ",
    message_columns!(),
    " FROM (",
    whole_walk!(),
    ") AS w",
    filtered!(),
    check_head!()
);

/// The last row that a step examined, if it did not reach the end.
const END_CLAIMABLE: &str = concat!("SELECT max(id), count(*) FROM (", claimable_walk!(), ")");
const END_WHOLE: &str = concat!("SELECT max(id), count(*) FROM (", whole_walk!(), ")");

impl SqliteData {
    /// Runs one step of a listing: the messages after `after`, and whether any matured unreleased.
    async fn list_step(
        &self,
        queue: &QueueRef,
        number: i64,
        after: i64,
        options: &ListMessages,
        now: Timestamp,
    ) -> Result<(Vec<Message>, bool)> {
        let now_ms = now.as_millis();
        let statement = if walks_claimable(options) {
            let statement = query(LIST_CLAIMABLE).bind(number).bind(now_ms);
            statement.bind(number)
        } else {
            query(LIST_WHOLE).bind(row_id_end(number))
        };
        let client = options.hide_client.as_ref().map(ToString::to_string);
        let statement = statement
            .bind(after)
            .bind(number)
            .bind(WINDOW)
            .bind(now_ms)
            .bind(options.include_claimed)
            .bind(now_ms)
            .bind(options.include_delayed)
            .bind(now_ms)
            .bind(client.clone())
            .bind(client)
            .bind(i64::from(options.limit.get()))
            .bind(number);
        let rows = self.store.reader.rows_of_queue(LIST, queue, statement).await?;
        let mut matured = false;
        let mut messages = Vec::with_capacity(rows.len());
        for row in &rows {
            let decode = |error| failed(LIST, error);
            if row.try_get::<i64>(0).map_err(decode)? == 0 {
                matured = row.try_get::<i64>(1).map_err(decode)? != 0;
            } else {
                messages.push(message(row, 1, queue.incarnation, now).map_err(decode)?);
            }
        }
        Ok((messages, matured))
    }

    /// The row that a marker stands for: the queue's own place, or where a message moved in stands.
    async fn row_of_marker(
        &self,
        queue: &QueueRef,
        number: i64,
        marker: MessageMarker,
    ) -> Result<i64> {
        let reader = &self.store.reader;
        let id = MessageId::from(marker);
        let row = reader.row_of_message(LIST, queue, number, id).await?;
        // A place that no row can have lies behind the end; another incarnation's is no place here.
        let own = id.incarnation() == queue.incarnation;
        Ok(row.unwrap_or(if own { row_id_end(number) } else { row_id(number, 0) }))
    }

    /// Where the next step goes on; `None`: the last one reached the end.
    async fn list_step_end(
        &self,
        number: i64,
        after: i64,
        options: &ListMessages,
    ) -> Result<Option<i64>> {
        let statement = if walks_claimable(options) {
            query(END_CLAIMABLE).bind(number)
        } else {
            query(END_WHOLE).bind(row_id_end(number))
        };
        let statement = statement.bind(after).bind(number).bind(WINDOW);
        let rows = self.store.reader.rows(LIST, statement).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let decode = |error| failed(LIST, error);
        let examined: i64 = row.try_get(1).map_err(decode)?;
        let last: Option<i64> = row.try_get(0).map_err(decode)?;
        Ok(last.filter(|_| examined >= WINDOW))
    }

    async fn find_one(
        &self,
        operation: &'static str,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<HashMap<MessageId, Message>> {
        let number = self.store.reader.number(operation, queue).await?;
        let mut rows = Vec::with_capacity(ids.len());
        for id in ids {
            rows.extend(self.store.reader.row_of_message(operation, queue, number, *id).await?);
        }
        let now = self.store.clock.now();
        let select = query(concat!(
            "SELECT 9, ",
            message_columns!(),
            " FROM json_each(?) AS j CROSS JOIN messages AS m ON m.id = j.value \
             CROSS JOIN bodies AS b ON b.id = m.id WHERE m.expires > ?",
            check_head!()
        ))
        .bind(id_list(rows))
        .bind(now.as_millis())
        .bind(number);
        let rows = self.store.reader.rows_of_queue(operation, queue, select).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let message = message(row, 1, queue.incarnation, now)
                .map_err(|error| failed(operation, error))?;
            found.insert(message.id, message);
        }
        Ok(found)
    }

    async fn remove(&self, queue: &QueueRef, ids: Vec<MessageId>, rule: Rule) -> Result<()> {
        let (reply, answer) = oneshot::channel();
        let removal = Removal { queue: queue.clone(), ids, rule, reply, outcome: None };
        let operation = Operation::Removal(Box::new(removal));
        self.hand_over("message_delete", queue, operation, answer).await
    }
}

/// Whether the claimable index holds all that a listing may show.
fn walks_claimable(options: &ListMessages) -> bool {
    !options.include_claimed && !options.include_delayed
}

#[async_trait]
impl MessageController for SqliteData {
    async fn message_post(
        &self,
        queue: &QueueRef,
        messages: Vec<NewMessage>,
        options: PostMessages,
    ) -> Result<Posted> {
        let max = zaqar_core::limits::MESSAGES_PER_POST_MAX;
        if messages.is_empty() || messages.len() > max {
            let reason = format!("must be 1 to {max}");
            return Err(Error::Invalid { field: "number of messages", reason });
        }
        let (reply, answer) = oneshot::channel();
        let post = Post { queue: queue.clone(), messages, options, reply, outcome: None };
        self.hand_over("message_post", queue, Operation::Post(Box::new(post)), answer).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        let number = self.store.reader.number(LIST, queue).await?;
        let mut after = match options.marker {
            None => row_id(number, 0),
            Some(marker) => self.row_of_marker(queue, number, marker).await?,
        };
        loop {
            let now = self.store.clock.now();
            let (messages, matured) = self.list_step(queue, number, after, &options, now).await?;
            if matured {
                // Free by time, but not in the claimable index yet: it must not be stepped over.
                self.run(&queue.key.project, ReleaseMatured::of(number)).await?;
                continue;
            }
            if !messages.is_empty() {
                return Ok(Page::of(messages, |message| message.marker));
            }
            // To a client an empty page is the end, so go on until there is something or it is.
            match self.list_step_end(number, after, &options).await? {
                Some(examined) => after = examined,
                None => return Ok(Page::empty()),
            }
        }
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        const OPERATION: &str = "message_first";
        let number = self.store.reader.number(OPERATION, queue).await?;
        let now = self.store.clock.now();
        let order = match end {
            QueueEnd::Oldest => "ASC",
            QueueEnd::Newest => "DESC",
        };
        let text = format!(
            "SELECT 9, {} FROM messages AS m CROSS JOIN bodies AS b ON b.id = m.id \
             WHERE m.id < ? AND m.id > {} AND m.expires > ? ORDER BY m.id {order} LIMIT 1{}",
            message_columns!(),
            purged_row!(),
            check_head!()
        );
        let select =
            query(text).bind(row_id_end(number)).bind(number).bind(now.as_millis()).bind(number);
        let rows = self.store.reader.rows_of_queue(OPERATION, queue, select).await?;
        let first = rows.first().map(|row| message(row, 1, queue.incarnation, now)).transpose();
        first.map_err(|error| failed(OPERATION, error))
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        let mut found = self.find_one("message_get", queue, &[id]).await?;
        let missing = || Error::MessageNotFound { queue: queue.key.name.clone(), id };
        found.remove(&id).ok_or_else(missing)
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        let mut seen = HashSet::new();
        let ids: Vec<MessageId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let mut found = self.find_one("message_bulk_get", queue, &ids).await?;
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }

    async fn message_delete(
        &self,
        queue: &QueueRef,
        id: MessageId,
        claim: Option<ClaimId>,
    ) -> Result<()> {
        self.remove(queue, vec![id], claim.map_or(Rule::Free, Rule::HeldBy)).await
    }

    async fn message_bulk_delete(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
        claims: Option<&[ClaimId]>,
    ) -> Result<()> {
        let rule = claims.map_or(Rule::Any, |claims| Rule::AllHeldBy(claims.to_vec()));
        self.remove(queue, ids.to_vec(), rule).await
    }

    async fn message_pop(&self, queue: &QueueRef, limit: PageLimit) -> Result<Vec<Message>> {
        let (reply, answer) = oneshot::channel();
        let taker = Taker::Pop(reply);
        let take = Take { queue: queue.clone(), limit, taker, outcome: Outcome::default() };
        self.hand_over("message_pop", queue, Operation::Take(Box::new(take)), answer).await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.run(&queue.key.project, Purge::of(queue)).await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        stats::queue(&self.store, queue).await
    }

    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        available::of_watches(&self.store, watches).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.run(&queue.key.project, InsertMoved::of(queue, message)).await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        moves::origins(&self.store.reader, queue, ids).await
    }
}
