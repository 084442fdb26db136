//! Queue heads: the fence of every data operation. The writer keeps them in memory
//! ([`super::head_cache`]).

use std::ops::Range;

use async_trait::async_trait;
use zaqar_core::{HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::codes::{incarnation_code, kind_code};
use crate::error::{Failure, damaged};
use crate::layout::{
    CLOSED, MOVED, NUMBER_MAX, OPEN, POSITION_MAX, check_state, epoch_code, gone, moved, row_id,
    row_id_end,
};

use super::driver::SqliteData;
use super::statement::{Statement, query};
use super::step::Step;
use super::task::Task;

/// A head as the writer knows it.
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
    /// Positions up to this one were purged.
    pub(crate) purged: i64,
    /// Whether a post writes an outbox entry.
    pub(crate) subscribed: bool,
    /// The positions that are on their way, from and to.
    pub(crate) frozen: (i64, i64),
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

    /// The rows that are on their way, which nobody changes.
    pub(crate) fn still(&self) -> Range<i64> {
        row_id(self.number, self.frozen.0)..row_id(self.number, self.frozen.1)
    }

    /// The row before which claims and pops stop: what is on its way is next, and nothing overtakes
    /// it.
    pub(crate) fn takeable_end(&self) -> i64 {
        if self.is_frozen() { self.still().start } else { row_id_end(self.number) }
    }
}

const SELECT_HEAD: &str = "SELECT number, state, epoch, next, purged, subscribed, frozen_from, \
     frozen_to, away FROM heads WHERE incarnation = ? AND project = ? AND kind = ? AND name = ?";

fn bind_queue(statement: Statement, queue: &QueueRef) -> Statement {
    statement
        .bind(incarnation_code(queue.incarnation))
        .bind(queue.key.project.to_string())
        .bind(kind_code(queue.key.kind))
        .bind(queue.key.name.to_string())
}

impl Step<'_> {
    /// The head of a queue, open or moved; `QueueGone` if it is closed or missing.
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

    /// The head of a queue in whatever state; `QueueGone` if it is missing.
    pub(crate) async fn head_any(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        if let Some(head) = self.heads.get(queue) {
            return Ok(head);
        }
        let row = self.row(bind_queue(query(SELECT_HEAD), queue)).await?;
        let row = row.ok_or_else(|| gone(queue))?;
        let head = Head {
            number: row.try_get(0)?,
            state: row.try_get(1)?,
            epoch: row.try_get(2)?,
            next: row.try_get(3)?,
            purged: row.try_get(4)?,
            subscribed: row.try_get(5)?,
            frozen: (row.try_get(6)?, row.try_get(7)?),
            away: row.try_get(8)?,
        };
        // `gc` goes on with closed ones, by number.
        if head.state < CLOSED {
            self.heads.put(queue, head);
        }
        Ok(head)
    }
}

/// Makes a head, its positions starting at `start`; `None`: there is, or was, one of the incarnation.
pub(super) async fn make_head(
    step: &mut Step<'_>,
    queue: &QueueRef,
    epoch: i64,
    start: i64,
) -> Result<Option<i64>, Failure> {
    // An incarnation is taken once, whoever asks: the row stays behind as a tombstone.
    let insert = query(
        "INSERT INTO heads (incarnation, project, kind, name, state, epoch, next, gone, \
           frozen_from, frozen_to) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6, ?6 - 1, ?6, ?6) \
         ON CONFLICT (incarnation) DO NOTHING RETURNING number",
    );
    let insert = bind_queue(insert, queue).bind(epoch).bind(start);
    let Some(row) = step.row(insert).await? else { return Ok(None) };
    let number: i64 = row.try_get(0)?;
    if number > NUMBER_MAX {
        return Err(Failure::Engine(damaged("queue number (all 2^28 are used)")));
    }
    Ok(Some(number))
}

#[derive(Debug)]
struct OpenHead(QueueRef);

#[async_trait]
impl Task for OpenHead {
    type Output = ();
    const OPERATION: &'static str = "head_open";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        if make_head(step, &self.0, 0, 1).await?.is_some() {
            return Ok(());
        }
        // A head that was left is opened again by a move alone.
        step.head(&self.0).await.map(drop)
    }
}

#[derive(Debug)]
struct CloseHead(QueueRef);

const CLOSE: &str = "UPDATE heads SET state = 2, subscribed = 0 WHERE number = ?";
/// No move brings back what was closed after it had left.
const STAY_AWAY: &str = "UPDATE heads SET away = 0 WHERE number = ?";

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
        step.execute(query(close).bind(head.number)).await?;
        step.heads.forget(&self.0);
        Ok(())
    }
}

#[derive(Debug)]
struct GetHead(QueueRef);

#[async_trait]
impl Task for GetHead {
    type Output = QueueHead;
    const OPERATION: &'static str = "head_get";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<QueueHead, Failure> {
        Ok(public_head(&step.head(&self.0).await?))
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
        let update = query(
            "UPDATE heads SET state = 1, epoch = ?, frozen_from = ?, frozen_to = ? \
             WHERE number = ?",
        )
        .bind(epoch)
        .bind(head.frozen.0)
        .bind(head.frozen.1)
        .bind(head.number);
        step.execute(update).await?;
        step.heads.put(&self.queue, head);
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
impl QueueHeadController for SqliteData {
    async fn head_open(&self, queue: &QueueRef) -> Result<()> {
        self.run(&queue.key.project, OpenHead(queue.clone())).await
    }

    async fn head_close(&self, queue: &QueueRef) -> Result<()> {
        self.run(&queue.key.project, CloseHead(queue.clone())).await
    }

    async fn head_get(&self, queue: &QueueRef) -> Result<QueueHead> {
        self.run(&queue.key.project, GetHead(queue.clone())).await
    }

    async fn head_move(&self, queue: &QueueRef, epoch: u64) -> Result<QueueHead> {
        self.run(&queue.key.project, MoveHead { queue: queue.clone(), epoch }).await
    }
}
