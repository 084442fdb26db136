//! Moves of queues out of this store and into it (G17): the controller, and how a move begins and
//! ends here.
//!
//! Each step is a task of the writer, so it is atomic, and the range in the head is all that freezes a
//! part: whatever would touch one sees it there.

use async_trait::async_trait;
use zaqar_core::move_rules::{RecordPlace, check_subscriptions, still_open};
use zaqar_core::moves::MOVE_SUBSCRIPTIONS_MAX;
use zaqar_core::{
    MoveController, MoveOpening, MovePart, MoveRecord, Page, PageLimit, QueueRef, Result,
};

use crate::codes::counter_code;
use crate::error::Failure;
use crate::layout::{CLOSED, MOVED, POSITION_MAX, gone, length_code, moved, row_id, row_id_end};

use super::driver::SqliteData;
use super::heads::Head;
use super::moving_arrivals::InsertPart;
use super::moving_open::Open;
use super::moving_parts::{Freeze, ReadPart, Remove, Reveal};
use super::moving_records::{InsertRecords, ReadRecords};
use super::statement::query;
use super::step::Step;
use super::subscriptions::{subscription, subscription_columns};
use super::task::Task;

impl Step<'_> {
    /// The head of exactly this move.
    pub(super) async fn head_of_move(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let head = self.head_any(queue).await?;
        if head.state >= CLOSED {
            return Err(gone(queue).into());
        }
        if head.epoch != counter_code(queue.epoch) {
            return Err(moved(queue, head.epoch).into());
        }
        Ok(head)
    }

    /// The head that this move leads away from.
    pub(super) async fn source(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let head = self.head_of_move(queue).await?;
        if head.state == MOVED { Ok(head) } else { Err(still_open().into()) }
    }
}

/// Reads what the target must know.
#[derive(Debug)]
struct Begin(QueueRef);

const SUBSCRIPTIONS: &str = concat!(
    "SELECT ",
    subscription_columns!(),
    " FROM subscriptions AS s WHERE s.queue = ? AND s.expires > ? ORDER BY s.number LIMIT ?"
);

#[async_trait]
impl Task for Begin {
    type Output = MoveOpening;
    const OPERATION: &'static str = "move_begin";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MoveOpening, Failure> {
        let head = step.source(&self.0).await?;
        let select = query(SUBSCRIPTIONS)
            .bind(head.number)
            .bind(step.now.as_millis())
            .bind(length_code(MOVE_SUBSCRIPTIONS_MAX + 1));
        let rows = step.rows(select).await?;
        check_subscriptions(rows.len())?;
        let subscriptions: Result<Vec<_>, _> =
            rows.iter().map(|row| subscription(row, 0, &self.0, step.now)).collect();
        let start = head.next.min(POSITION_MAX).unsigned_abs();
        Ok(MoveOpening { start, subscriptions: subscriptions? })
    }
}

/// Closes a head of which nothing is left.
#[derive(Debug)]
struct Leave(QueueRef);

/// Whether anything of queue `?1` waits at `?2`: a message between rows `?3` and `?4`, parked or not,
/// or something to be delivered.
const WAITS: &str = "SELECT EXISTS (SELECT 1 FROM messages WHERE id > ?3 AND id < ?4 AND expires > ?2) \
     OR EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.queue = ?1 AND s.expires > ?2 \
       AND (s.confirmed OR NOT s.needs_confirmation) \
       AND (EXISTS (SELECT 1 FROM outbox AS o INDEXED BY outbox_by_queue \
           WHERE o.queue = ?1 AND o.last >= s.cursor) \
         OR EXISTS (SELECT 1 FROM retries AS r \
           WHERE r.queue = ?1 AND r.subscription = s.number)))";

#[async_trait]
impl Task for Leave {
    type Output = bool;
    const OPERATION: &'static str = "move_leave";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<bool, Failure> {
        let head = step.source(&self.0).await?;
        let waits = query(WAITS)
            .bind(head.number)
            .bind(step.now.as_millis())
            .bind(row_id(head.number, head.purged))
            .bind(row_id_end(head.number));
        let row = step.row(waits).await?.ok_or(sqlx::Error::RowNotFound)?;
        if head.is_frozen() || row.try_get(0)? {
            return Ok(false);
        }
        let close = query("UPDATE heads SET state = 2, subscribed = 0, away = 1 WHERE number = ?");
        step.execute(close.bind(head.number)).await?;
        step.heads.forget(&self.0);
        Ok(true)
    }
}

#[async_trait]
impl MoveController for SqliteData {
    async fn move_begin(&self, queue: &QueueRef) -> Result<MoveOpening> {
        self.run(&queue.key.project, Begin(queue.clone())).await
    }

    async fn move_open(&self, queue: &QueueRef, opening: &MoveOpening) -> Result<bool> {
        let task = Open { queue: queue.clone(), opening: opening.clone() };
        self.run(&queue.key.project, task).await
    }

    async fn move_freeze(&self, queue: &QueueRef, limit: PageLimit) -> Result<MovePart> {
        self.run(&queue.key.project, Freeze { queue: queue.clone(), limit }).await
    }

    async fn move_part(&self, queue: &QueueRef) -> Result<MovePart> {
        self.run(&queue.key.project, ReadPart(queue.clone())).await
    }

    async fn move_insert(&self, queue: &QueueRef, part: &MovePart) -> Result<()> {
        let task = InsertPart { queue: queue.clone(), part: part.clone() };
        self.run(&queue.key.project, task).await
    }

    async fn move_remove(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.run(&queue.key.project, Remove { queue: queue.clone(), from }).await
    }

    async fn move_reveal(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.run(&queue.key.project, Reveal { queue: queue.clone(), from }).await
    }

    async fn move_records(
        &self,
        queue: &QueueRef,
        marker: Option<&str>,
        limit: PageLimit,
    ) -> Result<Page<MoveRecord, String>> {
        let place = RecordPlace::of(marker)?;
        let task = ReadRecords { queue: queue.clone(), place, limit };
        self.run(&queue.key.project, task).await
    }

    async fn move_insert_records(&self, queue: &QueueRef, records: &[MoveRecord]) -> Result<()> {
        let task = InsertRecords { queue: queue.clone(), records: records.to_vec() };
        self.run(&queue.key.project, task).await
    }

    async fn move_leave(&self, queue: &QueueRef) -> Result<bool> {
        self.run(&queue.key.project, Leave(queue.clone())).await
    }
}
