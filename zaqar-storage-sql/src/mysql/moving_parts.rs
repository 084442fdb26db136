//! The frozen part of a queue: frozen and removed where it comes from, read at either end, revealed
//! where it goes.
//!
//! Freezing writes the range into the head first and locks the messages and their claims then, all in
//! one transaction. Whoever takes or deletes a message reads the head when it has locked it, whoever
//! changes a claim when it has locked that: either the change is done before the part is read, or it
//! meets the range.

use async_trait::async_trait;
use zaqar_core::{
    Body, MovePart, MovingHold, MovingMessage, PageLimit, QueueRef, Result, Timestamp,
};

use crate::codes::counter_code;
use crate::error::{Failure, damaged};
use crate::layout::{MOVED, OPEN, count_of, message_id, moved, position_of, row_id, ttl_of};

use super::error::failed_without_effect;
use super::heads::{check_rows, look_to_change, state};
use super::row::SqlRow;
use super::rows::{UNCLAIMED, claim_id};
use super::server::Server;
use super::sql::{Script, Sql, sql};
use super::step::Step;
use super::task::Task;
use super::told::Told;

/// What of queue `$1`, whose row zero is `$2`, is frozen and live at `$3`. Parked messages are not
/// moved.
macro_rules! part {
    ($lock:literal) => {
        concat!(
            "SELECT m.id, m.ttl, m.posted, m.expires, m.avail, m.claims, m.claim, m.client, \
               m.origin, m.body, m.checksum, c.ttl, c.started \
             FROM messages AS m FORCE INDEX (PRIMARY) \
               LEFT JOIN claims AS c ON c.queue = $1 AND c.id = m.claim \
             WHERE m.id >= $2 + @za AND m.id < $2 + @zb AND m.id > $2 + @zp AND m.queue = $1 \
               AND m.expires > $3 AND m.avail <> -2 ORDER BY m.id",
            $lock
        )
    };
}

/// Reads what is frozen.
pub(super) async fn read_part(server: &Server, queue: &QueueRef) -> Result<MovePart> {
    const OPERATION: &str = "move_part";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let part = select_part(part!(""), number, now);
    let script = vec![look_to_change(number, queue), part, state(number)];
    let answers = server.read_snapshot(OPERATION, script).await?;
    check_move(answers.rows(2), queue).told(OPERATION)?;
    let place = |column| match answers.rows(2).first() {
        Some(row) => row.try_get(column),
        None => Err(sqlx::Error::RowNotFound),
    };
    let frozen = (place(3).told(OPERATION)?, place(4).told(OPERATION)?);
    let part = read(answers.rows(1), frozen, queue, now).told(OPERATION)?;
    // Whoever sees that it has arrived may remove it where it comes from.
    let passed = server.pass_fence().await;
    passed.map_err(|error| failed_without_effect(OPERATION, error))?;
    Ok(part)
}

fn select_part(text: &'static str, number: i64, now: Timestamp) -> Sql {
    sql(text).bind(number).bind(row_id(number, 0)).bind(now.as_millis())
}

/// As [`check_rows`], for the head of exactly this move.
pub(super) fn check_move(rows: &[SqlRow], queue: &QueueRef) -> Result<(), Failure> {
    check_rows(rows, queue)?;
    let epoch: i64 = rows.first().map_or(Ok(0), |row| row.try_get(1))?;
    if epoch == counter_code(queue.epoch) { Ok(()) } else { Err(moved(queue, epoch).into()) }
}

fn read(
    rows: &[SqlRow],
    (from, to): (i64, i64),
    queue: &QueueRef,
    now: Timestamp,
) -> Result<MovePart, sqlx::Error> {
    let messages: Result<Vec<_>, _> = rows.iter().map(|row| message(row, queue, now)).collect();
    Ok(MovePart { from: from.unsigned_abs(), to: to.unsigned_abs(), messages: messages? })
}

fn message(row: &SqlRow, queue: &QueueRef, now: Timestamp) -> Result<MovingMessage, sqlx::Error> {
    let id: i64 = row.try_get(0)?;
    let position = position_of(id).unsigned_abs();
    let moment = |column| row.try_get::<i64>(column).map(Timestamp::from_millis);
    let (hold, delayed_until) = waiting(row, moment(4)?, now)?;
    let id = match row.try_get::<Option<&str>>(8)? {
        Some(text) => text.parse().map_err(|_| damaged("message origin"))?,
        None => message_id(queue.incarnation, id).map_err(|_| damaged("message id"))?,
    };
    let client = row.try_get::<Option<&str>>(7)?.map(str::parse).transpose();
    Ok(MovingMessage {
        id,
        position,
        body: Body::from_checked(row.try_get::<&str>(9)?),
        ttl: ttl_of(row.try_get(1)?),
        posted_at: moment(2)?,
        expires_at: moment(3)?,
        delayed_until,
        client: client.map_err(|_| damaged("client id"))?,
        checksum: row.try_get(10)?,
        claim_count: count_of(row.try_get(5)?),
        hold,
    })
}

/// What a message waits for: the end of a claim, or of its delay.
fn waiting(
    row: &SqlRow,
    ends_at: Timestamp,
    now: Timestamp,
) -> Result<(Option<MovingHold>, Option<Timestamp>), sqlx::Error> {
    if ends_at <= now {
        return Ok((None, None));
    }
    let claim: &[u8] = row.try_get(6)?;
    if claim == UNCLAIMED {
        return Ok((None, Some(ends_at)));
    }
    let ttl = row.try_get::<Option<i64>>(11)?.ok_or_else(|| damaged("claim"))?;
    let since = row.try_get::<Option<i64>>(12)?.ok_or_else(|| damaged("claim"))?;
    let since = Timestamp::from_millis(since);
    Ok((Some(MovingHold { claim: claim_id(claim)?, ttl: ttl_of(ttl), since, ends_at }), None))
}

/// Freezes the highest messages that are left.
#[derive(Debug)]
pub(super) struct Freeze {
    pub(super) queue: QueueRef,
    pub(super) limit: PageLimit,
}

/// The lowest of the `$4` highest messages of queue `$3` between rows `$1` and `$2`: those whose end
/// has passed but was not settled too, for a claim that is about to commit may be prolonging their
/// lives.
const LOWEST: &str = "SELECT MIN(f.id) FROM (SELECT m.id FROM messages AS m FORCE INDEX (PRIMARY) \
       WHERE m.id > $1 AND m.id < $2 AND m.queue = $3 AND m.avail >= 0 \
       ORDER BY m.id DESC LIMIT $4) AS f";

#[async_trait]
impl Task for Freeze {
    type Output = MovePart;
    const OPERATION: &'static str = "move_freeze";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MovePart, Failure> {
        let mut head = step.source(&self.queue).await?;
        let number = head.number;
        if !head.is_frozen() {
            let lowest = sql(LOWEST)
                .bind(row_id(number, head.purged))
                .bind(row_id(number, head.frozen.1))
                .bind(number)
                .bind(i64::from(self.limit.get()));
            let row = step.row(lowest).await?.ok_or(sqlx::Error::RowNotFound)?;
            head.frozen.0 = row.try_get::<Option<i64>>(0)?.map_or(head.frozen.1, position_of);
            let freeze = sql("UPDATE heads SET frozen_from = $2, frozen_to = $3 WHERE number = $1");
            step.later(freeze.bind(number).bind(head.frozen.0).bind(head.frozen.1))?;
        }
        let part = select_part(part!(" FOR UPDATE"), number, step.now);
        let script = Script::of([look_to_change(number, &self.queue), part])?;
        let answers = step.script(script).await?;
        Ok(read(answers.rows(1), head.frozen, &self.queue, step.now)?)
    }
}

/// Removes what was frozen, where it came from.
#[derive(Debug)]
pub(super) struct Remove {
    pub(super) queue: QueueRef,
    pub(super) from: u64,
}

/// Nothing more can have been live at the freeze by any web head's clock, in milliseconds; what was over
/// before is left to `gc`.
const CLOCKS_APART_MAX_MS: i64 = 60_000;

#[async_trait]
impl Task for Remove {
    type Output = ();
    const OPERATION: &'static str = "move_remove";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head_of_move(&self.queue).await?;
        let begins_there = head.frozen.0 == counter_code(self.from);
        if head.state != MOVED || !head.is_frozen() || !begins_there {
            return Ok(());
        }
        let delete = sql("DELETE m FROM messages AS m FORCE INDEX (PRIMARY) \
             WHERE m.id >= $1 AND m.id < $2 AND m.queue = $3 AND m.avail <> -2 AND m.expires > $4")
        .bind(row_id(head.number, head.frozen.0))
        .bind(row_id(head.number, head.frozen.1))
        .bind(head.number)
        .bind(step.now.as_millis().saturating_sub(CLOCKS_APART_MAX_MS));
        step.later(delete)?;
        let end = sql("UPDATE heads SET frozen_to = frozen_from WHERE number = $1");
        step.later(end.bind(head.number))?;
        Ok(())
    }
}

/// Gives free what was frozen, where it arrived.
#[derive(Debug)]
pub(super) struct Reveal {
    pub(super) queue: QueueRef,
    pub(super) from: u64,
}

#[async_trait]
impl Task for Reveal {
    type Output = ();
    const OPERATION: &'static str = "move_reveal";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head_of_move(&self.queue).await?;
        let begins_there = head.frozen.0 == counter_code(self.from);
        if head.state != OPEN || !head.is_frozen() || !begins_there {
            return Ok(());
        }
        let reveal = sql("UPDATE heads SET frozen_to = frozen_from WHERE number = $1");
        step.later(reveal.bind(head.number))?;
        // It lies below everything: no claim may start behind it (see `memory`).
        let tell = sql("UPDATE releases SET count = count + 1 WHERE queue = $1");
        step.later(tell.bind(head.number))?;
        Ok(())
    }
}
