//! Purging a queue, and taking in messages that come from another.

use std::collections::HashMap;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{
    Created, DeadLetterOrigin, MessageId, MessageMarker, MovedMessage, QueueRef, Result as Told,
};

use crate::error::{Failure, damaged};
use crate::layout::{POSITION_MAX, message_id, positions_used_up, row_id, ttl_code};
use crate::origins::{OriginColumns, origin_of};

use super::heads::check_rows;
use super::server::Server;
use super::step::Step;
use super::task::Task;
use super::told::Told as _;

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

const INSERT: &str = "WITH a AS (INSERT INTO arrivals \
       (queue, id, origin, source, claims, last_claim, arrived) \
       VALUES ($1, $2, $3, $10, $9, $11, $12)), \
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
        let from = OriginColumns::of(Some(&DeadLetterOrigin::of(message, step.now)));
        let insert = sqlx::query(INSERT)
            .bind(head.number)
            .bind(row)
            .bind(origin)
            .bind(message.body.as_str())
            .bind(message.checksum.as_deref())
            .bind(step.now.after(message.ttl).as_millis())
            .bind(ttl_code(message.ttl))
            .bind(message.posted_at.as_millis())
            .bind(i64::from(message.claim_count))
            .bind(from.source)
            .bind(from.last_claim)
            .bind(from.arrived);
        step.execute(insert).await?;
        Ok(Created::New(place(row)?))
    }
}

const ORIGINS: &str = "SELECT h.state, h.epoch, a.origin, a.source, a.claims, a.last_claim, a.arrived \
     FROM heads AS h LEFT JOIN arrivals AS a ON a.queue = h.number AND a.origin = ANY ($2) \
     WHERE h.number = $1";

/// Where messages came from, in the order asked.
pub(super) async fn origins(
    server: &Server,
    queue: &QueueRef,
    ids: &[MessageId],
) -> Told<Vec<Option<DeadLetterOrigin>>> {
    const OPERATION: &str = "message_origins";
    let number = server.number(OPERATION, queue).await?;
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let select = sqlx::query(ORIGINS).bind(number).bind(names);
    let rows = server.read(OPERATION, select).await?;
    check_rows(&rows, queue).told(OPERATION)?;
    let read = |row: &PgRow| {
        let name = row.try_get::<Option<String>, _>(2)?.unwrap_or_default();
        Ok::<_, sqlx::Error>((name, origin_of!(row, 3)?))
    };
    let told: Result<HashMap<String, Option<DeadLetterOrigin>>, sqlx::Error> =
        rows.iter().map(read).collect();
    let told = told.told(OPERATION)?;
    Ok(ids.iter().map(|id| told.get(&id.to_string()).cloned().flatten()).collect())
}
