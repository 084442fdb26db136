//! Claims: reading, renewing and releasing them. Making one is in [`super::takes`].
//!
//! All messages that a claim holds have its end in `avail` and its id in `claim`, so the index
//! `claimable` finds them, and them alone, from the claim's own row.

use std::sync::Arc;

use async_trait::async_trait;
use zaqar_core::{
    Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef, Result,
    Timestamp, Ttl,
};

use crate::layout::{row_id, ttl_code, ttl_of};

use super::driver::MyData;
use super::heads::{check_rows, check_still, look_to_change, state_still};
use super::row::SqlRow;
use super::rows::{message_columns, messages, unclaimed};
use super::server::Server;
use super::sql::{Sql, sql};
use super::takes;
use super::told::Told;

/// A claim and what it holds. `$1` queue, `$2` claim, `$3` now, `$4` the queue's row zero.
pub(super) const HELD: &str = concat!(
    "SELECT h.state, h.epoch, c.ttl, c.started, c.ends, ",
    message_columns!(),
    " FROM heads AS h LEFT JOIN claims AS c ON c.queue = h.number AND c.id = $2 \
     LEFT JOIN messages AS m FORCE INDEX (claimable) \
       ON m.queue = $1 AND m.avail = c.ends AND m.claim = $2 AND m.avail > $3 \
         AND m.id > $4 + h.purged \
     WHERE h.number = $1 ORDER BY m.id"
);

/// Locks claim `$2` of queue `$1` and reads when it ends.
fn lock(number: i64, id: ClaimId) -> [Sql; 2] {
    // Where there is no row, nothing is assigned.
    let lock = sql("SELECT ends INTO @ze FROM claims WHERE queue = $1 AND id = $2 FOR UPDATE");
    [sql("SET @ze = NULL"), lock.bind(number).bind(id.as_bytes().as_slice())]
}

/// How much of what claim `$2` of queue `$1` holds at moment `$3` is on its way; `$4` is the queue's row
/// zero. If any is, nothing is changed. Looked at when the claim's row is locked, which whoever freezes
/// locks too.
const COUNT_STILL: &str = "SELECT COUNT(*) INTO @zh FROM messages FORCE INDEX (claimable) \
     WHERE queue = $1 AND avail = @ze AND claim = $2 AND avail > $3 AND id > $4 + @zp \
       AND id >= $4 + @za AND id < $4 + @zb";

/// Renews what the claim holds at this moment (G6: the same statement decides). `$3` now, `$4` the
/// queue's row zero, `$5` the new end, `$6`, `$7` ttl and end of a life that must be longer.
const RENEW_MESSAGES: &str = "UPDATE messages FORCE INDEX (claimable) \
     SET ttl = IF(expires < $5, $6, ttl), expires = IF(expires < $5, $7, expires), avail = $5 \
     WHERE queue = $1 AND avail = @ze AND claim = $2 AND avail > $3 \
       AND id > $4 + @zp AND @zt = 1 AND @zh = 0";

const RENEW_CLAIM: &str = "UPDATE claims SET ttl = $4, started = $3, ends = $5 \
     WHERE queue = $1 AND id = $2 AND @zk > 0";

/// Frees what the claim holds at this moment; that it was the last one stays known. `$3` now, `$4` the queue's row zero.
const FREE_MESSAGES: &str = concat!(
    "UPDATE messages FORCE INDEX (claimable) SET last_claim = $2, avail = 0, claim = ",
    unclaimed!(),
    " WHERE queue = $1 AND avail = @ze AND claim = $2 AND avail > $3 \
       AND id > $4 + @zp AND @zt = 1 AND @zh = 0"
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
) -> Result<Vec<SqlRow>> {
    let select = sql(HELD)
        .bind(number)
        .bind(id.as_bytes().as_slice())
        .bind(now.as_millis())
        .bind(row_id(number, 0));
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
    let bytes = id.as_bytes().as_slice();
    let now = server.clock.now().as_millis();
    let bind = |text| sql(text).bind(number).bind(bytes).bind(now).bind(row_id(number, 0));
    let tell = sql("UPDATE releases SET count = count + 1 WHERE queue = $1 AND @zk > 0");
    let remove = sql("DELETE FROM claims WHERE queue = $1 AND id = $2 AND @zt = 1 AND @zh = 0");
    let mut script = Vec::from(lock(number, id));
    script.extend([look_to_change(number, queue), bind(COUNT_STILL), bind(FREE_MESSAGES)]);
    script.extend([sql("SET @zk = ROW_COUNT()"), tell.bind(number)]);
    script.extend([remove.bind(number).bind(bytes), state_still(number)]);
    let answers = server.write(OPERATION, script).await?;
    check_still(answers.rows(8), queue).told(OPERATION)
}

async fn renew(server: &Server, queue: &QueueRef, id: ClaimId, ttl: Ttl, grace: Ttl) -> Result<()> {
    const OPERATION: &str = "claim_update";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let ends_at = now.after(ttl);
    let bytes = id.as_bytes().as_slice();
    let bind =
        |text| sql(text).bind(number).bind(bytes).bind(now.as_millis()).bind(row_id(number, 0));
    let messages = bind(RENEW_MESSAGES)
        .bind(ends_at.as_millis())
        .bind(ttl_code(ttl.plus(grace)))
        .bind(ends_at.after(grace).as_millis());
    let claim = sql(RENEW_CLAIM)
        .bind(number)
        .bind(bytes)
        .bind(now.as_millis())
        .bind(ttl_code(ttl))
        .bind(ends_at.as_millis());
    let mut script = Vec::from(lock(number, id));
    script.extend([look_to_change(number, queue), bind(COUNT_STILL), messages]);
    script.extend([sql("SET @zk = ROW_COUNT()"), claim, state_still(number)]);
    let answers = server.write(OPERATION, script).await?;
    check_still(answers.rows(7), queue).told(OPERATION)?;
    if answers.affected(4) == 0 { Err(not_found(queue, id)) } else { Ok(()) }
}

async fn get(server: &Server, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
    const OPERATION: &str = "claim_get";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let rows = read_held(server, OPERATION, queue, number, id, now).await?;
    let claim = rows.first().map(|row| read_claim(row, id, now)).transpose().told(OPERATION)?;
    let messages = messages(&rows, 5, queue.incarnation, now).told(OPERATION)?;
    match claim.flatten() {
        Some(claim) if claim.ends_at > now && !messages.is_empty() => {
            server.make_sure(OPERATION, queue, &messages).await?;
            Ok((claim, messages))
        }
        _ => Err(not_found(queue, id)),
    }
}

fn read_claim(row: &SqlRow, id: ClaimId, now: Timestamp) -> Result<Option<Claim>, sqlx::Error> {
    let Some(ttl) = row.try_get::<Option<i64>>(2)? else { return Ok(None) };
    let started = Timestamp::from_millis(row.try_get(3)?);
    let ends_at = Timestamp::from_millis(row.try_get(4)?);
    Ok(Some(Claim { id, ttl: ttl_of(ttl), age_s: now.seconds_since(started), ends_at }))
}

#[async_trait]
impl ClaimController for MyData {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        let id = options.id;
        let (store, of) = (Arc::clone(&self.store), queue.clone());
        let work = async move { takes::claim(&store, &of, options).await };
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
