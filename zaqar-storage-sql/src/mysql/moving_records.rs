//! What a queue remembers beside its messages, read in pages where it comes from and written where
//! it goes.

use std::collections::HashSet;

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

use super::heads::state;
use super::inserts::{Bound, insert};
use super::moving_arrivals::arrive;
use super::moving_parts::check_move;
use super::outbox::{EXHAUSTED, exhausted};
use super::row::SqlRow;
use super::server::Server;
use super::sql::sql;
use super::step::Step;
use super::task::Task;
use super::told::Told;

const OPERATION: &str = "move_records";

const KEYS: &str = "SELECT post_key, digest, first, count, expires FROM post_keys \
     WHERE queue = $1 AND post_key > $2 AND expires > $4 ORDER BY post_key LIMIT $3";

const ARRIVALS: &str = "SELECT origin, id, source, claims, last_claim, arrived FROM arrivals \
     WHERE queue = $1 AND origin > $2 ORDER BY origin LIMIT $3";

/// Reads a page, of as many kinds as it takes to fill it.
pub(super) async fn read_records(
    server: &Server,
    queue: &QueueRef,
    marker: Option<&str>,
    limit: PageLimit,
) -> Result<Page<MoveRecord, String>> {
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now().as_millis();
    let mut place = RecordPlace::of(marker)?;
    let mut items = Vec::new();
    loop {
        let room = length_code(limit.as_usize().saturating_sub(items.len()));
        let select = match place.kind {
            RecordKind::Key => sql(KEYS).bind(number).bind(place.after.as_str()),
            RecordKind::Arrival => sql(ARRIVALS).bind(number).bind(place.after.as_str()),
            RecordKind::Exhausted => sql(EXHAUSTED).bind(number).bind(place.after_number()),
        };
        let script = vec![select.bind(room).bind(now), state(number)];
        let answers = server.read_snapshot(OPERATION, script).await?;
        check_move(answers.rows(1), queue).told(OPERATION)?;
        for row in answers.rows(0) {
            items.push(record(row, place.kind, queue).told(OPERATION)?);
        }
        let full = items.len() >= limit.as_usize();
        match place.next_kind() {
            Some(next) if !full => place = next,
            _ => return Ok(Page::of(items, marker_of)),
        }
    }
}

fn record(row: &SqlRow, kind: RecordKind, queue: &QueueRef) -> Result<MoveRecord, Failure> {
    if kind == RecordKind::Exhausted {
        return Ok(MoveRecord::Exhausted(exhausted(row)?));
    }
    let name: &str = row.try_get(0)?;
    if kind == RecordKind::Arrival {
        let id: MessageId = name.parse().map_err(|_| damaged("message origin"))?;
        let position = position_of(row.try_get(1)?).unsigned_abs();
        return Ok(MoveRecord::Arrival { id, position, origin: origin_of!(row, 2)? });
    }
    let key = IdempotencyKey::new(name).map_err(|_| damaged("idempotency key"))?;
    let digest: &[u8] = row.try_get(1)?;
    let count = usize::try_from(row.try_get::<i64>(3)?).unwrap_or(0);
    Ok(MoveRecord::Key {
        key,
        digest: digest.try_into().map_err(|_| damaged("digest"))?,
        ids: posted(queue, row.try_get(2)?, count)?.ids,
        until: Timestamp::from_millis(row.try_get(4)?),
    })
}

/// Remembers what another store did.
#[derive(Debug)]
pub(super) struct InsertRecords {
    pub(super) queue: QueueRef,
    pub(super) records: Vec<MoveRecord>,
    /// Bytes that one statement may carry.
    pub(super) bytes_max: usize,
}

/// A key that this store does not remember, or not any more at `$7`. Assigned from left to right: the
/// end of what is there comes last.
const INSERT_KEY: &str = "INSERT INTO post_keys (queue, post_key, digest, first, count, expires) \
     VALUES ($1, $2, $3, $4, $5, $6) ON DUPLICATE KEY UPDATE \
       digest = IF(expires <= $7, VALUES(digest), digest), \
       first = IF(expires <= $7, VALUES(first), first), \
       count = IF(expires <= $7, VALUES(count), count), \
       expires = IF(expires <= $7, VALUES(expires), expires)";

#[async_trait]
impl Task for InsertRecords {
    type Output = ();
    const OPERATION: &'static str = "move_insert_records";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let number = step.head_of_move(&self.queue).await?.number;
        let mut given_up = Vec::new();
        for record in &self.records {
            match record {
                MoveRecord::Key { key, digest, ids, until } => {
                    let (first, count) = run_of(&self.queue, ids)?;
                    if first.saturating_add(count) > POSITION_MAX {
                        return Err(positions_used_up().into());
                    }
                    let insert = sql(INSERT_KEY)
                        .bind(number)
                        .bind(key.as_str())
                        .bind(digest.as_slice())
                        .bind(first)
                        .bind(count)
                        .bind(until.as_millis())
                        .bind(step.now.as_millis());
                    step.later(insert)?;
                }
                MoveRecord::Arrival { id, position, origin } => {
                    let position = counter_code(*position);
                    if position > POSITION_MAX {
                        return Err(positions_used_up().into());
                    }
                    let from = OriginColumns::of(origin.as_ref());
                    arrive(step, number, &id.to_string(), row_id(number, position), &from)?;
                }
                MoveRecord::Exhausted(record) => given_up.push(record),
            }
        }
        if !given_up.is_empty() {
            self.give_up(step, number, &given_up).await?;
        }
        Ok(())
    }
}

impl InsertRecords {
    /// Deliveries that were given up, known by message and subscriber, under numbers of their own.
    async fn give_up(
        &self,
        step: &mut Step<'_>,
        number: i64,
        records: &[&ExhaustedDelivery],
    ) -> Result<(), Failure> {
        const TABLE: &str = "exhausted (queue, number, message, subscriber, attempts, reason, at)";
        let ids: Vec<String> = records.iter().map(|record| record.message.to_string()).collect();
        let select = sql("SELECT message, subscriber FROM exhausted \
             WHERE queue = $1 AND message IN ($2)");
        let mut known = HashSet::<(String, String)>::new();
        for row in step.rows(select.bind(number).bind(ids.clone())).await? {
            known.insert((row.try_get(0)?, row.try_get(1)?));
        }
        let look = sql("SELECT exhausted_next FROM heads WHERE number = $1").bind(number);
        let row = step.row(look).await?.ok_or_else(|| damaged("queue head"))?;
        let mut next: i64 = row.try_get(0)?;
        let mut rows = Vec::with_capacity(records.len());
        for (record, id) in records.iter().zip(&ids) {
            if !known.insert((id.clone(), record.subscriber.clone())) {
                continue;
            }
            rows.push([
                Bound::Int(number),
                Bound::Int(next),
                Bound::text(id),
                Bound::text(&record.subscriber),
                Bound::Int(i64::from(record.attempts)),
                Bound::text(&record.reason),
                Bound::Int(record.at.as_millis()),
            ]);
            next += 1;
        }
        insert(step, TABLE, &rows, self.bytes_max).await?;
        let count = sql("UPDATE heads SET exhausted_next = $2 WHERE number = $1");
        step.later(count.bind(number).bind(next))?;
        Ok(())
    }
}
