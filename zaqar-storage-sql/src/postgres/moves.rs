//! Purging a queue, and taking in messages that come from another.

use async_trait::async_trait;
use sqlx::Row;
use zaqar_core::{Created, MessageMarker, MovedMessage, QueueRef};

use crate::error::{Failure, damaged};
use crate::layout::{POSITION_MAX, message_id, positions_used_up, row_id, ttl_code};

use super::step::Step;
use super::task::Task;

/// Hides everything posted so far behind a mark; `gc` removes it.
#[derive(Debug)]
pub(crate) struct Purge(QueueRef);

impl Purge {
    pub(crate) fn of(queue: &QueueRef) -> Self {
        Self(queue.clone())
    }
}

#[async_trait]
impl Task for Purge {
    type Output = ();
    const OPERATION: &'static str = "message_purge";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head(&self.0).await?;
        let update = sqlx::query("UPDATE heads SET purged = next - 1 WHERE number = $1");
        step.execute(update.bind(head.number)).await?;
        // Dead letters on their way were purged with their source.
        let drop = sqlx::query("DELETE FROM transfers WHERE queue = $1").bind(head.number);
        step.execute(drop).await?;
        Ok(())
    }
}

/// Stores a message that comes from another queue, once (G10).
#[derive(Debug)]
pub(crate) struct InsertMoved {
    queue: QueueRef,
    message: MovedMessage,
}

impl InsertMoved {
    pub(crate) fn of(queue: &QueueRef, message: MovedMessage) -> Self {
        Self { queue: queue.clone(), message }
    }
}

const INSERT: &str = "WITH a AS (INSERT INTO arrivals (queue, id, origin) VALUES ($1, $2, $3)), \
     b AS (INSERT INTO bodies (id, body, checksum) VALUES ($2, $4, $5)), \
     h AS (UPDATE heads SET next = next + 1 WHERE number = $1) \
     INSERT INTO messages (id, queue, avail, expires, ttl, posted, claims, origin) \
     VALUES ($2, $1, 0, $6, $7, $8, $9, $3)";

#[async_trait]
impl Task for InsertMoved {
    type Output = Created<MessageMarker>;
    const OPERATION: &'static str = "message_insert_moved";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure> {
        let head = step.head(&self.queue).await?;
        let place = |row| {
            message_id(self.queue.incarnation, row)
                .map(MessageMarker::from)
                .map_err(|_| Failure::Engine(damaged("message id")))
        };
        let origin = self.message.id.to_string();
        let known = sqlx::query("SELECT id FROM arrivals WHERE queue = $1 AND origin = $2")
            .bind(head.number)
            .bind(&origin);
        if let Some(row) = step.row(known).await? {
            return Ok(Created::Existing(place(row.try_get(0)?)?));
        }
        head.check_open(&self.queue, true)?;
        if head.next >= POSITION_MAX {
            return Err(positions_used_up().into());
        }
        let row = row_id(head.number, head.next);
        let message = &self.message;
        let insert = sqlx::query(INSERT)
            .bind(head.number)
            .bind(row)
            .bind(origin)
            .bind(message.body.as_str())
            .bind(message.checksum.as_deref())
            .bind(step.now.after(message.ttl).as_millis())
            .bind(ttl_code(message.ttl))
            .bind(message.posted_at.as_millis())
            .bind(i64::from(message.claim_count));
        step.execute(insert).await?;
        Ok(Created::New(place(row)?))
    }
}
