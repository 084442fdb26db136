//! Messages: the controller. Posts go to the lanes, deletes and takes have modules of their own,
//! reads are here.
//!
//! A read is one round trip in one snapshot, so it sees the head and the messages together: an
//! incarnation that is open in it, and messages that are not purged in it, were so at one moment of
//! the call.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    ClaimId, Created, DeadLetterOrigin, Error, ListMessages, Message, MessageController, MessageId,
    MessageMarker, MessageWatch, MovedMessage, NewMessage, Page, PageLimit, PostMessages, Posted,
    QueueEnd, QueueRef, QueueStats, Result, Timestamp,
};
use zaqar_storage_lanes::Weight;

use crate::layout::{WINDOW, gone, row_id, row_id_end};

use super::available;
use super::driver::MyData;
use super::heads::{check_rows, look, state};
use super::moves::{self, InsertMoved, Purge};
use super::posts::Post;
use super::removals::{self, Rule, rows_of_messages};
use super::rows::{message_columns, messages, unclaimed};
use super::server::Server;
use super::sql::{Sql, sql};
use super::stats;
use super::sweep::settle_due;
use super::takes;
use super::told::Told;

const LIST: &str = "message_list";

/// The rows of a default listing: what is claimed or delayed ahead is not among them. `$1` queue.
macro_rules! claimable_rows {
    () => {
        concat!(
            " FROM messages AS m FORCE INDEX (claimable) \
             WHERE m.queue = $1 AND m.avail = 0 AND m.claim = ",
            unclaimed!()
        )
    };
}

/// The rows of a listing that shows claimed or delayed messages too.
macro_rules! whole_rows {
    () => {
        " FROM messages AS m FORCE INDEX (PRIMARY) WHERE TRUE"
    };
}

/// Finds the first row behind `$3`, and behind `$5` and the purge mark, before `$4`.
macro_rules! first_row {
    ($rows:expr) => {
        concat!(
            "SELECT m.id INTO @zf",
            $rows,
            " AND m.id > GREATEST($3, $5 + @zp) AND m.id < $4 ORDER BY m.id LIMIT 1"
        )
    };
}

/// The live messages of the window that begins there, at moment `$2`, under the filters of a
/// listing: `$6` claimed ones too, `$7` delayed ones too, `$8` not this client's, `$9` so many;
/// `$10` is the window. At most as many rows are examined as it has positions.
macro_rules! list {
    ($rows:expr) => {
        concat!(
            "SELECT ",
            message_columns!(),
            $rows,
            " AND m.id >= @zf AND m.id < LEAST(@zf + $10, $4) AND m.expires > $2 \
               AND ($6 OR NOT (m.avail = -2 OR (m.claim <> ",
            unclaimed!(),
            " AND m.avail > $2))) AND ($7 OR NOT (m.claim = ",
            unclaimed!(),
            " AND m.avail > $2)) AND ($8 IS NULL OR m.client IS NULL OR m.client <> $8) \
             ORDER BY m.id LIMIT $9"
        )
    };
}

pub(super) const FIRST_CLAIMABLE: &str = first_row!(claimable_rows!());
pub(super) const LIST_CLAIMABLE: &str = list!(claimable_rows!());
const FIRST_WHOLE: &str = first_row!(whole_rows!());
const LIST_WHOLE: &str = list!(whole_rows!());

/// Whether a message of the queue is free by time and not yet by its row; and where the window
/// began.
pub(super) const MATURED: &str = "SELECT EXISTS (SELECT 1 FROM messages AS d FORCE INDEX (claimable) \
     WHERE d.queue = $1 AND d.avail > 0 AND d.avail <= $2), @zf";

macro_rules! first {
    ($order:literal) => {
        concat!(
            "SELECT ",
            message_columns!(),
            " FROM messages AS m FORCE INDEX (PRIMARY) \
             WHERE m.id < $3 AND m.id > $4 + @zp AND m.expires > $2 ORDER BY m.id ",
            $order,
            " LIMIT 1"
        )
    };
}

const OLDEST: &str = first!("ASC");
const NEWEST: &str = first!("DESC");

const FIND: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages AS m FORCE INDEX (PRIMARY) \
     WHERE m.id IN ($1) AND m.expires > $2 AND m.id > $3 + @zp"
);

/// A listing under way.
struct Listing<'l> {
    server: &'l Arc<Server>,
    queue: &'l QueueRef,
    number: i64,
    options: &'l ListMessages,
}

/// One step of a listing.
struct Window {
    messages: Vec<Message>,
    /// Something matured and is not released: it could be stepped over.
    matured: bool,
    /// The last row of the window; `None`: there was none to begin it.
    last: Option<i64>,
}

impl Listing<'_> {
    fn bind(&self, text: &'static str, after: i64, now: Timestamp) -> Sql {
        let options = self.options;
        sql(text)
            .bind(self.number)
            .bind(now.as_millis())
            .bind(after)
            .bind(row_id_end(self.number))
            .bind(row_id(self.number, 0))
            .bind(options.include_claimed)
            .bind(options.include_delayed)
            .bind(options.hide_client.as_ref().map(|client| client.as_str()))
            .bind(i64::from(options.limit.get()))
            .bind(WINDOW)
    }

    /// One step: the window behind `after`.
    async fn step(&self, after: i64, now: Timestamp) -> Result<Window> {
        // Only a default listing finds all that it may show in the claimable stretch.
        let claimable = !self.options.include_claimed && !self.options.include_delayed;
        let (first, list) = match claimable {
            true => (FIRST_CLAIMABLE, LIST_CLAIMABLE),
            false => (FIRST_WHOLE, LIST_WHOLE),
        };
        let script = vec![
            look(self.number),
            sql("SET @zf = NULL"),
            self.bind(first, after, now),
            self.bind(list, after, now),
            self.bind(MATURED, after, now),
            state(self.number),
        ];
        let answers = self.server.read_snapshot(LIST, script).await?;
        check_rows(answers.rows(5), self.queue).told(LIST)?;
        let Some(row) = answers.rows(4).first() else { return Err(gone(self.queue)) };
        let matured: bool = row.try_get(0).told(LIST)?;
        let first: Option<i64> = row.try_get(1).told(LIST)?;
        Ok(Window {
            messages: messages(answers.rows(3), 0, self.queue.incarnation, now).told(LIST)?,
            matured: claimable && matured,
            last: first.map(|first| first + WINDOW - 1),
        })
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
            let window = self.step(after, self.server.clock.now()).await?;
            if window.matured {
                // Free by time, but not in the claimable stretch yet: it must not be stepped over.
                settle_due(self.server, self.number, LIST).await?;
                tokio::task::yield_now().await;
                continue;
            }
            if !window.messages.is_empty() {
                self.server.make_sure(LIST, self.queue, &window.messages).await?;
                return Ok(Page::of(window.messages, |message| message.marker));
            }
            // To a client an empty page is the end, so go on until there is something or it is.
            match window.last {
                Some(last) => after = last,
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
    let select = sql(FIND).bind(rows).bind(now.as_millis()).bind(row_id(number, 0));
    let script = vec![look(number), select, state(number)];
    let answers = server.read_snapshot(operation, script).await?;
    check_rows(answers.rows(2), queue).told(operation)?;
    let found = messages(answers.rows(1), 0, queue.incarnation, now).told(operation)?;
    server.make_sure(operation, queue, &found).await?;
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
    let select = sql(text)
        .bind(number)
        .bind(now.as_millis())
        .bind(row_id_end(number))
        .bind(row_id(number, 0));
    let script = vec![look(number), select, state(number)];
    let answers = server.read_snapshot(OPERATION, script).await?;
    check_rows(answers.rows(2), queue).told(OPERATION)?;
    let mut found = messages(answers.rows(1), 0, queue.incarnation, now).told(OPERATION)?;
    server.make_sure(OPERATION, queue, &found).await?;
    Ok(found.pop())
}

impl MyData {
    async fn remove(&self, queue: &QueueRef, ids: Vec<MessageId>, rule: Rule) -> Result<()> {
        let operation = rule.operation();
        let store = Arc::clone(&self.store);
        let work =
            move |_, queue| async move { removals::remove(&store, &queue, &ids, rule).await };
        self.at(operation, queue, work).await
    }
}

#[async_trait]
impl MessageController for MyData {
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
        let store = Arc::clone(&self.store);
        let work = move |_, queue| async move { takes::pop(&store, &queue, limit).await };
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
