//! Purging a queue, and taking in messages that come from another.

use std::collections::HashMap;

use async_trait::async_trait;
use zaqar_core::{
    Created, DeadLetterOrigin, MessageId, MessageMarker, MovedMessage, QueueRef, Result as Told,
};

use crate::error::{Failure, damaged};
use crate::layout::{CLAIMABLE, POSITION_MAX, message_id, positions_used_up, row_id, ttl_code};
use crate::origins::{OriginColumns, origin_of};

use super::heads::{check_rows, state};
use super::inserts::{Bound, insert};
use super::moving_arrivals::arrive;
use super::row::SqlRow;
use super::server::Server;
use super::sql::sql;
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
        let from = OriginColumns::of(Some(&DeadLetterOrigin::of(message, step.now)));
        arrive(step, head.number, &origin, row, &from)?;
        let advance = sql("UPDATE heads SET next = next + 1 WHERE number = $1");
        step.later(advance.bind(head.number))?;
        Ok(Created::New(place(row)?))
    }
}

const ORIGINS: &str = "SELECT origin, source, claims, last_claim, arrived FROM arrivals \
     WHERE queue = $1 AND origin IN ($2)";

/// Where messages came from, in the order asked.
pub(super) async fn origins(
    server: &Server,
    queue: &QueueRef,
    ids: &[MessageId],
) -> Told<Vec<Option<DeadLetterOrigin>>> {
    const OPERATION: &str = "message_origins";
    let number = server.number(OPERATION, queue).await?;
    let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let script = vec![sql(ORIGINS).bind(number).bind(names), state(number)];
    let answers = server.read_snapshot(OPERATION, script).await?;
    check_rows(answers.rows(1), queue).told(OPERATION)?;
    let read = |row: &SqlRow| Ok::<_, sqlx::Error>((row.try_get(0)?, origin_of!(row, 1)?));
    let told: Result<HashMap<String, Option<DeadLetterOrigin>>, sqlx::Error> =
        answers.rows(0).iter().map(read).collect();
    let told = told.told(OPERATION)?;
    Ok(ids.iter().map(|id| told.get(&id.to_string()).cloned().flatten()).collect())
}
