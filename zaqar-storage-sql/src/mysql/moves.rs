//! Purging a queue, and taking in messages that come from another.

use async_trait::async_trait;
use zaqar_core::{Created, MessageMarker, MovedMessage, QueueRef};

use crate::error::{Failure, damaged};
use crate::layout::{CLAIMABLE, POSITION_MAX, message_id, positions_used_up, row_id, ttl_code};

use super::inserts::{Bound, insert};
use super::sql::sql;
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
        let update = sql("UPDATE heads SET purged = next - 1, reclaim = 1 WHERE number = $1");
        step.later(update.bind(head.number))?;
        // Dead letters on their way were purged with their source.
        let drop = sql("DELETE FROM transfers WHERE queue = $1").bind(head.number);
        step.later(drop)?;
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

const TABLE: &str = "messages \
     (id, queue, avail, expires, ttl, posted, claims, origin, checksum, body)";

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
        let known = sql("SELECT id FROM arrivals WHERE queue = $1 AND origin = $2")
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
        let stored = [
            Bound::Int(row),
            Bound::Int(head.number),
            Bound::Int(CLAIMABLE),
            Bound::Int(step.now.after(message.ttl).as_millis()),
            Bound::Int(ttl_code(message.ttl)),
            Bound::Int(message.posted_at.as_millis()),
            Bound::Int(i64::from(message.claim_count)),
            Bound::text(&origin),
            Bound::opt(message.checksum.as_deref()),
            Bound::text(message.body.as_str()),
        ];
        insert(step, TABLE, &[stored], usize::MAX).await?;
        let arrive = sql("INSERT INTO arrivals (queue, id, origin) VALUES ($1, $2, $3)");
        step.later(arrive.bind(head.number).bind(row).bind(&origin))?;
        let advance = sql("UPDATE heads SET next = next + 1 WHERE number = $1");
        step.later(advance.bind(head.number))?;
        Ok(Created::New(place(row)?))
    }
}
