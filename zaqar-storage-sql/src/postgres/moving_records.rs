//! What a queue remembers beside its messages, read in pages where it comes from and written where
//! it goes.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::move_rules::{RecordKind, RecordPlace, marker_of, run_of};
use zaqar_core::{
    ExhaustedDelivery, IdempotencyKey, MessageId, MoveRecord, Page, PageLimit, QueueRef, Result,
    Timestamp,
};

use crate::codes::counter_code;
use crate::error::{Failure, damaged};
use crate::layout::{POSITION_MAX, length_code, position_of, positions_used_up, posted, row_id};
use crate::origins::{OriginColumns, origin_of};

use super::moving_parts::check_move;
use super::outbox::exhausted;
use super::server::Server;
use super::step::{Statement, Step};
use super::task::Task;
use super::told::Told;

const OPERATION: &str = "move_records";

/// Up to `$4` rows of a kind behind `$3`, under the head of queue `$1` at moment `$2`.
macro_rules! records {
    ($columns:literal, $from:literal, $order:literal) => {
        concat!(
            "SELECT h.state, h.epoch, ",
            $columns,
            " FROM heads AS h LEFT JOIN LATERAL (SELECT * FROM ",
            $from,
            " ORDER BY ",
            $order,
            " LIMIT $4) AS r ON true WHERE h.number = $1 ORDER BY r.",
            $order
        )
    };
}

const KEYS: &str = records!(
    "r.key, r.digest, r.first, r.count, r.expires",
    "post_keys AS k WHERE k.queue = h.number AND k.expires > $2 AND k.key > $3",
    "key"
);

const ARRIVALS: &str = records!(
    "r.origin, r.id, r.source, r.claims, r.last_claim, r.arrived",
    "arrivals AS a WHERE a.queue = h.number AND $2::bigint IS NOT NULL AND a.origin > $3",
    "origin"
);

const EXHAUSTED: &str = records!(
    "r.number, r.message, r.subscriber, r.attempts, r.reason, r.at",
    "exhausted AS e WHERE e.queue = h.number AND $2::bigint IS NOT NULL AND e.number > $3",
    "number"
);

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
        let text = match place.kind {
            RecordKind::Key => KEYS,
            RecordKind::Arrival => ARRIVALS,
            RecordKind::Exhausted => EXHAUSTED,
        };
        let select = sqlx::query(text).bind(number).bind(now);
        let select: Statement = match place.kind {
            RecordKind::Exhausted => select.bind(place.after_number()),
            _ => select.bind(place.after.clone()),
        };
        let rows = server.read(OPERATION, select.bind(room)).await?;
        check_move(&rows, queue).told(OPERATION)?;
        for row in &rows {
            items.extend(record(row, place.kind, queue).told(OPERATION)?);
        }
        let full = items.len() >= limit.as_usize();
        match place.next_kind() {
            Some(next) if !full => place = next,
            _ => return Ok(Page::of(items, marker_of)),
        }
    }
}

fn record(row: &PgRow, kind: RecordKind, queue: &QueueRef) -> Result<Option<MoveRecord>, Failure> {
    if kind == RecordKind::Exhausted {
        return Ok(exhausted(row)?.map(MoveRecord::Exhausted));
    }
    let Some(name) = row.try_get::<Option<&str>, _>(2)? else { return Ok(None) };
    if kind == RecordKind::Arrival {
        let id: MessageId = name.parse().map_err(|_| damaged("message origin"))?;
        let position = position_of(row.try_get(3)?).unsigned_abs();
        return Ok(Some(MoveRecord::Arrival { id, position, origin: origin_of!(row, 4)? }));
    }
    let key = IdempotencyKey::new(name).map_err(|_| damaged("idempotency key"))?;
    let digest: &[u8] = row.try_get(3)?;
    let count = usize::try_from(row.try_get::<i64, _>(5)?).unwrap_or(0);
    Ok(Some(MoveRecord::Key {
        key,
        digest: digest.try_into().map_err(|_| damaged("digest"))?,
        ids: posted(queue, row.try_get(4)?, count)?.ids,
        until: Timestamp::from_millis(row.try_get(6)?),
    }))
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
        self.keys(step, number).await?;
        self.arrivals(step, number).await?;
        self.exhausted(step, number).await?;
        Ok(())
    }
}

const INSERT_KEYS: &str = "INSERT INTO post_keys AS p (queue, key, digest, first, count, expires) \
     SELECT DISTINCT ON (u.key) $1, u.* FROM \
       unnest($2::text[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[]) \
         AS u (key, digest, first, count, expires) \
     ON CONFLICT (queue, key) DO UPDATE SET digest = excluded.digest, first = excluded.first, \
       count = excluded.count, expires = excluded.expires WHERE p.expires <= $7";

/// What came with a part is there without its origin.
const INSERT_ARRIVALS: &str = "INSERT INTO arrivals AS a \
       (queue, origin, id, source, claims, last_claim, arrived) \
     SELECT DISTINCT ON (u.origin) $1, u.* FROM unnest($2::text[], $3::bigint[], $4::text[], \
       $5::bigint[], $6::bytea[], $7::bigint[]) \
         AS u (origin, id, source, claims, last_claim, arrived) \
     ON CONFLICT (queue, origin) DO UPDATE SET source = excluded.source, \
       claims = excluded.claims, last_claim = excluded.last_claim, arrived = excluded.arrived \
     WHERE a.source IS NULL";

const INSERT_EXHAUSTED: &str = "WITH fresh AS MATERIALIZED ( \
       SELECT u.*, row_number() OVER (ORDER BY u.place) - 1 AS offset_in \
       FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[]) \
         WITH ORDINALITY AS u (message, subscriber, attempts, reason, at, place) \
       WHERE NOT EXISTS (SELECT 1 FROM exhausted AS e WHERE e.queue = $1 \
         AND e.message = u.message AND e.subscriber = u.subscriber)), \
     head AS (UPDATE heads SET exhausted_next = exhausted_next + (SELECT count(*) FROM fresh) \
       WHERE number = $1 RETURNING exhausted_next - (SELECT count(*) FROM fresh) AS first) \
     INSERT INTO exhausted (queue, number, message, subscriber, attempts, reason, at) \
     SELECT $1, h.first + f.offset_in, f.message, f.subscriber, f.attempts, f.reason, f.at \
     FROM fresh AS f CROSS JOIN head AS h";

/// One of the things that are written, for each record of a kind.
fn all<R, T>(records: &[R], of: impl Fn(&R) -> T) -> Vec<T> {
    records.iter().map(of).collect()
}

impl InsertRecords {
    /// Keys that this store does not remember, or not any more.
    async fn keys(&self, step: &mut Step<'_>, number: i64) -> Result<(), Failure> {
        let mut keys = Vec::new();
        for record in &self.records {
            if let MoveRecord::Key { key, digest, ids, until } = record {
                let (first, count) = run_of(&self.queue, ids)?;
                if first.saturating_add(count) > POSITION_MAX {
                    return Err(positions_used_up().into());
                }
                keys.push((key.to_string(), digest.to_vec(), first, count, until.as_millis()));
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        let insert = sqlx::query(INSERT_KEYS)
            .bind(number)
            .bind(all(&keys, |key| key.0.clone()))
            .bind(all(&keys, |key| key.1.clone()))
            .bind(all(&keys, |key| key.2))
            .bind(all(&keys, |key| key.3))
            .bind(all(&keys, |key| key.4))
            .bind(step.now.as_millis());
        step.execute(insert).await?;
        Ok(())
    }

    async fn arrivals(&self, step: &mut Step<'_>, number: i64) -> Result<(), Failure> {
        let mut arrivals = Vec::new();
        for record in &self.records {
            if let MoveRecord::Arrival { id, position, origin } = record {
                let position = counter_code(*position);
                if position > POSITION_MAX {
                    return Err(positions_used_up().into());
                }
                let origin = OriginColumns::of(origin.as_ref());
                arrivals.push((id.to_string(), row_id(number, position), origin));
            }
        }
        if arrivals.is_empty() {
            return Ok(());
        }
        let insert = sqlx::query(INSERT_ARRIVALS)
            .bind(number)
            .bind(all(&arrivals, |arrival| arrival.0.clone()))
            .bind(all(&arrivals, |arrival| arrival.1))
            .bind(all(&arrivals, |arrival| arrival.2.source.clone()))
            .bind(all(&arrivals, |arrival| arrival.2.claims))
            .bind(all(&arrivals, |arrival| arrival.2.last_claim.clone()))
            .bind(all(&arrivals, |arrival| arrival.2.arrived));
        step.execute(insert).await?;
        Ok(())
    }

    async fn exhausted(&self, step: &mut Step<'_>, number: i64) -> Result<(), Failure> {
        let given_up = |record: &MoveRecord| match record {
            MoveRecord::Exhausted(record) => Some(record.clone()),
            _ => None,
        };
        let records: Vec<ExhaustedDelivery> = self.records.iter().filter_map(given_up).collect();
        if records.is_empty() {
            return Ok(());
        }
        let insert = sqlx::query(INSERT_EXHAUSTED)
            .bind(number)
            .bind(all(&records, |record| record.message.to_string()))
            .bind(all(&records, |record| record.subscriber.clone()))
            .bind(all(&records, |record| i64::from(record.attempts)))
            .bind(all(&records, |record| record.reason.clone()))
            .bind(all(&records, |record| record.at.as_millis()));
        step.execute(insert).await?;
        Ok(())
    }
}
