//! The frozen part of a queue: frozen and removed where it comes from, read at either end, revealed
//! where it goes.

use async_trait::async_trait;
use zaqar_core::{
    Body, MovePart, MovingHold, MovingMessage, PageLimit, QueueRef, Result, Timestamp,
};

use crate::codes::counter_code;
use crate::error::{Failure, damaged};
use crate::layout::{MOVED, OPEN, count_of, message_id, position_of, row_id, ttl_of};

use super::gone::Gone;
use super::heads::Head;
use super::removals::delete_rows;
use super::rows::claim_id;
use super::statement::{Row, query};
use super::step::Step;
use super::task::Task;

/// What is live at `?3` from row `?1` to `?2`, without what is parked: that is not moved. The joins
/// keep its order.
const PART: &str = "SELECT m.id, m.ttl, m.posted, m.expires, m.avail, m.claims, m.claim, m.client, \
       m.origin, b.body, b.checksum, c.ttl, c.started \
     FROM messages AS m CROSS JOIN bodies AS b ON b.id = m.id \
       LEFT JOIN claims AS c ON c.queue = m.queue AND c.id = m.claim \
     WHERE m.id >= ?1 AND m.id < ?2 AND m.expires > ?3 AND m.avail <> -2 ORDER BY m.id";

/// The lowest of the `?4` highest messages between rows `?1` and `?2` that are live at `?3`.
const LOWEST: &str = "SELECT min(id) FROM (SELECT id FROM messages \
     WHERE id > ?1 AND id < ?2 AND expires > ?3 AND avail <> -2 ORDER BY id DESC LIMIT ?4)";

/// The rows of [`PART`].
const LIVE: &str = "SELECT id FROM messages \
     WHERE id >= ?1 AND id < ?2 AND expires > ?3 AND avail <> -2 ORDER BY id";

/// The first frozen row that was not purged, and where the frozen ones end.
fn bounds(head: &Head) -> (i64, i64) {
    let still = head.still();
    (still.start.max(row_id(head.number, head.purged).saturating_add(1)), still.end)
}

async fn read_part(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
) -> Result<MovePart, sqlx::Error> {
    let (first, end) = bounds(head);
    let select = query(PART).bind(first).bind(end).bind(step.now.as_millis());
    let rows = step.rows(select).await?;
    let messages = rows.iter().map(|row| message(row, queue, step.now));
    Ok(MovePart {
        from: head.frozen.0.unsigned_abs(),
        to: head.frozen.1.unsigned_abs(),
        messages: messages.collect::<Result<_, _>>()?,
    })
}

fn message(row: &Row, queue: &QueueRef, now: Timestamp) -> Result<MovingMessage, sqlx::Error> {
    let place: i64 = row.try_get(0)?;
    let moment = |column| row.try_get(column).map(Timestamp::from_millis);
    let (hold, delayed_until) = waiting(row, moment(4)?, now)?;
    let id = match row.try_get::<Option<&str>>(8)? {
        Some(origin) => origin.parse().map_err(|_| damaged("message origin"))?,
        None => message_id(queue.incarnation, place).map_err(|_| damaged("message id"))?,
    };
    let client = row.try_get::<Option<&str>>(7)?.map(str::parse).transpose();
    Ok(MovingMessage {
        id,
        position: position_of(place).unsigned_abs(),
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
    row: &Row,
    ends_at: Timestamp,
    now: Timestamp,
) -> Result<(Option<MovingHold>, Option<Timestamp>), sqlx::Error> {
    if ends_at <= now {
        return Ok((None, None));
    }
    let Some(claim) = row.try_get::<Option<&[u8]>>(6)? else { return Ok((None, Some(ends_at))) };
    let missing = || damaged("claim");
    let ttl = ttl_of(row.try_get::<Option<i64>>(11)?.ok_or_else(missing)?);
    let since = Timestamp::from_millis(row.try_get::<Option<i64>>(12)?.ok_or_else(missing)?);
    Ok((Some(MovingHold { claim: claim_id(claim)?, ttl, since, ends_at }), None))
}

/// Reads what is frozen.
#[derive(Debug)]
pub(super) struct ReadPart(pub(super) QueueRef);

#[async_trait]
impl Task for ReadPart {
    type Output = MovePart;
    const OPERATION: &'static str = "move_part";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MovePart, Failure> {
        let head = step.head_of_move(&self.0).await?;
        Ok(read_part(step, &self.0, &head).await?)
    }
}

/// Freezes the highest messages that are left.
#[derive(Debug)]
pub(super) struct Freeze {
    pub(super) queue: QueueRef,
    pub(super) limit: PageLimit,
}

#[async_trait]
impl Task for Freeze {
    type Output = MovePart;
    const OPERATION: &'static str = "move_freeze";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<MovePart, Failure> {
        let mut head = step.source(&self.queue).await?;
        if !head.is_frozen() {
            let lowest = query(LOWEST)
                .bind(row_id(head.number, head.purged))
                .bind(head.still().end)
                .bind(step.now.as_millis())
                .bind(i64::from(self.limit.get()));
            let row = step.row(lowest).await?.ok_or(sqlx::Error::RowNotFound)?;
            head.frozen.0 = row.try_get::<Option<i64>>(0)?.map_or(head.frozen.1, position_of);
            let freeze = query("UPDATE heads SET frozen_from = ? WHERE number = ?");
            step.execute(freeze.bind(head.frozen.0).bind(head.number)).await?;
            step.heads.put(&self.queue, head);
        }
        Ok(read_part(step, &self.queue, &head).await?)
    }
}

/// Ends the freeze: what was removed, or is served now.
async fn thaw(step: &mut Step<'_>, queue: &QueueRef, mut head: Head) -> Result<(), sqlx::Error> {
    head.frozen.1 = head.frozen.0;
    let end = query("UPDATE heads SET frozen_to = frozen_from WHERE number = ?");
    step.execute(end.bind(head.number)).await?;
    step.heads.put(queue, head);
    Ok(())
}

/// The head, if its frozen part begins there.
fn begins_at(head: Head, from: u64) -> Option<Head> {
    (head.is_frozen() && head.frozen.0 == counter_code(from)).then_some(head)
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
        let Some(head) = begins_at(head, self.from).filter(|head| head.state == MOVED) else {
            return Ok(());
        };
        // What lies between, parked or over, is left to the carriers of dead letters and to `gc`.
        let (first, end) = bounds(&head);
        let select = query(LIVE).bind(first).bind(end).bind(step.now.as_millis());
        let rows = step.rows(select).await?;
        let rows: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        delete_rows(step, &rows)?;
        Gone::of(&rows).record(step)?;
        Ok(thaw(step, &self.queue, head).await?)
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
        match begins_at(head, self.from).filter(|head| head.state == OPEN) {
            Some(head) => Ok(thaw(step, &self.queue, head).await?),
            None => Ok(()),
        }
    }
}
