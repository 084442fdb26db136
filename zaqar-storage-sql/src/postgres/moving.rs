//! Moves of queues out of this store and into it (G17): the controller, and how a move begins and
//! ends here.
//!
//! Each step locks the head first, as whatever changes it. Claims and deletes do not, so freezing
//! needs more than the head: see [`super::moving_parts`].

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use zaqar_core::move_rules::{check_subscriptions, still_open};
use zaqar_core::moves::MOVE_SUBSCRIPTIONS_MAX;
use zaqar_core::{
    MoveController, MoveOpening, MovePart, MoveRecord, Page, PageLimit, QueueRef, Result,
};

use crate::codes::counter_code;
use crate::error::Failure;
use crate::layout::{CLOSED, MOVED, POSITION_MAX, gone, length_code, moved, row_id};

use super::driver::PgData;
use super::heads::Head;
use super::moving_arrivals::InsertPart;
use super::moving_open::Open;
use super::moving_parts::{Freeze, Remove, Reveal, read_part};
use super::moving_records::{InsertRecords, read_records};
use super::server::Server;
use super::step::Step;
use super::subscriptions::{subscription, subscription_columns};
use super::task::Task;

impl Step<'_> {
    /// Locks the head of exactly this move.
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

    /// Locks the head that this move leads away from.
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
    " FROM subscriptions AS s WHERE s.queue = $1 AND s.expires > $2 ORDER BY s.number LIMIT $3"
);

#[async_trait]
impl Task for Begin {
    type Output = MoveOpening;
    const OPERATION: &'static str = "move_begin";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MoveOpening, Failure> {
        let head = step.source(&self.0).await?;
        let select = sqlx::query(SUBSCRIPTIONS)
            .bind(head.number)
            .bind(step.now.as_millis())
            .bind(length_code(MOVE_SUBSCRIPTIONS_MAX + 1));
        let mut subscriptions = Vec::new();
        for row in step.rows(select).await? {
            subscriptions.extend(subscription(&row, 0, &self.0, step.now)?);
        }
        check_subscriptions(subscriptions.len())?;
        Ok(MoveOpening { start: head.next.min(POSITION_MAX).unsigned_abs(), subscriptions })
    }
}

/// Closes a head of which nothing is left.
#[derive(Debug)]
struct Leave(QueueRef);

/// Whether anything of queue `$1` waits at `$2`: a message behind row `$3`, parked or not, or
/// something to be delivered.
const WAITS: &str = "SELECT EXISTS (SELECT 1 FROM messages AS m \
       WHERE m.queue = $1 AND m.expires > 0 AND m.expires > $2 AND m.id > $3) \
     OR EXISTS (SELECT 1 FROM subscriptions AS s WHERE s.queue = $1 AND s.expires > $2 \
       AND (s.confirmed OR NOT s.needs_confirmation) \
       AND (EXISTS (SELECT 1 FROM outbox AS o WHERE o.queue = $1 AND o.last >= s.cursor) \
         OR EXISTS (SELECT 1 FROM retries AS r \
           WHERE r.queue = $1 AND r.subscription = s.number)))";

#[async_trait]
impl Task for Leave {
    type Output = bool;
    const OPERATION: &'static str = "move_leave";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<bool, Failure> {
        let head = step.source(&self.0).await?;
        let waits = sqlx::query(WAITS)
            .bind(head.number)
            .bind(step.now.as_millis())
            .bind(row_id(head.number, head.purged));
        let row = step.row(waits).await?.ok_or(sqlx::Error::RowNotFound)?;
        if head.is_frozen() || row.try_get(0)? {
            return Ok(false);
        }
        let close = sqlx::query(
            "UPDATE heads SET state = $2, subscribed = false, away = true WHERE number = $1",
        );
        step.execute(close.bind(head.number).bind(CLOSED)).await?;
        Ok(true)
    }
}

#[async_trait]
impl MoveController for PgData {
    async fn move_begin(&self, queue: &QueueRef) -> Result<MoveOpening> {
        self.run(queue, Begin(queue.clone())).await
    }

    async fn move_open(&self, queue: &QueueRef, opening: &MoveOpening) -> Result<bool> {
        self.run(queue, Open { queue: queue.clone(), opening: opening.clone() }).await
    }

    async fn move_freeze(&self, queue: &QueueRef, limit: PageLimit) -> Result<MovePart> {
        self.run(queue, Freeze { queue: queue.clone(), limit }).await
    }

    async fn move_part(&self, queue: &QueueRef) -> Result<MovePart> {
        let work =
            move |server: Arc<Server>, queue| async move { read_part(&server, &queue).await };
        self.at("move_part", queue, work).await
    }

    async fn move_insert(&self, queue: &QueueRef, part: &MovePart) -> Result<()> {
        self.run(queue, InsertPart { queue: queue.clone(), part: part.clone() }).await
    }

    async fn move_remove(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.run(queue, Remove { queue: queue.clone(), from }).await
    }

    async fn move_reveal(&self, queue: &QueueRef, from: u64) -> Result<()> {
        self.run(queue, Reveal { queue: queue.clone(), from }).await
    }

    async fn move_records(
        &self,
        queue: &QueueRef,
        marker: Option<&str>,
        limit: PageLimit,
    ) -> Result<Page<MoveRecord, String>> {
        let marker = marker.map(str::to_owned);
        let work = move |server: Arc<Server>, queue| async move {
            read_records(&server, &queue, marker.as_deref(), limit).await
        };
        self.at("move_records", queue, work).await
    }

    async fn move_insert_records(&self, queue: &QueueRef, records: &[MoveRecord]) -> Result<()> {
        self.run(queue, InsertRecords { queue: queue.clone(), records: records.to_vec() }).await
    }

    async fn move_leave(&self, queue: &QueueRef) -> Result<bool> {
        self.run(queue, Leave(queue.clone())).await
    }
}
