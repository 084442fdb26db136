//! Dead letters on their way: leased, carried by the engine, completed here (G10).

use async_trait::async_trait;

use zaqar_core::{
    Body, LeaseId, MessageId, MovedMessage, PageLimit, QueueName, QueueRef, Timestamp, Transfer,
    Ttl,
};

use crate::error::{Failure, damaged};
use crate::layout::{count_of, message_id, row_of, ttl_of};

use super::outbox::lease_lost;
use super::row::SqlRow;
use super::rows::{claim_id, queue_ref};
use super::sql::sql;
use super::step::Step;
use super::sweep::ids;
use super::take_step::delete_rows;
use super::task::Task;

/// Leases transfers that nobody holds.
#[derive(Debug)]
pub(crate) struct LeaseTransfers {
    pub(crate) queue: Option<QueueRef>,
    pub(crate) lease: LeaseId,
    pub(crate) ttl: Ttl,
    pub(crate) limit: PageLimit,
}

/// Transfers of open queues that nobody holds at `$1`, of queue `$2` or of all, up to `$3`.
const SELECT_FREE: &str = "SELECT t.id \
     FROM transfers AS t JOIN heads AS h ON h.number = t.queue AND h.state < 2 \
     WHERE t.lease_ends <= $1 AND ($2 IS NULL OR t.queue = $2) ORDER BY t.id LIMIT $3";

/// Locks those of rows `$2` that nobody holds at `$1`.
const LOCK_FREE: &str = "SELECT t.id FROM transfers AS t FORCE INDEX (PRIMARY) \
     WHERE t.id IN ($2) AND t.lease_ends <= $1 ORDER BY t.id FOR UPDATE SKIP LOCKED";

const SELECT_LEASED: &str = "SELECT h.incarnation, h.project, h.kind, h.name, h.epoch, t.id, \
       t.target, t.ttl, m.posted, m.claims, m.origin, m.body, m.checksum, m.last_claim \
     FROM transfers AS t JOIN heads AS h ON h.number = t.queue \
       JOIN messages AS m ON m.id = t.id WHERE t.id IN ($1) ORDER BY t.id";

#[async_trait]
impl Task for LeaseTransfers {
    type Output = Vec<Transfer>;
    const OPERATION: &'static str = "transfer_lease";
    const FENCED: bool = false;

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Vec<Transfer>, Failure> {
        let number = match &self.queue {
            Some(queue) => Some(step.head(queue).await?.number),
            None => None,
        };
        let now = step.now.as_millis();
        let select = sql(SELECT_FREE).bind(now).bind(number).bind(i64::from(self.limit.get()));
        let free = ids(&step.rows(select).await?)?;
        if free.is_empty() {
            return Ok(Vec::new());
        }
        let locked = ids(&step.rows(sql(LOCK_FREE).bind(now).bind(free)).await?)?;
        let hold = sql("UPDATE transfers SET lease = $1, lease_ends = $2 WHERE id IN ($3)")
            .bind(self.lease.as_bytes().to_vec())
            .bind(step.now.after(self.ttl).as_millis())
            .bind(locked.as_slice());
        step.later(hold)?;
        let rows = step.rows(sql(SELECT_LEASED).bind(locked)).await?;
        Ok(rows.iter().map(|row| self.read(row)).collect::<Result<_, _>>()?)
    }
}

impl LeaseTransfers {
    fn read(&self, row: &SqlRow) -> Result<Transfer, sqlx::Error> {
        let source = queue_ref(row, 0)?;
        let id = match row.try_get::<Option<&str>>(10)? {
            Some(origin) => origin.parse().map_err(|_| damaged("message origin"))?,
            None => message_id(source.incarnation, row.try_get(5)?)
                .map_err(|_| damaged("message id"))?,
        };
        let target: &str = row.try_get(6)?;
        let message = MovedMessage {
            id,
            body: Body::from_checked(row.try_get::<&str>(11)?),
            ttl: ttl_of(row.try_get(7)?),
            claim_count: count_of(row.try_get(9)?),
            posted_at: Timestamp::from_millis(row.try_get(8)?),
            checksum: row.try_get(12)?,
            source: source.key.name.clone(),
            last_claim: row.try_get::<Option<&[u8]>>(13)?.map(claim_id).transpose()?,
        };
        let target = QueueName::new(target).map_err(|_| damaged("dead-letter queue"))?;
        Ok(Transfer { source, target, message, lease: self.lease })
    }
}

/// Removes a parked message whose transfer this lease holds.
#[derive(Debug)]
pub(crate) struct CompleteTransfer {
    pub(crate) source: QueueRef,
    pub(crate) id: MessageId,
    pub(crate) lease: LeaseId,
}

#[async_trait]
impl Task for CompleteTransfer {
    type Output = ();
    const OPERATION: &'static str = "transfer_complete";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<(), Failure> {
        let head = step.head(&self.source).await?;
        let own = self.id.incarnation() == self.source.incarnation;
        let row = match own {
            true => row_of(head.number, self.id.sequence()),
            false => self.arrival(step, head.number).await?,
        };
        let Some(row) = row else { return Ok(()) };
        let select = sql("SELECT lease FROM transfers WHERE id = $1 FOR UPDATE").bind(row);
        // No record: it was completed before, or purged with its queue.
        let Some(record) = step.row(select).await? else { return Ok(()) };
        let holder: Option<Vec<u8>> = record.try_get(0)?;
        if holder.as_deref() != Some(self.lease.as_bytes().as_slice()) {
            return Err(lease_lost());
        }
        step.later(sql("DELETE FROM transfers WHERE id = $1").bind(row))?;
        step.later(delete_rows(vec![row]))?;
        Ok(())
    }
}

impl CompleteTransfer {
    /// The row of a message that was moved into the source before.
    async fn arrival(&self, step: &mut Step<'_>, number: i64) -> Result<Option<i64>, sqlx::Error> {
        let select = sql("SELECT id FROM arrivals WHERE queue = $1 AND origin = $2")
            .bind(number)
            .bind(self.id.to_string());
        step.row(select).await?.map(|row| row.try_get(0)).transpose()
    }
}
