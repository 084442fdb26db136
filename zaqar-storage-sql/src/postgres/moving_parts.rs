//! The frozen part of a queue: frozen and removed where it comes from, read at either end, revealed
//! where it goes.
//!
//! The range in the head is what a statement goes by that begins after the freeze. One that began
//! before sees the head as it was, and would take a message of the part after it was read. So
//! freezing writes `frozen` into the rows as well: it waits for whoever has one of them in hand, and
//! whoever comes to one later reads the new row, whatever its snapshot, for it locks it. Where a part
//! arrives the rows need no mark: who does not see the range does not see them either.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use zaqar_core::{
    Body, MovePart, MovingHold, MovingMessage, PageLimit, QueueRef, Result, Timestamp,
};

use crate::codes::counter_code;
use crate::error::{Failure, damaged};
use crate::layout::{MOVED, OPEN, count_of, message_id, moved, position_of, row_id, ttl_of};

use super::heads::check_rows;
use super::rows::claim_id;
use super::server::Server;
use super::step::{Statement, Step};
use super::task::Task;
use super::told::Told;

/// What of queue `$1` is frozen and live at `$2`. Parked messages are not moved.
const PART: &str = "SELECT h.state, h.epoch, h.frozen_from, h.frozen_to, l.* \
     FROM heads AS h LEFT JOIN LATERAL (SELECT m.id, m.ttl, m.posted, m.expires, m.avail, \
         m.claims, m.claim, m.client, m.origin, b.body, b.checksum, \
         c.ttl AS claim_ttl, c.started AS claim_started \
       FROM messages AS m JOIN bodies AS b ON b.id = m.id \
         LEFT JOIN claims AS c ON c.queue = h.number AND c.id = m.claim \
       WHERE m.id >= ((h.number << 35) | h.frozen_from) \
         AND m.id < ((h.number << 35) | h.frozen_to) \
         AND m.id > ((h.number << 35) | h.purged) AND m.expires > $2 AND m.avail <> -2) AS l \
       ON true WHERE h.number = $1 ORDER BY l.id";

fn select_part(number: i64, now: Timestamp) -> Statement {
    sqlx::query(PART).bind(number).bind(now.as_millis())
}

/// Reads what is frozen.
pub(super) async fn read_part(server: &Server, queue: &QueueRef) -> Result<MovePart> {
    const OPERATION: &str = "move_part";
    let number = server.number(OPERATION, queue).await?;
    let now = server.clock.now();
    let rows = server.read(OPERATION, select_part(number, now)).await?;
    check_move(&rows, queue).told(OPERATION)?;
    part(&rows, queue, now).told(OPERATION)
}

/// As [`check_rows`], for the head of exactly this move.
pub(super) fn check_move(rows: &[PgRow], queue: &QueueRef) -> Result<(), Failure> {
    check_rows(rows, queue)?;
    let epoch: i64 = rows.first().map_or(Ok(0), |row| row.try_get(1))?;
    if epoch == counter_code(queue.epoch) { Ok(()) } else { Err(moved(queue, epoch).into()) }
}

fn part(rows: &[PgRow], queue: &QueueRef, now: Timestamp) -> Result<MovePart, sqlx::Error> {
    let head = rows.first().ok_or(sqlx::Error::RowNotFound)?;
    let place = |column| head.try_get::<i64, _>(column).map(i64::unsigned_abs);
    let (from, to) = (place(2)?, place(3)?);
    let mut messages = Vec::with_capacity(rows.len());
    for row in rows {
        messages.extend(message(row, queue, now)?);
    }
    Ok(MovePart { from, to, messages })
}

fn message(
    row: &PgRow,
    queue: &QueueRef,
    now: Timestamp,
) -> Result<Option<MovingMessage>, sqlx::Error> {
    let Some(id) = row.try_get::<Option<i64>, _>(4)? else { return Ok(None) };
    let position = position_of(id).unsigned_abs();
    let moment = |column| row.try_get::<i64, _>(column).map(Timestamp::from_millis);
    let (hold, delayed_until) = waiting(row, moment(8)?, now)?;
    let id = match row.try_get::<Option<&str>, _>(12)? {
        Some(text) => text.parse().map_err(|_| damaged("message origin"))?,
        None => message_id(queue.incarnation, id).map_err(|_| damaged("message id"))?,
    };
    let client = row.try_get::<Option<&str>, _>(11)?.map(str::parse).transpose();
    Ok(Some(MovingMessage {
        id,
        position,
        body: Body::from_checked(row.try_get::<&str, _>(13)?),
        ttl: ttl_of(row.try_get(5)?),
        posted_at: moment(6)?,
        expires_at: moment(7)?,
        delayed_until,
        client: client.map_err(|_| damaged("client id"))?,
        checksum: row.try_get(14)?,
        claim_count: count_of(row.try_get(9)?),
        hold,
    }))
}

/// What a message waits for: the end of a claim, or of its delay.
fn waiting(
    row: &PgRow,
    ends_at: Timestamp,
    now: Timestamp,
) -> Result<(Option<MovingHold>, Option<Timestamp>), sqlx::Error> {
    if ends_at <= now {
        return Ok((None, None));
    }
    let Some(claim) = row.try_get::<Option<&[u8]>, _>(10)? else {
        return Ok((None, Some(ends_at)));
    };
    let ttl = row.try_get::<Option<i64>, _>(15)?.ok_or_else(|| damaged("claim"))?;
    let since = row.try_get::<Option<i64>, _>(16)?.ok_or_else(|| damaged("claim"))?;
    let since = Timestamp::from_millis(since);
    Ok((Some(MovingHold { claim: claim_id(claim)?, ttl: ttl_of(ttl), since, ends_at }), None))
}

/// Freezes the highest messages that are left.
#[derive(Debug)]
pub(super) struct Freeze {
    pub(super) queue: QueueRef,
    pub(super) limit: PageLimit,
}

/// The lowest of the `$3` highest messages between rows `$1` and `$2`: those whose end has passed but
/// was not settled too, for a claim that is about to commit may be prolonging their lives.
const LOWEST: &str = "SELECT min(f.id) FROM (SELECT m.id FROM messages AS m \
       WHERE m.id > $1 AND m.id < $2 AND m.avail >= 0 ORDER BY m.id DESC LIMIT $3) AS f";

/// Marks these messages from row `$1` to `$2`, as they are when nobody has them in hand.
const MARK: &str = "WITH part AS MATERIALIZED (SELECT m.id FROM messages AS m \
       WHERE m.id >= $1 AND m.id < $2 AND m.avail >= 0 ORDER BY m.id FOR UPDATE) \
     UPDATE messages AS m SET frozen = true FROM part AS p \
       WHERE m.id = p.id AND m.frozen IS NULL";

#[async_trait]
impl Task for Freeze {
    type Output = MovePart;
    const OPERATION: &'static str = "move_freeze";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MovePart, Failure> {
        let mut head = step.source(&self.queue).await?;
        let number = head.number;
        let end = row_id(number, head.frozen.1);
        if !head.is_frozen() {
            let lowest = sqlx::query(LOWEST)
                .bind(row_id(number, head.purged))
                .bind(end)
                .bind(i64::from(self.limit.get()));
            let row = step.row(lowest).await?.ok_or(sqlx::Error::RowNotFound)?;
            head.frozen.0 = row.try_get::<Option<i64>, _>(0)?.map_or(head.frozen.1, position_of);
            let freeze = sqlx::query("UPDATE heads SET frozen_from = $2 WHERE number = $1");
            step.execute(freeze.bind(number).bind(head.frozen.0)).await?;
        }
        let from = head.frozen.0.max(head.purged.saturating_add(1));
        step.execute(sqlx::query(MARK).bind(row_id(number, from)).bind(end)).await?;
        let rows = step.rows(select_part(number, step.now)).await?;
        Ok(part(&rows, &self.queue, step.now)?)
    }
}

/// Removes what was frozen, where it came from.
#[derive(Debug)]
pub(super) struct Remove {
    pub(super) queue: QueueRef,
    pub(super) from: u64,
}

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
        // What lies between, parked or over, is left to the carriers of dead letters and to `gc`.
        let delete = sqlx::query(
            "WITH gone AS (DELETE FROM messages AS m \
               WHERE m.id >= $1 AND m.id < $2 AND m.frozen RETURNING m.id) \
             DELETE FROM bodies AS b USING gone AS g WHERE b.id = g.id",
        )
        .bind(row_id(head.number, head.frozen.0))
        .bind(row_id(head.number, head.frozen.1));
        step.execute(delete).await?;
        let end = sqlx::query("UPDATE heads SET frozen_to = frozen_from WHERE number = $1");
        step.execute(end.bind(head.number)).await?;
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
        // It lies below everything: no claim may start behind it (see `memory`).
        let reveal = sqlx::query(
            "WITH told AS (UPDATE releases SET count = count + 1 WHERE queue = $1) \
             UPDATE heads SET frozen_to = frozen_from WHERE number = $1",
        );
        step.execute(reveal.bind(head.number)).await?;
        Ok(())
    }
}
