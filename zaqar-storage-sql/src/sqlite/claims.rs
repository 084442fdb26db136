//! Claims: reading, renewing and releasing them. Making one is in [`super::deal`].

use async_trait::async_trait;
use tokio::sync::oneshot;
use zaqar_core::{
    Claim, ClaimController, ClaimId, Claimed, CreateClaim, Error, Message, QueueRef, Result,
    Timestamp, Ttl,
};

use crate::error::Failure;
use crate::layout::{moving, row_id, ttl_code, ttl_of};

use super::driver::SqliteData;
use super::heads::Head;
use super::intake::Operation;
use super::leases::EXTEND;
use super::reader::{check_head, failed, purged_row};
use super::rows::{id_list, message, message_columns};
use super::statement::{Row, Statement, query};
use super::step::Step;
use super::takes::{Outcome, Take, Taker};
use super::task::Task;

/// The messages that a claim still holds: its list says which they were, the rows which they are.
const HELD: &str = concat!(
    "SELECT 9, ",
    message_columns!(),
    " FROM json_each((SELECT messages FROM claims WHERE queue = ? AND id = ?)) AS j \
     CROSS JOIN messages AS m ON m.id = j.value CROSS JOIN bodies AS b ON b.id = m.id \
     WHERE m.claim = ? AND m.avail > ? AND m.id > ",
    purged_row!(),
    " ORDER BY m.id"
);

const CLAIM: &str = concat!(
    "SELECT 0, ttl, started, ends FROM claims WHERE queue = ? AND id = ? AND ends > ?; ",
    "SELECT 9, ",
    message_columns!(),
    " FROM json_each((SELECT messages FROM claims WHERE queue = ? AND id = ?)) AS j \
     CROSS JOIN messages AS m ON m.id = j.value CROSS JOIN bodies AS b ON b.id = m.id \
     WHERE m.claim = ? AND m.avail > ? ORDER BY m.id",
    check_head!()
);

fn bind_held(statement: Statement, number: i64, id: ClaimId, now: Timestamp) -> Statement {
    let bytes = id.as_bytes().to_vec();
    statement.bind(number).bind(bytes.clone()).bind(bytes).bind(now.as_millis())
}

/// The messages that a claim holds now, for a repeat of its creation.
pub(crate) async fn held(
    step: &mut Step<'_>,
    queue: &QueueRef,
    head: &Head,
    id: ClaimId,
) -> Result<Vec<Message>, sqlx::Error> {
    let select = bind_held(query(HELD), head.number, id, step.now).bind(head.number);
    let rows = step.rows(select).await?;
    rows.iter().map(|row| message(row, 1, queue.incarnation, step.now)).collect()
}

fn not_found(queue: &QueueRef, id: ClaimId) -> Error {
    Error::ClaimNotFound { queue: queue.key.name.clone(), id }
}

fn read_claim(row: &Row, id: ClaimId, now: Timestamp) -> Result<Claim, sqlx::Error> {
    let started = Timestamp::from_millis(row.try_get(2)?);
    Ok(Claim {
        id,
        ttl: ttl_of(row.try_get(1)?),
        age_s: now.seconds_since(started),
        ends_at: Timestamp::from_millis(row.try_get(3)?),
    })
}

#[derive(Debug)]
struct UpdateClaim {
    queue: QueueRef,
    id: ClaimId,
    ttl: Ttl,
    grace: Ttl,
}

#[async_trait]
impl Task for UpdateClaim {
    type Output = ();
    const OPERATION: &'static str = "claim_update";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head(&self.queue).await?;
        let ends_at = step.now.after(self.ttl);
        let held = held_rows(step, &head, self.id).await?;
        check_still(&self.queue, &head, &held)?;
        if held.is_empty() {
            return Err(not_found(&self.queue, self.id).into());
        }
        let short_lived =
            held.iter().filter(|(_, expires)| *expires < ends_at.as_millis()).map(|(id, _)| *id);
        let extend = query(EXTEND)
            .bind(ttl_code(self.ttl.plus(self.grace)))
            .bind(ends_at.after(self.grace).as_millis())
            .bind(id_list(short_lived));
        step.execute(extend).await?;
        let renew = query(
            "UPDATE messages SET avail = ? WHERE id IN (SELECT value FROM json_each(?)); \
             UPDATE claims SET ttl = ?, started = ?, ends = ? WHERE queue = ? AND id = ?",
        )
        .bind(ends_at.as_millis())
        .bind(id_list(held.iter().map(|(id, _)| *id)))
        .bind(ttl_code(self.ttl))
        .bind(step.now.as_millis())
        .bind(ends_at.as_millis())
        .bind(head.number)
        .bind(self.id.as_bytes().to_vec());
        step.execute(renew).await?;
        Ok(())
    }
}

/// What a claim holds at this moment, with the end of each life (G6: the same step decides).
async fn held_rows(
    step: &mut Step<'_>,
    head: &Head,
    id: ClaimId,
) -> Result<Vec<(i64, i64)>, sqlx::Error> {
    let select = query(
        "SELECT m.id, m.expires \
         FROM json_each((SELECT messages FROM claims WHERE queue = ? AND id = ?)) AS j \
         CROSS JOIN messages AS m ON m.id = j.value \
         WHERE m.claim = ? AND m.avail > ? AND m.id > ?",
    );
    let select =
        bind_held(select, head.number, id, step.now).bind(row_id(head.number, head.purged));
    let rows = step.rows(select).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Refuses to change a claim that holds what is on its way to another store, or from one.
fn check_still(queue: &QueueRef, head: &Head, held: &[(i64, i64)]) -> Result<()> {
    let still = head.still();
    if held.iter().any(|(row, _)| still.contains(row)) { Err(moving(queue)) } else { Ok(()) }
}

/// Releases a claim.
#[derive(Debug)]
pub(crate) struct DeleteClaim {
    pub(crate) queue: QueueRef,
    pub(crate) id: ClaimId,
}

#[async_trait]
impl Task for DeleteClaim {
    type Output = ();
    const OPERATION: &'static str = "claim_delete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head(&self.queue).await?;
        if head.is_frozen() {
            let held = held_rows(step, &head, self.id).await?;
            check_still(&self.queue, &head, &held)?;
        }
        let bytes = self.id.as_bytes().to_vec();
        // Only what it holds at this moment: another claim may have the message by now (G6).
        let release = query(
            "UPDATE messages SET avail = 0 WHERE id IN \
               (SELECT value FROM \
                 json_each((SELECT messages FROM claims WHERE queue = ? AND id = ?))) \
               AND claim = ? AND avail > ?; \
             DELETE FROM claims WHERE queue = ? AND id = ?",
        );
        let release =
            bind_held(release, head.number, self.id, step.now).bind(head.number).bind(bytes);
        step.execute(release).await?;
        Ok(())
    }
}

#[async_trait]
impl ClaimController for SqliteData {
    async fn claim_create(&self, queue: &QueueRef, options: CreateClaim) -> Result<Claimed> {
        let (reply, answer) = oneshot::channel();
        let limit = options.limit;
        let taker = Taker::Claim(options, reply);
        let take = Take { queue: queue.clone(), limit, taker, outcome: Outcome::default() };
        self.hand_over("claim_create", queue, Operation::Take(Box::new(take)), answer).await
    }

    async fn claim_get(&self, queue: &QueueRef, id: ClaimId) -> Result<(Claim, Vec<Message>)> {
        const OPERATION: &str = "claim_get";
        let number = self.store.reader.number(OPERATION, queue).await?;
        let now = self.store.clock.now();
        let select = query(CLAIM).bind(number).bind(id.as_bytes().to_vec()).bind(now.as_millis());
        let select = bind_held(select, number, id, now).bind(number);
        let rows = self.store.reader.rows_of_queue(OPERATION, queue, select).await?;
        let decode = |error| failed(OPERATION, error);
        let (mut claim, mut messages) = (None, Vec::new());
        for row in &rows {
            if row.try_get::<i64>(0).map_err(decode)? == 0 {
                claim = Some(read_claim(row, id, now).map_err(decode)?);
            } else {
                messages.push(message(row, 1, queue.incarnation, now).map_err(decode)?);
            }
        }
        match claim {
            Some(claim) if !messages.is_empty() => Ok((claim, messages)),
            _ => Err(not_found(queue, id)),
        }
    }

    async fn claim_update(
        &self,
        queue: &QueueRef,
        id: ClaimId,
        ttl: Ttl,
        grace: Ttl,
    ) -> Result<()> {
        let task = UpdateClaim { queue: queue.clone(), id, ttl, grace };
        self.run(&queue.key.project, task).await
    }

    async fn claim_delete(&self, queue: &QueueRef, id: ClaimId) -> Result<()> {
        self.run(&queue.key.project, DeleteClaim { queue: queue.clone(), id }).await
    }
}
