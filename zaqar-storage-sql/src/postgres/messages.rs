//! Messages: the controller. Posts go to the lanes, deletes and takes have modules of their own,
//! reads are here.
//!
//! A read is one statement, so it sees the head and the messages in one snapshot: an incarnation
//! that is open in it, and messages that are not purged in it, were so at one moment of the call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use zaqar_core::{
    ClaimId, Created, DeadLetterOrigin, Error, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MessageWatch, MovedMessage, NewMessage, Page, PageLimit, PostMessages, Posted,
    QueueEnd, QueueRef, QueueStats, Result, Timestamp,
};
use zaqar_storage_lanes::Weight;

use crate::layout::{WINDOW, row_id, row_id_end};

use super::available;
use super::driver::PgData;
use super::heads::check_rows;
use super::moves::{self, InsertMoved, Purge};
use super::posts::Post;
use super::removals::{self, Rule, rows_of_messages};
use super::rows::{message_columns, messages};
use super::server::Server;
use super::stats;
use super::sweep::settle_due;
use super::takes;
use super::told::Told;

const LIST: &str = "message_list";

/// The walk of a default listing: what is claimed or delayed ahead is not in it. `$1` queue, `$3`
/// after, `$4` before, `$5` rows.
macro_rules! claimable_walk {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM messages AS m WHERE m.avail = 0 AND (m.id + 0) < $4 \
               AND (m.id + 0) > greatest($3, (h.number << 35) | h.purged) \
             ORDER BY (m.id + 0) LIMIT $5"
        )
    };
}

/// The walk of a listing that shows claimed or delayed messages too.
macro_rules! whole_walk {
    ($columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM messages AS m WHERE m.id < $4 \
               AND m.id > greatest($3, (h.number << 35) | h.purged) \
             ORDER BY m.id LIMIT $5"
        )
    };
}

/// The live messages behind a walk, at moment `$2`, under the filters of a listing: `$6` claimed
/// ones too, `$7` delayed ones too, `$8` not this client's, `$9` so many.
macro_rules! list {
    ($matured:literal, $walk:expr) => {
        concat!(
            "SELECT h.state, h.epoch, ",
            $matured,
            " AS matured, l.* FROM heads AS h LEFT JOIN LATERAL (SELECT ",
            message_columns!(),
            " FROM (",
            $walk,
            ") AS m JOIN bodies AS b ON b.id = m.id \
             WHERE m.expires > $2 \
               AND ($6 OR NOT (m.avail = -2 OR (m.claim IS NOT NULL AND m.avail > $2))) \
               AND ($7 OR NOT (m.claim IS NULL AND m.avail > $2)) \
               AND ($8::text IS NULL OR m.client IS DISTINCT FROM $8) \
             ORDER BY m.place LIMIT $9) AS l ON true WHERE h.number = $1 ORDER BY l.id"
        )
    };
}

pub(crate) const LIST_CLAIMABLE: &str = list!(
    "EXISTS (SELECT 1 FROM messages WHERE queue = $1 AND avail > 0 AND avail <= $2)",
    claimable_walk!("m.*, (m.id + 0) AS place")
);
const LIST_WHOLE: &str = list!("false", whole_walk!("m.*, m.id AS place"));

/// The last row that a step examined, and how many.
macro_rules! end {
    ($walk:expr) => {
        concat!(
            "SELECT h.state, h.epoch, w.last, w.examined FROM heads AS h LEFT JOIN LATERAL \
               (SELECT max(id) AS last, count(*) AS examined FROM (",
            $walk,
            ") AS w) AS w ON true WHERE h.number = $1 AND $2::bigint IS NOT NULL"
        )
    };
}

const END_CLAIMABLE: &str = end!(claimable_walk!("m.id"));
const END_WHOLE: &str = end!(whole_walk!("m.id"));

macro_rules! first {
    ($order:literal) => {
        concat!(
            "SELECT h.state, h.epoch, l.* FROM heads AS h LEFT JOIN LATERAL (SELECT ",
            message_columns!(),
            " FROM messages AS m JOIN bodies AS b ON b.id = m.id \
             WHERE m.id < $3 AND m.id > ((h.number << 35) | h.purged) AND m.expires > $2 \
             ORDER BY m.id ",
            $order,
            " LIMIT 1) AS l ON true WHERE h.number = $1"
        )
    };
}

const OLDEST: &str = first!("ASC");
const NEWEST: &str = first!("DESC");

const FIND: &str = concat!(
    "SELECT h.state, h.epoch, ",
    message_columns!(),
    " FROM heads AS h LEFT JOIN (messages AS m JOIN bodies AS b ON b.id = m.id) \
       ON m.id = ANY ($2) AND m.expires > $3 AND m.id > ((h.number << 35) | h.purged) \
     WHERE h.number = $1"
);

/// A listing under way.
struct Listing<'l> {
    server: &'l Arc<Server>,
    queue: &'l QueueRef,
    number: i64,
    options: &'l ListMessages,
}

impl Listing<'_> {
    /// Whether the claimable index holds all that this listing may show.
    fn walks_claimable(&self) -> bool {
        !self.options.include_claimed && !self.options.include_delayed
    }

    fn bind_walk(
        &self,
        texts: (&'static str, &'static str),
        after: i64,
        now: Timestamp,
    ) -> super::step::Statement {
        let text = if self.walks_claimable() { texts.0 } else { texts.1 };
        sqlx::query(text)
            .bind(self.number)
            .bind(now.as_millis())
            .bind(after)
            .bind(row_id_end(self.number))
            .bind(WINDOW)
    }

    /// One step: the messages after `after`, and whether any matured unreleased.
    async fn step(&self, after: i64, now: Timestamp) -> Result<(Vec<Message>, bool)> {
        let statement = self
            .bind_walk((LIST_CLAIMABLE, LIST_WHOLE), after, now)
            .bind(self.options.include_claimed)
            .bind(self.options.include_delayed)
            .bind(self.options.hide_client.as_ref().map(|client| client.as_str()))
            .bind(i64::from(self.options.limit.get()));
        let rows = self.server.read(LIST, statement).await?;
        check_rows(&rows, self.queue).told(LIST)?;
        let matured = rows.first().map_or(Ok(false), |row| row.try_get(2)).told(LIST)?;
        let messages = messages(&rows, 3, self.queue.incarnation, now).told(LIST)?;
        Ok((messages, matured))
    }

    /// Where the next step goes on; `None`: the last one reached the end.
    async fn step_end(&self, after: i64, now: Timestamp) -> Result<Option<i64>> {
        let statement = self.bind_walk((END_CLAIMABLE, END_WHOLE), after, now);
        let rows = self.server.read(LIST, statement).await?;
        check_rows(&rows, self.queue).told(LIST)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let examined: i64 = row.try_get(3).told(LIST)?;
        let last: Option<i64> = row.try_get(2).told(LIST)?;
        Ok(last.filter(|_| examined >= WINDOW))
    }

    /// The row that the marker stands for: the queue's own place, or where a message moved in
    /// stands.
    async fn start(&self) -> Result<i64> {
        let Some(marker) = self.options.marker else { return Ok(row_id(self.number, 0)) };
        let id = MessageId::from(marker);
        let rows = rows_of_messages(self.server, LIST, self.queue, self.number, &[id]).await?;
        // A place that no row can have lies behind the end; another incarnation's is no place here.
        let own = id.incarnation() == self.queue.incarnation;
        let none = if own { row_id_end(self.number) } else { row_id(self.number, 0) };
        Ok(rows.first().map_or(none, |(row, _)| *row))
    }

    async fn page(&self) -> Result<Page<Message, MessageMarker>> {
        let mut after = self.start().await?;
        loop {
            let now = self.server.clock.now();
            let (messages, matured) = self.step(after, now).await?;
            if matured {
                // Free by time, but not in the claimable index yet: it must not be stepped over.
                settle_due(self.server, self.number, LIST).await?;
                tokio::task::yield_now().await;
                continue;
            }
            if !messages.is_empty() {
                return Ok(Page::of(messages, |message| message.marker));
            }
            // To a client an empty page is the end, so go on until there is something or it is.
            match self.step_end(after, now).await? {
                Some(examined) => after = examined,
                None => return Ok(Page::empty()),
            }
        }
    }
}

async fn find(
    server: &Server,
    operation: &'static str,
    queue: &QueueRef,
    ids: &[MessageId],
) -> Result<HashMap<MessageId, Message>> {
    let number = server.number(operation, queue).await?;
    let places = rows_of_messages(server, operation, queue, number, ids).await?;
    let rows: Vec<i64> = places.iter().map(|(row, _)| *row).collect();
    let now = server.clock.now();
    let select = sqlx::query(FIND).bind(number).bind(rows).bind(now.as_millis());
    let rows = server.read(operation, select).await?;
    check_rows(&rows, queue).told(operation)?;
    let found = messages(&rows, 2, queue.incarnation, now).told(operation)?;
    Ok(found.into_iter().map(|message| (message.id, message)).collect())
}

async fn first(server: &Server, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
    const OPERATION: &str = "message_first";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let text = match end {
        QueueEnd::Oldest => OLDEST,
        QueueEnd::Newest => NEWEST,
    };
    let select = sqlx::query(text).bind(number).bind(now.as_millis()).bind(row_id_end(number));
    let rows = server.read(OPERATION, select).await?;
    check_rows(&rows, queue).told(OPERATION)?;
    Ok(messages(&rows, 2, queue.incarnation, now).told(OPERATION)?.pop())
}

impl PgData {
    async fn remove(&self, queue: &QueueRef, ids: Vec<MessageId>, rule: Rule) -> Result<()> {
        let operation = rule.operation();
        let work = move |server: Arc<Server>, queue| async move {
            removals::remove(&server, &queue, &ids, &rule).await
        };
        self.at(operation, queue, work).await
    }
}

#[async_trait]
impl MessageController for PgData {
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
        let bytes = messages.iter().map(|message| message.body.len()).sum();
        let weight = Weight::new(messages.len(), bytes);
        let party = Some(queue.key.project.clone());
        self.store.posts.submit(&party, queue, weight, Post { messages, options }).await
    }

    async fn message_list(
        &self,
        queue: &QueueRef,
        options: ListMessages,
    ) -> Result<Page<Message, MessageMarker>> {
        let work = move |server: Arc<Server>, queue: QueueRef| async move {
            let number = server.number(LIST, &queue).await?;
            let options = &options;
            Listing { server: &server, queue: &queue, number, options }.page().await
        };
        self.at(LIST, queue, work).await
    }

    async fn message_first(&self, queue: &QueueRef, end: QueueEnd) -> Result<Option<Message>> {
        let work =
            move |server: Arc<Server>, queue| async move { first(&server, &queue, end).await };
        self.at("message_first", queue, work).await
    }

    async fn message_get(&self, queue: &QueueRef, id: MessageId) -> Result<Message> {
        const OPERATION: &str = "message_get";
        let work = move |server: Arc<Server>, queue: QueueRef| async move {
            let mut found = find(&server, OPERATION, &queue, &[id]).await?;
            let missing = || Error::MessageNotFound { queue: queue.key.name.clone(), id };
            found.remove(&id).ok_or_else(missing)
        };
        self.at(OPERATION, queue, work).await
    }

    async fn message_bulk_get(&self, queue: &QueueRef, ids: &[MessageId]) -> Result<Vec<Message>> {
        const OPERATION: &str = "message_bulk_get";
        let mut seen = HashSet::new();
        let ids: Vec<MessageId> = ids.iter().copied().filter(|id| seen.insert(*id)).collect();
        let work = move |server: Arc<Server>, queue: QueueRef| async move {
            let mut found = find(&server, OPERATION, &queue, &ids).await?;
            Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
        };
        self.at(OPERATION, queue, work).await
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
        let work = move |server: Arc<Server>, queue| async move {
            takes::pop(&server, &queue, limit).await
        };
        self.at(takes::POP_OPERATION, queue, work).await
    }

    async fn message_purge(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, Purge::of(queue)).await
    }

    async fn message_stats(&self, queue: &QueueRef) -> Result<QueueStats> {
        let work =
            move |server: Arc<Server>, queue| async move { stats::queue(&server, &queue).await };
        self.at(stats::OPERATION, queue, work).await
    }

    async fn message_available(&self, watches: &[MessageWatch]) -> Result<Vec<bool>> {
        let watches = watches.to_vec();
        let work = move |server: Arc<Server>| async move {
            available::of_watches(&server, &watches).await
        };
        self.housekeep(available::OPERATION, work).await
    }

    async fn message_insert_moved(
        &self,
        queue: &QueueRef,
        message: MovedMessage,
    ) -> Result<Created<MessageMarker>> {
        self.run(queue, InsertMoved::of(queue, message)).await
    }

    async fn message_origins(
        &self,
        queue: &QueueRef,
        ids: &[MessageId],
    ) -> Result<Vec<Option<DeadLetterOrigin>>> {
        let ids = ids.to_vec();
        let work = move |server: Arc<Server>, queue: QueueRef| async move {
            moves::origins(&server, &queue, &ids).await
        };
        self.at("message_origins", queue, work).await
    }
}
