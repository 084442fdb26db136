//! Queue heads: the fence of every data operation, locked first by whatever changes them.

use std::sync::Arc;

use async_trait::async_trait;

use zaqar_core::{Error, HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::codes::{incarnation_code, kind_code};
use crate::error::{Failure, damaged};
use crate::layout::{CLOSED, MOVED, NUMBER_MAX, OPEN, POSITION_MAX, check_state, gone};

use super::driver::MyData;
use super::durable::LEAP;
use super::error::failed_without_effect;
use super::row::SqlRow;
use super::server::Server;
use super::sql::{Sql, sql};
use super::step::Step;
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

fn bind_queue(statement: Sql, queue: &QueueRef) -> Sql {
    statement
        .bind(incarnation_code(queue.incarnation))
        .bind(queue.key.project.as_str())
        .bind(kind_code(queue.key.kind))
        .bind(queue.key.name.as_str())
}

/// Finds the number of a queue: a reference that lies about its project finds nothing (G12).
pub(crate) fn select_number(queue: &QueueRef) -> Sql {
    let select = sql("SELECT number FROM heads \
         WHERE incarnation = $1 AND project = $2 AND kind = $3 AND name = $4");
    bind_queue(select, queue)
}

/// Reads what a script compares with: the head's counter and its purge mark.
pub(crate) fn look(number: i64) -> Sql {
    sql("SELECT MAX(next), MAX(purged), MAX(state) INTO @zn, @zp, @zs FROM heads WHERE number = $1")
        .bind(number)
}

/// Reads the state, epoch and purge mark of a head, for [`check_rows`].
pub(crate) fn state(number: i64) -> Sql {
    sql("SELECT state, epoch, purged FROM heads WHERE number = $1").bind(number)
}

/// Refuses a closed or missing head: its state and epoch are the first two columns of every row, and
/// there is a row if there is a head.
pub(crate) fn check_rows(rows: &[SqlRow], queue: &QueueRef) -> Result<(), Failure> {
    check_state_row(rows, queue).map(drop)
}

/// As [`check_rows`]; the first of the rows.
pub(crate) fn check_state_row<'r>(
    rows: &'r [SqlRow],
    queue: &QueueRef,
) -> Result<&'r SqlRow, Failure> {
    let row = rows.first().ok_or_else(|| gone(queue))?;
    check_state(queue, row.try_get(0)?, row.try_get(1)?, false)?;
    Ok(row)
}

macro_rules! select_head {
    ($lock:literal) => {
        concat!(
            "SELECT number, state, epoch, next, subscribed, run <=> @zrun FROM heads \
             WHERE incarnation = $1 AND project = $2 AND kind = $3 AND name = $4",
            $lock
        )
    };
}

/// Reads a head; and whether it was changed under this run of the server. If it was not, its next
/// position is beyond whatever the run before may have shown (see [`super::durable`]).
fn read(row: &SqlRow) -> Result<(Head, bool), sqlx::Error> {
    let same_run: bool = row.try_get(5)?;
    let next: i64 = row.try_get(3)?;
    let head = Head {
        number: row.try_get(0)?,
        state: row.try_get(1)?,
        epoch: row.try_get(2)?,
        next: if same_run { next } else { next.saturating_add(LEAP) },
        subscribed: row.try_get(4)?,
    };
    Ok((head, same_run))
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
        let select = bind_queue(sql(select_head!(" FOR UPDATE")), queue);
        let row = self.row(select).await?.ok_or_else(|| gone(queue))?;
        self.refresh_now();
        let (head, same_run) = read(&row)?;
        if !same_run {
            let leap = sql("UPDATE heads SET next = $2, run = @zrun WHERE number = $1");
            self.later(leap.bind(head.number).bind(head.next))?;
        }
        Ok(head)
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
        // An incarnation is taken once, whoever asks: the row stays behind as a tombstone. Two who
        // ask at once meet at the unique key, and the later one runs again.
        let known = sql("SELECT 1 FROM heads WHERE incarnation = $1");
        if step.row(known.bind(incarnation_code(queue.incarnation))).await?.is_some() {
            let head = step.head_any(queue).await?;
            return if head.state == OPEN { Ok(()) } else { Err(gone(queue).into()) };
        }
        let insert = sql("INSERT INTO heads (incarnation, project, kind, name, run) \
             VALUES ($1, $2, $3, $4, @zrun)");
        step.later(bind_queue(insert, queue))?;
        let number = step.row(sql("SELECT CAST(LAST_INSERT_ID() AS SIGNED)")).await?;
        let number: i64 = number.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
        if number > NUMBER_MAX {
            return Err(Failure::Engine(damaged("queue number (all 2^28 are used)")));
        }
        step.later(sql("INSERT INTO releases (queue) VALUES ($1)").bind(number))?;
        Ok(())
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
            sql("UPDATE heads SET state = $2, subscribed = 0, reclaim = 1 WHERE number = $1")
                .bind(head.number)
                .bind(CLOSED);
        step.later(close)?;
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
        let update = sql("UPDATE heads SET state = 1, epoch = $2 WHERE number = $1")
            .bind(head.number)
            .bind(epoch);
        step.later(update)?;
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
impl QueueHeadController for MyData {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, OpenHead(queue.clone())).await
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.run(queue, CloseHead(queue.clone())).await
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        const OPERATION: &str = "head_get";
        let work = |server: Arc<Server>, queue: QueueRef| async move {
            let select = bind_queue(sql(select_head!("")), &queue);
            let rows = server.read(OPERATION, select).await?;
            let row = rows.first().ok_or_else(|| gone(&queue))?;
            let (head, _) = read(row).map_err(|error| failed_without_effect(OPERATION, error))?;
            head.check_open(&queue, false)?;
            Ok(public_head(&head))
        };
        self.at(OPERATION, queue, work).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.run(queue, MoveHead { queue: queue.clone(), epoch }).await
    }
}
