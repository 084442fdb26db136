//! Purging a queue, and taking in messages that come from another.

use std::collections::HashMap;

use async_trait::async_trait;
use zaqar_core::{
    Created, DeadLetterOrigin, MessageId, MessageMarker, MovedMessage, QueueRef, Result as Told,
};

use crate::error::{Failure, damaged};
use crate::layout::{POSITION_MAX, message_id, row_id, ttl_code};
use crate::origins::{OriginColumns, origin_of};

use super::reader::{Reader, check_head, failed};
use super::statement::{Row, query};
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
        let mut head = step.head(&self.0).await?;
        head.purged = head.next - 1;
        let update = query("UPDATE heads SET purged = next - 1, gone = 0 WHERE number = ?");
        step.execute(update.bind(head.number)).await?;
        // Dead letters on their way were purged with their source.
        let drop = query("DELETE FROM transfers WHERE queue = ?").bind(head.number);
        step.execute(drop).await?;
        step.heads.put(&self.0, head);
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

#[async_trait]
impl Task for InsertMoved {
    type Output = Created<MessageMarker>;
    const OPERATION: &'static str = "message_insert_moved";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure> {
        let mut head = step.head(&self.queue).await?;
        let place = |row| {
            message_id(self.queue.incarnation, row)
                .map(MessageMarker::from)
                .map_err(|_| Failure::Engine(damaged("message id")))
        };
        let origin = self.message.id.to_string();
        let known = query("SELECT id FROM arrivals WHERE queue = ? AND origin = ?")
            .bind(head.number)
            .bind(origin.clone());
        if let Some(row) = step.row(known).await? {
            return Ok(Created::Existing(place(row.try_get(0)?)?));
        }
        head.check_open(&self.queue, true)?;
        let row = row_id(head.number, head.next);
        head.next += 1;
        if head.next > POSITION_MAX {
            return Err(Failure::Engine(damaged("position (all 2^35 are used)")));
        }
        self.insert(step, row, head.number, origin).await?;
        let update = query("UPDATE heads SET next = ? WHERE number = ?");
        step.execute(update.bind(head.next).bind(head.number)).await?;
        step.heads.put(&self.queue, head);
        Ok(Created::New(place(row)?))
    }
}

impl InsertMoved {
    async fn insert(
        &self,
        step: &mut Step<'_>,
        row: i64,
        number: i64,
        origin: String,
    ) -> Result<(), sqlx::Error> {
        let message = &self.message;
        let from = OriginColumns::of(Some(&DeadLetterOrigin::of(message, step.now)));
        let insert = query(
            "INSERT INTO arrivals (queue, origin, id, source, claims, last_claim, arrived) \
             VALUES (?, ?, ?, ?, ?, ?, ?); \
             INSERT INTO bodies (id, body, checksum) VALUES (?, ?, ?); \
             INSERT INTO messages (id, queue, avail, expires, ttl, posted, claims, origin) \
             VALUES (?, ?, 0, ?, ?, ?, ?, ?)",
        )
        .bind(number)
        .bind(origin.clone())
        .bind(row)
        .bind(from.source)
        .bind(from.claims)
        .bind(from.last_claim)
        .bind(from.arrived)
        .bind(row)
        .bind(message.body.shared())
        .bind(message.checksum.clone())
        .bind(row)
        .bind(number)
        .bind(step.now.after(message.ttl).as_millis())
        .bind(ttl_code(message.ttl))
        .bind(message.posted_at.as_millis())
        .bind(i64::from(message.claim_count))
        .bind(origin);
        step.execute(insert).await?;
        Ok(())
    }
}

const ORIGINS: &str = concat!(
    "SELECT 0, a.origin, a.source, a.claims, a.last_claim, a.arrived FROM json_each(?) AS j \
     CROSS JOIN arrivals AS a ON a.queue = ? AND a.origin = j.value",
    check_head!()
);

/// Where messages came from, in the order asked.
pub(super) async fn origins(
    reader: &Reader,
    queue: &QueueRef,
    ids: &[MessageId],
) -> Told<Vec<Option<DeadLetterOrigin>>> {
    const OPERATION: &str = "message_origins";
    let number = reader.number(OPERATION, queue).await?;
    let names: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let list = format!("[{}]", names.join(","));
    let select = query(ORIGINS).bind(list).bind(number).bind(number);
    let rows = reader.rows_of_queue(OPERATION, queue, select).await?;
    let read = |row: &Row| Ok((row.try_get::<String>(1)?, origin_of!(row, 2)?));
    let told: Result<HashMap<String, Option<DeadLetterOrigin>>, sqlx::Error> =
        rows.iter().map(read).collect();
    let told = told.map_err(|error| failed(OPERATION, error))?;
    Ok(ids.iter().map(|id| told.get(&id.to_string()).cloned().flatten()).collect())
}
