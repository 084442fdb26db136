//! Queue heads: the fence of every data operation, locked first by whatever changes them.

use std::sync::Arc;

use async_trait::async_trait;

use zaqar_core::{HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::codes::{counter_code, incarnation_code, kind_code};
use crate::error::{Failure, damaged};
use crate::layout::{
    CLOSED, MOVED, NUMBER_MAX, OPEN, POSITION_MAX, check_state, epoch_code, gone, moved, moving,
};

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

/// Reads what a script compares with that changes messages by itself: the purge mark, whether the
/// head takes operations of a caller that knows of its move at `epoch`, and what is on its way.
pub(crate) fn look_to_change(number: i64, queue: &QueueRef) -> Sql {
    sql("SELECT MAX(purged), MAX(state < 2 AND epoch <= $2), MAX(frozen_from), MAX(frozen_to) \
         INTO @zp, @zt, @za, @zb FROM heads WHERE number = $1")
    .bind(number)
    .bind(counter_code(queue.epoch))
}

/// Reads the state, epoch, purge mark and frozen positions of a head, for [`check_rows`].
pub(crate) fn state(number: i64) -> Sql {
    sql("SELECT state, epoch, purged, frozen_from, frozen_to FROM heads WHERE number = $1")
        .bind(number)
}

/// As [`state`]; the last column says whether a script met something that is on its way, and so
/// changed nothing: `@zh`.
pub(crate) fn state_still(number: i64) -> Sql {
    sql("SELECT state, epoch, purged, @zh > 0 FROM heads WHERE number = $1").bind(number)
}

/// As [`check_rows`], of [`state_still`].
pub(crate) fn check_still(rows: &[SqlRow], queue: &QueueRef) -> Result<(), Failure> {
    let row = check_state_row(rows, queue)?;
    if row.try_get(3)? { Err(moving(queue).into()) } else { Ok(()) }
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
            "SELECT number, state, epoch, next, subscribed, run <=> @zrun, \
               frozen_from, frozen_to, purged, away FROM heads \
             WHERE incarnation = $1 AND project = $2 AND kind = $3 AND name = $4",
            $lock
        )
    };
}

/// Reads a head; and whether its next position leaps, for it was not changed under this run of the
/// server: it is beyond whatever the run before may have shown (see [`super::durable`]). A head that
/// moved gives out no more: where it stopped was on the disk when that was told.
fn read(row: &SqlRow) -> Result<(Head, bool), sqlx::Error> {
    let same_run: bool = row.try_get(5)?;
    let (state, next): (i64, i64) = (row.try_get(1)?, row.try_get(3)?);
    let leaps = !same_run && state == OPEN;
    let next = if leaps { next.saturating_add(LEAP) } else { next };
    let frozen = match (row.try_get(6)?, row.try_get(7)?) {
        // Moved by an earlier version: nothing of it is away yet.
        (0, 0) if state == MOVED => (next, next),
        frozen => frozen,
    };
    let head = Head {
        number: row.try_get(0)?,
        state,
        epoch: row.try_get(2)?,
        next,
        subscribed: row.try_get(4)?,
        frozen,
        purged: row.try_get(8)?,
        away: row.try_get(9)?,
    };
    Ok((head, leaps))
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
        let select = bind_queue(sql(select_head!(" FOR UPDATE")), queue);
        let row = self.row(select).await?.ok_or_else(|| gone(queue))?;
        self.refresh_now();
        let (head, leaps) = read(&row)?;
        if leaps {
            let leap = sql("UPDATE heads SET next = $2, run = @zrun WHERE number = $1");
            self.later(leap.bind(head.number).bind(head.next))?;
        }
        Ok(head)
    }
}

/// Makes a head, its positions starting at `start`; `None`: there is, or was, one of the incarnation.
pub(crate) async fn make_head(
    step: &mut Step<'_>,
    queue: &QueueRef,
    epoch: i64,
    start: i64,
) -> Result<Option<i64>, Failure> {
    // An incarnation is taken once, whoever asks: the row stays behind as a tombstone. Two who ask at
    // once meet at the unique key, and the later one runs again.
    let known = sql("SELECT 1 FROM heads WHERE incarnation = $1");
    if step.row(known.bind(incarnation_code(queue.incarnation))).await?.is_some() {
        return Ok(None);
    }
    let insert = sql("INSERT INTO heads \
           (incarnation, project, kind, name, epoch, next, frozen_from, frozen_to, run) \
         VALUES ($1, $2, $3, $4, $5, $6, $6, $6, @zrun)");
    step.later(bind_queue(insert, queue).bind(epoch).bind(start))?;
    let number = step.row(sql("SELECT CAST(LAST_INSERT_ID() AS SIGNED)")).await?;
    let number: i64 = number.ok_or(sqlx::Error::RowNotFound)?.try_get(0)?;
    if number > NUMBER_MAX {
        return Err(Failure::Engine(damaged("queue number (all 2^28 are used)")));
    }
    step.later(sql("INSERT INTO releases (queue) VALUES ($1)").bind(number))?;
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

const CLOSE: &str = "UPDATE heads SET state = 2, subscribed = 0, reclaim = 1 WHERE number = $1";
/// No move brings back what was closed after it had left.
const STAY_AWAY: &str = "UPDATE heads SET away = 0 WHERE number = $1";

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
        step.later(sql(close).bind(head.number))?;
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
        let update =
            sql("UPDATE heads SET state = 1, epoch = $2, frozen_from = $3, frozen_to = $4 \
             WHERE number = $1")
            .bind(head.number)
            .bind(epoch)
            .bind(head.frozen.0)
            .bind(head.frozen.1);
        step.later(update)?;
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
