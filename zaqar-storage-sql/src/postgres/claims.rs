//! Claims: reading, renewing and releasing them. Making one is in [`super::takes`].

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{
    Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef, Result,
    Timestamp, Ttl,
};

use crate::codes::counter_code;
use crate::layout::{ttl_code, ttl_of};

use super::driver::PgData;
use super::heads::{check_rows, check_still, fence_head, is_still};
use super::rows::{message_columns, messages};
use super::server::Server;
use super::takes;
use super::told::Told;

/// A claim and what it still holds: its list says which messages they were, the rows which they are.
/// `$1` queue, `$2` claim, `$3` now.
pub(crate) const HELD: &str = concat!(
    "SELECT h.state, h.epoch, c.ttl AS claim_ttl, c.started, c.ends, ",
    message_columns!(),
    " FROM heads AS h LEFT JOIN claims AS c ON c.queue = h.number AND c.id = $2 \
     LEFT JOIN (messages AS m JOIN bodies AS b ON b.id = m.id) \
       ON m.id = ANY (c.messages) AND m.claim = $2 AND m.avail > $3 \
         AND m.id > ((h.number << 35) | h.purged) \
     WHERE h.number = $1 ORDER BY m.id"
);

/// Locks what claim `$2` of queue `$1` holds at moment `$3` (G6: the same step decides), for a caller
/// that knows of the move `$4`. If any of it is `still`, on its way, nothing is changed.
macro_rules! held {
    () => {
        concat!(
            "WITH ",
            fence_head!("$4"),
            ", held AS MATERIALIZED (SELECT m.id, ",
            is_still!(),
            " AS still FROM messages AS m \
               WHERE m.id = ANY ((SELECT messages FROM claims WHERE queue = $1 AND id = $2)::bigint[]) \
                 AND m.claim = $2 AND m.avail > $3 AND (SELECT h.takes FROM head AS h) \
                 AND m.id > (SELECT h.base FROM head AS h) ORDER BY m.id FOR UPDATE OF m), "
        )
    };
}

const RENEW: &str = concat!(
    held!(),
    "renewed AS (UPDATE messages AS m SET avail = $5, \
         ttl = CASE WHEN m.expires < $5 THEN $6 ELSE m.ttl END, \
         expires = CASE WHEN m.expires < $5 THEN $7 ELSE m.expires END \
       FROM held AS k WHERE m.id = k.id AND NOT EXISTS (SELECT 1 FROM held AS s WHERE s.still)), \
     claim AS (UPDATE claims SET ttl = $8, started = $3, ends = $5 \
       WHERE queue = $1 AND id = $2 AND EXISTS (SELECT 1 FROM held) \
         AND NOT EXISTS (SELECT 1 FROM held AS s WHERE s.still)) \
     SELECT h.state, h.epoch, EXISTS (SELECT 1 FROM held AS s WHERE s.still), \
       (SELECT count(*) FROM held) FROM head AS h"
);

const RELEASE: &str = concat!(
    held!(),
    "freed AS (UPDATE messages AS m SET avail = 0 FROM held AS k \
       WHERE m.id = k.id AND NOT EXISTS (SELECT 1 FROM held AS s WHERE s.still)), \
     told AS (UPDATE releases SET count = count + 1 \
       WHERE queue = $1 AND EXISTS (SELECT 1 FROM held)), \
     gone AS (DELETE FROM claims WHERE queue = $1 AND id = $2 \
       AND (SELECT h.takes FROM head AS h) \
       AND NOT EXISTS (SELECT 1 FROM held AS s WHERE s.still)) \
     SELECT h.state, h.epoch, EXISTS (SELECT 1 FROM held AS s WHERE s.still) FROM head AS h"
);

fn not_found(queue: &QueueRef, id: ClaimId) -> Error {
    Error::ClaimNotFound { queue: queue.key.name.clone(), id }
}

async fn read_held(
    server: &Server,
    operation: &'static str,
    queue: &QueueRef,
    number: i64,
    id: ClaimId,
    now: Timestamp,
) -> Result<Vec<PgRow>> {
    let select =
        sqlx::query(HELD).bind(number).bind(id.as_bytes().as_slice()).bind(now.as_millis());
    let rows = server.read(operation, select).await?;
    check_rows(&rows, queue).told(operation)?;
    Ok(rows)
}

/// The messages that a claim holds now, for a repeat of its creation.
pub(crate) async fn held(
    server: &Server,
    queue: &QueueRef,
    number: i64,
    id: ClaimId,
) -> Result<Vec<Message>> {
    let now = server.clock.now();
    let rows = read_held(server, takes::CLAIM_OPERATION, queue, number, id, now).await?;
    messages(&rows, 5, queue.incarnation, now).told(takes::CLAIM_OPERATION)
}

/// Releases a claim, at a place that the caller has already.
pub(crate) async fn release(server: &Server, queue: &QueueRef, id: ClaimId) -> Result<()> {
    const OPERATION: &str = "claim_delete";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now().as_millis();
    let make = || {
        let release = sqlx::query(RELEASE).bind(number).bind(id.as_bytes().as_slice());
        release.bind(now).bind(counter_code(queue.epoch))
    };
    let rows = server.write(OPERATION, make).await?;
    check_still(&rows, queue).told(OPERATION)
}

async fn renew(server: &Server, queue: &QueueRef, id: ClaimId, ttl: Ttl, grace: Ttl) -> Result<()> {
    const OPERATION: &str = "claim_update";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let ends_at = now.after(ttl);
    let make = || {
        sqlx::query(RENEW)
            .bind(number)
            .bind(id.as_bytes().as_slice())
            .bind(now.as_millis())
            .bind(counter_code(queue.epoch))
            .bind(ends_at.as_millis())
            .bind(ttl_code(ttl.plus(grace)))
            .bind(ends_at.after(grace).as_millis())
            .bind(ttl_code(ttl))
    };
    let rows = server.write(OPERATION, make).await?;
    check_still(&rows, queue).told(OPERATION)?;
    let held: i64 = rows.first().map_or(Ok(0), |row| row.try_get(3)).told(OPERATION)?;
    if held == 0 { Err(not_found(queue, id)) } else { Ok(()) }
}

async fn get(server: &Server, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
    const OPERATION: &str = "claim_get";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let rows = read_held(server, OPERATION, queue, number, id, now).await?;
    let claim = rows.first().map(|row| read_claim(row, id, now)).transpose().told(OPERATION)?;
    let messages = messages(&rows, 5, queue.incarnation, now).told(OPERATION)?;
    match claim.flatten() {
        Some(claim) if claim.ends_at > now && !messages.is_empty() => Ok((claim, messages)),
        _ => Err(not_found(queue, id)),
    }
}

fn read_claim(row: &PgRow, id: ClaimId, now: Timestamp) -> Result<Option<Claim>, sqlx::Error> {
    let Some(ttl) = row.try_get::<Option<i64>, _>(2)? else { return Ok(None) };
    let started = Timestamp::from_millis(row.try_get(3)?);
    let ends_at = Timestamp::from_millis(row.try_get(4)?);
    Ok(Some(Claim { id, ttl: ttl_of(ttl), age_s: now.seconds_since(started), ends_at }))
}

#[async_trait]
impl ClaimController for PgData {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        let id = options.id;
        let (server, of) = (Arc::clone(self.server()), queue.clone());
        let work = async move { takes::claim(&server, &of, &options).await };
        let (server, of) = (Arc::clone(self.server()), queue.clone());
        let unheard = move |claimed: Claimed| async move {
            if !claimed.messages.is_empty() {
                takes::release_unheard(server, of, id).await;
            }
        };
        self.at_heard(takes::CLAIM_OPERATION, queue, work, unheard).await
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        let work = move |server: Arc<Server>, queue| async move { get(&server, &queue, id).await };
        self.at("claim_get", queue, work).await
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        let work = move |server: Arc<Server>, queue| async move {
            renew(&server, &queue, id, ttl, grace).await
        };
        self.at("claim_update", queue, work).await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        let work =
            move |server: Arc<Server>, queue| async move { release(&server, &queue, id).await };
        self.at("claim_delete", queue, work).await
    }
}
