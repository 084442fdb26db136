//! Queue heads: the fence of every data operation, locked first by whatever changes them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{Error, HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::codes::{incarnation_code, kind_code};
use crate::error::{Failure, damaged};
use crate::layout::{CLOSED, MOVED, NUMBER_MAX, OPEN, POSITION_MAX, check_state, gone};

use super::driver::PgData;
use super::error::failed_without_effect;
use super::server::Server;
use super::step::{Statement, Step};
use super::task::Task;

/// A head as a step sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    /// The local number: the high bits of the queue's row ids.
    pub(crate) number: i64,
    /// `OPEN`, `MOVED`, or a closed state.
    pub(crate) state: i64,
    /// Epoch of the move, if moved.
    pub(crate) epoch: i64,
    /// The position that the next message gets.
    pub(crate) next: i64,
    /// Whether a post writes an outbox entry.
    pub(crate) subscribed: bool,
}

impl Head {
    /// Refuses a head that does not take operations; a moved one only if they are posts.
    pub(crate) fn check_open(&self, queue: &QueueRef, posting: bool) -> Result<()> {
        check_state(queue, self.state, self.epoch, posting)
    }
}

fn bind_queue(statement: Statement, queue: &QueueRef) -> Statement {
    statement
        .bind(incarnation_code(queue.incarnation))
        .bind(queue.key.project.as_str())
        .bind(kind_code(queue.key.kind))
        .bind(queue.key.name.as_str())
}

/// Finds the number of a queue: a reference that lies about its project finds nothing (G12).
pub(crate) fn select_number(queue: &QueueRef) -> Statement {
    let select = sqlx::query(
        "SELECT number FROM heads \
         WHERE incarnation = $1 AND project = $2 AND kind = $3 AND name = $4",
    );
    bind_queue(select, queue)
}

/// Refuses a closed or missing head, as the statement itself saw it: its state and epoch are the
/// first two columns of every row, and there is a row if there is a head.
pub(crate) fn check_rows(rows: &[PgRow], queue: &QueueRef) -> Result<(), Failure> {
    let row = rows.first().ok_or_else(|| gone(queue))?;
    Ok(check_state(queue, row.try_get(0)?, row.try_get(1)?, false)?)
}

macro_rules! select_head {
    ($lock:literal) => {
        concat!(
            "SELECT number, state, epoch, next, subscribed FROM heads \
             WHERE incarnation = $1 AND project = $2 AND kind = $3 AND name = $4",
            $lock
        )
    };
}

fn read(row: &PgRow) -> Result<Head, sqlx::Error> {
    Ok(Head {
        number: row.try_get(0)?,
        state: row.try_get(1)?,
        epoch: row.try_get(2)?,
        next: row.try_get(3)?,
        subscribed: row.try_get(4)?,
    })
}

impl Step<'_> {
    /// Locks the head of a queue, open or moved; `QueueGone` if it is closed or missing.
    pub(crate) async fn head(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let head = self.head_any(queue).await?;
        head.check_open(queue, false)?;
        Ok(head)
    }

    /// Locks the head of a queue in whatever state; `QueueGone` if it is missing.
    pub(crate) async fn head_any(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let select = bind_queue(sqlx::query(select_head!(" FOR NO KEY UPDATE")), queue);
        let row = self.row(select).await?.ok_or_else(|| gone(queue))?;
        self.refresh_now();
        Ok(read(&row)?)
    }
}

#[derive(Debug)]
struct OpenHead(QueueRef);

#[async_trait]
impl Task for OpenHead {
    type Output = ();
    const OPERATION: &'static str = "head_open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let queue = &self.0;
        // An incarnation is taken once, whoever asks: the row stays behind as a tombstone. The look
        // before the insert keeps a repeat from using up a number.
        let insert = sqlx::query(
            "INSERT INTO heads (incarnation, project, kind, name) SELECT $1, $2, $3, $4 \
             WHERE NOT EXISTS (SELECT 1 FROM heads WHERE incarnation = $1) \
             ON CONFLICT (incarnation) DO NOTHING RETURNING number",
        );
        if let Some(row) = step.row(bind_queue(insert, queue)).await? {
            let number: i64 = row.try_get(0)?;
            if number > NUMBER_MAX {
                return Err(Failure::Engine(damaged("queue number (all 2^28 are used)")));
            }
            let insert = sqlx::query("INSERT INTO releases (queue) VALUES ($1)").bind(number);
            step.execute(insert).await?;
            return Ok(());
        }
        let head = step.head_any(queue).await?;
        if head.state == OPEN { Ok(()) } else { Err(gone(queue).into()) }
    }
}

#[derive(Debug)]
struct CloseHead(QueueRef);

#[async_trait]
impl Task for CloseHead {
    type Output = ();
    const OPERATION: &'static str = "head_close";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = match step.head(&self.0).await {
            Ok(head) => head,
            Err(Failure::Refused(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let close =
            sqlx::query("UPDATE heads SET state = $2, subscribed = false WHERE number = $1")
                .bind(head.number)
                .bind(CLOSED);
        step.execute(close).await?;
        Ok(())
    }
}

#[derive(Debug)]
struct MoveHead {
    queue: QueueRef,
    epoch: u64,
}

#[async_trait]
impl Task for MoveHead {
    type Output = QueueHead;
    const OPERATION: &'static str = "head_move";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<QueueHead, Failure> {
        let mut head = step.head(&self.queue).await?;
        let epoch = i64::try_from(self.epoch)
            .map_err(|_| Error::Invalid { field: "epoch", reason: "is out of range".into() })?;
        if head.state == MOVED && epoch < head.epoch {
            head.check_open(&self.queue, true)?;
        }
        let update = sqlx::query("UPDATE heads SET state = 1, epoch = $2 WHERE number = $1")
            .bind(head.number)
            .bind(epoch);
        step.execute(update).await?;
        head.state = MOVED;
        head.epoch = epoch;
        Ok(public_head(&head))
    }
}

fn public_head(head: &Head) -> QueueHead {
    let state = match head.state {
        MOVED => HeadState::Moved { epoch: head.epoch.unsigned_abs() },
        _ => HeadState::Open,
    };
    let sequence_next = head.next.min(POSITION_MAX).unsigned_abs();
    QueueHead { state, sequence_next, subscribed: head.subscribed, frozen: false }
}

#[async_trait]
impl QueueHeadController for PgData {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, OpenHead(queue.clone())).await
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, CloseHead(queue.clone())).await
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        const OPERATION: &str = "head_get";
        let work = |server: Arc<Server>, queue: QueueRef| async move {
            let select = bind_queue(sqlx::query(select_head!("")), &queue);
            let rows = server.read(OPERATION, select).await?;
            let row = rows.first().ok_or_else(|| gone(&queue))?;
            let head = read(row).map_err(|error| failed_without_effect(OPERATION, error))?;
            head.check_open(&queue, false)?;
            Ok(public_head(&head))
        };
        self.at(OPERATION, queue, work).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.run(queue, MoveHead { queue: queue.clone(), epoch }).await
    }
}
