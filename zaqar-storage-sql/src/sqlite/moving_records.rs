//! What a queue remembers beside its messages, read in pages where it comes from and written where
//! it goes.

use async_trait::async_trait;
use zaqar_core::move_rules::{RecordKind, RecordPlace, marker_of, run_of};
use zaqar_core::{
    ExhaustedDelivery, IdempotencyKey, MessageId, MoveRecord, Page, PageLimit, QueueRef, Result,
    Timestamp,
};

use crate::codes::counter_code;
use crate::error::{Failure, damaged};
use crate::layout::{POSITION_MAX, length_code, position_of, positions_used_up, posted, row_id};
use crate::origins::{OriginColumns, origin_of};

use super::heads::Head;
use super::outbox::exhausted;
use super::statement::{Row, query};
use super::step::Step;
use super::task::Task;

const KEYS: &str = "SELECT key, digest, first, count, expires FROM post_keys \
     WHERE queue = ? AND key > ? AND expires > ? ORDER BY key LIMIT ?";

const ARRIVALS: &str = "SELECT origin, id, source, claims, last_claim, arrived FROM arrivals \
     WHERE queue = ? AND origin > ? ORDER BY origin LIMIT ?";

const EXHAUSTED: &str = "SELECT 0, number, message, subscriber, attempts, reason, at \
     FROM exhausted WHERE queue = ? AND number > ? ORDER BY number LIMIT ?";

/// Reads a page, of as many kinds as it takes to fill it.
#[derive(Debug)]
pub(super) struct ReadRecords {
    pub(super) queue: QueueRef,
    pub(super) place: RecordPlace,
    pub(super) limit: PageLimit,
}

#[async_trait]
impl Task for ReadRecords {
    type Output = Page<MoveRecord, String>;
    const OPERATION: &'static str = "move_records";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Self::Output, Failure> {
        let head = step.head_of_move(&self.queue).await?;
        let (mut place, mut items) = (self.place.clone(), Vec::new());
        loop {
            let room = length_code(self.limit.as_usize().saturating_sub(items.len()));
            items.extend(self.read(step, &head, &place, room).await?);
            let full = items.len() >= self.limit.as_usize();
            match place.next_kind() {
                Some(next) if !full => place = next,
                _ => return Ok(Page::of(items, marker_of)),
            }
        }
    }
}

impl ReadRecords {
    /// Reads up to `room` records of one kind.
    async fn read(
        &self,
        step: &mut Step<'_>,
        head: &Head,
        place: &RecordPlace,
        room: i64,
    ) -> Result<Vec<MoveRecord>, Failure> {
        let after = place.after.clone();
        let select = match place.kind {
            RecordKind::Key => {
                query(KEYS).bind(head.number).bind(after).bind(step.now.as_millis()).bind(room)
            }
            RecordKind::Arrival => query(ARRIVALS).bind(head.number).bind(after).bind(room),
            RecordKind::Exhausted => {
                query(EXHAUSTED).bind(head.number).bind(place.after_number()).bind(room)
            }
        };
        let rows = step.rows(select).await?;
        rows.iter().map(|row| record(row, place.kind, &self.queue, head)).collect()
    }
}

fn record(
    row: &Row,
    kind: RecordKind,
    queue: &QueueRef,
    head: &Head,
) -> Result<MoveRecord, Failure> {
    match kind {
        RecordKind::Key => {
            let name: &str = row.try_get(0)?;
            let digest: &[u8] = row.try_get(1)?;
            let first = row_id(head.number, row.try_get(2)?);
            let count = usize::try_from(row.try_get::<i64>(3)?).unwrap_or(0);
            Ok(MoveRecord::Key {
                key: IdempotencyKey::new(name).map_err(|_| damaged("idempotency key"))?,
                digest: digest.try_into().map_err(|_| damaged("digest"))?,
                ids: posted(queue, first, count)?.ids,
                until: Timestamp::from_millis(row.try_get(4)?),
            })
        }
        RecordKind::Arrival => {
            let id: MessageId =
                row.try_get::<&str>(0)?.parse().map_err(|_| damaged("message origin"))?;
            let position = position_of(row.try_get(1)?).unsigned_abs();
            Ok(MoveRecord::Arrival { id, position, origin: origin_of!(row, 2)? })
        }
        RecordKind::Exhausted => Ok(MoveRecord::Exhausted(exhausted(row)?)),
    }
}

/// Remembers what another store did.
#[derive(Debug)]
pub(super) struct InsertRecords {
    pub(super) queue: QueueRef,
    pub(super) records: Vec<MoveRecord>,
}

#[async_trait]
impl Task for InsertRecords {
    type Output = ();
    const OPERATION: &'static str = "move_insert_records";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let number = step.head_of_move(&self.queue).await?.number;
        for record in &self.records {
            match record {
                MoveRecord::Key { key, digest, ids, until } => {
                    let run = run_of(&self.queue, ids)?;
                    insert_key(step, number, key, digest, run, *until).await?;
                }
                MoveRecord::Arrival { id, position, origin } => {
                    let origin = OriginColumns::of(origin.as_ref());
                    insert_arrival(step, number, *id, counter_code(*position), origin).await?;
                }
                MoveRecord::Exhausted(record) => insert_exhausted(step, number, record).await?,
            }
        }
        Ok(())
    }
}

/// A key that this store does not remember, or not any more.
async fn insert_key(
    step: &mut Step<'_>,
    number: i64,
    key: &IdempotencyKey,
    digest: &[u8; 32],
    (first, count): (i64, i64),
    until: Timestamp,
) -> Result<(), Failure> {
    if first.saturating_add(count) > POSITION_MAX {
        return Err(positions_used_up().into());
    }
    let insert = query(
        "INSERT INTO post_keys (queue, key, digest, first, count, expires) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (queue, key) DO UPDATE SET \
           digest = excluded.digest, first = excluded.first, count = excluded.count, \
           expires = excluded.expires WHERE post_keys.expires <= ?",
    )
    .bind(number)
    .bind(key.to_string())
    .bind(digest.to_vec())
    .bind(first)
    .bind(count)
    .bind(until.as_millis())
    .bind(step.now.as_millis());
    step.execute(insert).await?;
    Ok(())
}

async fn insert_arrival(
    step: &mut Step<'_>,
    number: i64,
    id: MessageId,
    position: i64,
    from: OriginColumns,
) -> Result<(), Failure> {
    if position > POSITION_MAX {
        return Err(positions_used_up().into());
    }
    // What came with a part is there without its origin.
    let insert = query(
        "INSERT INTO arrivals (queue, origin, id, source, claims, last_claim, arrived) \
         VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (queue, origin) DO UPDATE SET \
           source = excluded.source, claims = excluded.claims, \
           last_claim = excluded.last_claim, arrived = excluded.arrived \
         WHERE arrivals.source IS NULL",
    )
    .bind(number)
    .bind(id.to_string())
    .bind(row_id(number, position))
    .bind(from.source)
    .bind(from.claims)
    .bind(from.last_claim)
    .bind(from.arrived);
    step.execute(insert).await?;
    Ok(())
}

async fn insert_exhausted(
    step: &mut Step<'_>,
    number: i64,
    record: &ExhaustedDelivery,
) -> Result<(), Failure> {
    let message = record.message.to_string();
    let known = query(
        "SELECT 1 FROM exhausted INDEXED BY exhausted_by_message \
         WHERE queue = ? AND message = ? AND subscriber = ? LIMIT 1",
    )
    .bind(number)
    .bind(message.clone())
    .bind(record.subscriber.clone());
    if step.row(known).await?.is_some() {
        return Ok(());
    }
    let insert = query(
        "INSERT INTO exhausted (queue, number, message, subscriber, attempts, reason, at) \
         SELECT number, exhausted_next, ?, ?, ?, ?, ? FROM heads WHERE number = ?; \
         UPDATE heads SET exhausted_next = exhausted_next + 1 WHERE number = ?",
    )
    .bind(message)
    .bind(record.subscriber.clone())
    .bind(i64::from(record.attempts))
    .bind(record.reason.clone())
    .bind(record.at.as_millis())
    .bind(number)
    .bind(number);
    step.execute(insert).await?;
    Ok(())
}
