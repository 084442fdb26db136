//! Queue heads: the fence of every data operation, kept in memory by the writer.
//!
//! The cache is true as long as nobody else writes to the file: the writer compares
//! `PRAGMA data_version` inside each transaction and forgets everything when it moved. A step that
//! is rolled back forgets too. So two processes on one file are safe, only slower.

use std::collections::HashMap;

use async_trait::async_trait;
use zaqar_core::{Error, HeadState, QueueHead, QueueHeadController, QueueRef, Result};

use crate::codes::{incarnation_code, kind_code};
use crate::error::{Failure, damaged};

use super::driver::SqliteData;
use super::statement::query;
use super::step::Step;
use super::tables::{MOVED, NUMBER_MAX, OPEN, POSITION_MAX};
use super::task::Task;

/// Heads that the cache keeps at most; beyond it, it starts afresh.
const HEADS_CACHED_MAX: usize = 100_000;

/// A head as the writer knows it.
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
    /// Positions up to this one were purged.
    pub(crate) purged: i64,
    /// Whether a post writes an outbox entry.
    pub(crate) subscribed: bool,
}

impl Head {
    /// Refuses a head that does not take operations; a moved one only if they are posts.
    pub(crate) fn check_open(&self, queue: &QueueRef, posting: bool) -> Result<()> {
        check_state(queue, self.state, self.epoch, posting)
    }
}

/// Refuses a state that does not take operations.
pub(crate) fn check_state(queue: &QueueRef, state: i64, epoch: i64, posting: bool) -> Result<()> {
    match state {
        OPEN => Ok(()),
        MOVED if !posting => Ok(()),
        MOVED => {
            Err(Error::QueueMoved { name: queue.key.name.clone(), epoch: epoch.unsigned_abs() })
        }
        _ => Err(gone(queue)),
    }
}

/// The refusal of a closed or missing head.
pub(crate) fn gone(queue: &QueueRef) -> Error {
    Error::QueueGone { name: queue.key.name.clone() }
}

/// Heads by queue and incarnation: a reference that lies about its project finds nothing (G12).
#[derive(Debug, Default)]
pub(crate) struct HeadCache {
    heads: HashMap<QueueRef, Head>,
    data_version: i64,
}

impl HeadCache {
    /// Forgets everything: a step was rolled back.
    pub(crate) fn clear(&mut self) {
        self.heads.clear();
    }

    /// Forgets everything if another process wrote since the last step.
    pub(crate) fn follow(&mut self, data_version: i64) {
        if self.data_version != data_version {
            self.data_version = data_version;
            self.heads.clear();
        }
    }

    /// A head, if it is known.
    pub(crate) fn get(&self, queue: &QueueRef) -> Option<Head> {
        self.heads.get(queue).copied()
    }

    /// Forgets one head: it was changed in the store.
    pub(crate) fn forget(&mut self, queue: &QueueRef) {
        self.heads.remove(queue);
    }

    /// Keeps a changed head.
    pub(crate) fn put(&mut self, queue: &QueueRef, head: Head) {
        match self.heads.get_mut(queue) {
            Some(known) => *known = head,
            None => {
                self.heads.insert(queue.clone(), head);
            }
        }
    }
}

const SELECT_HEAD: &str = "SELECT number, state, epoch, next, purged, subscribed FROM heads \
     WHERE incarnation = ? AND project = ? AND kind = ? AND name = ?";

impl Step<'_> {
    /// The head of a queue, open or moved; `QueueGone` if it is closed or missing.
    pub(crate) async fn head(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        let head = self.head_any(queue).await?;
        head.check_open(queue, false)?;
        Ok(head)
    }

    /// The head of a queue in whatever state; `QueueGone` if it is missing.
    pub(crate) async fn head_any(&mut self, queue: &QueueRef) -> Result<Head, Failure> {
        if let Some(head) = self.heads.get(queue) {
            return Ok(head);
        }
        let statement = query(SELECT_HEAD)
            .bind(incarnation_code(queue.incarnation))
            .bind(queue.key.project.to_string())
            .bind(kind_code(queue.key.kind))
            .bind(queue.key.name.to_string());
        let row = self.row(statement).await?.ok_or_else(|| gone(queue))?;
        let head = Head {
            number: row.try_get(0)?,
            state: row.try_get(1)?,
            epoch: row.try_get(2)?,
            next: row.try_get(3)?,
            purged: row.try_get(4)?,
            subscribed: row.try_get::<i64>(5)? != 0,
        };
        if self.heads.heads.len() >= HEADS_CACHED_MAX {
            self.heads.clear();
        }
        self.heads.put(queue, head);
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
        // An incarnation is taken once, whoever asks: the row stays behind as a tombstone.
        let insert = query(
            "INSERT INTO heads (incarnation, project, kind, name, state) VALUES (?, ?, ?, ?, 0) \
             ON CONFLICT (incarnation) DO NOTHING RETURNING number",
        )
        .bind(incarnation_code(queue.incarnation))
        .bind(queue.key.project.to_string())
        .bind(kind_code(queue.key.kind))
        .bind(queue.key.name.to_string());
        if let Some(row) = step.row(insert).await? {
            if row.try_get::<i64>(0)? > NUMBER_MAX {
                return Err(Failure::Engine(damaged("queue number (all 2^28 are used)")));
            }
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
            query("UPDATE heads SET state = 2, subscribed = 0 WHERE number = ?").bind(head.number);
        step.execute(close).await?;
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
        let mut head = step.head(&self.queue).await?;
        let epoch = i64::try_from(self.epoch)
            .map_err(|_| Error::Invalid { field: "epoch", reason: "is out of range".into() })?;
        if head.state == MOVED && epoch < head.epoch {
            head.check_open(&self.queue, true)?;
        }
        let update = query("UPDATE heads SET state = 1, epoch = ? WHERE number = ?")
            .bind(epoch)
            .bind(head.number);
        step.execute(update).await?;
        head.state = MOVED;
        head.epoch = epoch;
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
    QueueHead { state, sequence_next, subscribed: head.subscribed, frozen: false }
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
