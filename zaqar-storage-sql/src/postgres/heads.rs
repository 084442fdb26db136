//! Queue heads: the fence of every data operation, locked first by whatever changes them.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::codes::{incarnation_code, kind_code};
use crate::error::{Failure, damaged};
use crate::layout::{
    CLOSED, MOVED, NUMBER_MAX, OPEN, POSITION_MAX, check_state, epoch_code, gone, moved, moving,
};

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
    /// Epoch of the latest move from here or to here; 0: there was none.
    pub(crate) epoch: i64,
    /// The position that the next message gets.
    pub(crate) next: i64,
    /// Whether a post writes an outbox entry.
    pub(crate) subscribed: bool,
    /// The positions that are on their way, from and to.
    pub(crate) frozen: (i64, i64),
    /// Positions up to this one were purged.
    pub(crate) purged: i64,
    /// Whether it was closed by a move.
    pub(crate) away: bool,
}

impl Head {
    /// Refuses a head that does not take operations, or not of this caller; a moved one takes
    /// nothing new.
    pub(crate) fn check_open(&self, queue: &QueueRef, news: bool) -> Result<()> {
        check_state(queue, self.state, self.epoch, news)
    }

    /// Whether a part of the queue is on its way.
    pub(crate) fn is_frozen(&self) -> bool {
        self.frozen.0 < self.frozen.1
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

/// As [`check_rows`]; the third column says whether something is on its way that was to be changed.
pub(crate) fn check_still(rows: &[PgRow], queue: &QueueRef) -> Result<(), Failure> {
    check_rows(rows, queue)?;
    let still = rows.first().map_or(Ok(false), |row| row.try_get(2))?;
    if still { Err(moving(queue).into()) } else { Ok(()) }
}

/// The head of queue `$1` as a statement sees that decides by itself: whether it `takes` operations
/// of a caller that knows of the move `$epoch`, and the rows where what is on its way begins and
/// ends.
macro_rules! fence_head {
    ($epoch:literal) => {
        concat!(
            "head AS MATERIALIZED (SELECT state, epoch, state < 2 AND epoch <= ",
            $epoch,
            " AS takes, (number << 35) | purged AS base, \
               (number << 35) | frozen_from AS frozen_from, (number << 35) | frozen_to AS frozen_to \
             FROM heads WHERE number = $1)"
        )
    };
}
pub(crate) use fence_head;

/// Whether message `m` is on its way: by the head, or by its own row if it was frozen after this
/// statement's snapshot (see [`super::moving_parts`]). A parked one stays here.
macro_rules! is_still {
    () => {
        "(m.avail <> -2 AND (m.frozen IS NOT NULL \
           OR (m.id >= (SELECT h.frozen_from FROM head AS h) \
             AND m.id < (SELECT h.frozen_to FROM head AS h))))"
    };
}
pub(crate) use is_still;

macro_rules! select_head {
    ($lock:literal) => {
        concat!(
            "SELECT number, state, epoch, next, subscribed, frozen_from, frozen_to, purged, away \
             FROM heads WHERE incarnation = $1 AND project = $2 AND kind = $3 AND name = $4",
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
        frozen: (row.try_get(5)?, row.try_get(6)?),
        purged: row.try_get(7)?,
        away: row.try_get(8)?,
    })
}

impl Step<'_> {
    /// Locks the head of a queue, open or moved; `QueueGone` if it is closed or missing.
    pub(crate) async fn head(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let head = self.head_any(queue).await?;
        head.check_open(queue, false)?;
        Ok(head)
    }

    /// As [`Self::head`], for something new.
    pub(crate) async fn head_for_news(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let head = self.head_any(queue).await?;
        head.check_open(queue, true)?;
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

/// Makes a head, its positions starting at `start`; `None`: there is, or was, one of the incarnation.
pub(crate) async fn make_head(
    step: &mut Step<'_>,
    queue: &QueueRef,
    epoch: i64,
    start: i64,
) -> Result<Option<i64>, Failure> {
    // An incarnation is taken once, whoever asks: the row stays behind as a tombstone. The look
    // before the insert keeps a repeat from using up a number.
    let insert = sqlx::query(
        "INSERT INTO heads (incarnation, project, kind, name, epoch, next, frozen_from, frozen_to) \
         SELECT $1, $2, $3, $4, $5, $6, $6, $6 \
         WHERE NOT EXISTS (SELECT 1 FROM heads WHERE incarnation = $1) \
         ON CONFLICT (incarnation) DO NOTHING RETURNING number",
    );
    let insert = bind_queue(insert, queue).bind(epoch).bind(start);
    let Some(row) = step.row(insert).await? else { return Ok(None) };
    step.refresh_now();
    let number: i64 = row.try_get(0)?;
    if number > NUMBER_MAX {
        return Err(Failure::Engine(damaged("queue number (all 2^28 are used)")));
    }
    let insert = sqlx::query("INSERT INTO releases (queue) VALUES ($1)").bind(number);
    step.execute(insert).await?;
    Ok(Some(number))
}

#[derive(Debug)]
struct OpenHead(QueueRef);

#[async_trait]
impl Task for OpenHead {
    type Output = ();
    const OPERATION: &'static str = "head_open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let queue = &self.0;
        if make_head(step, queue, 0, 1).await?.is_some() {
            return Ok(());
        }
        // A head that was left is reopened by a move alone.
        step.head(queue).await.map(drop)
    }
}

#[derive(Debug)]
struct CloseHead(QueueRef);

const CLOSE: &str = "UPDATE heads SET state = 2, subscribed = false WHERE number = $1";
/// No move brings back what was closed after it had left.
const STAY_AWAY: &str = "UPDATE heads SET away = false WHERE number = $1";

#[async_trait]
impl Task for CloseHead {
    type Output = ();
    const OPERATION: &'static str = "head_close";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        // Whoever closes it need not know where it is.
        let (close, head) = match step.head_any(&self.0).await {
            Ok(head) if head.state < CLOSED => (CLOSE, head),
            Ok(head) if head.away => (STAY_AWAY, head),
            Ok(_) | Err(Failure::Refused(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        step.execute(sqlx::query(close).bind(head.number)).await?;
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
        let mut head = step.head_any(&self.queue).await?;
        let epoch = epoch_code(self.epoch)?;
        if head.state >= CLOSED {
            return Err(gone(&self.queue).into());
        }
        if epoch < head.epoch {
            return Err(moved(&self.queue, head.epoch).into());
        }
        if head.state == OPEN {
            head.frozen = (head.next, head.next);
        }
        (head.state, head.epoch) = (MOVED, epoch);
        let update = sqlx::query(
            "UPDATE heads SET state = 1, epoch = $2, frozen_from = $3, frozen_to = $4 \
             WHERE number = $1",
        )
        .bind(head.number)
        .bind(epoch)
        .bind(head.frozen.0)
        .bind(head.frozen.1);
        step.execute(update).await?;
        Ok(public_head(&head))
    }
}

fn public_head(head: &Head) -> QueueHead {
    let state = match head.state {
        MOVED => HeadState::Moved { epoch: head.epoch.unsigned_abs() },
        _ => HeadState::Open,
    };
    let sequence_next = head.next.min(POSITION_MAX).unsigned_abs();
    QueueHead { state, sequence_next, subscribed: head.subscribed, frozen: head.is_frozen() }
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
