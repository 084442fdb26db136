//! Dead letters on their way: leased, carried by the engine, completed here (G10).

use async_trait::async_trait;
use zaqar_core::{
    Body, LeaseId, MessageId, MovedMessage, PageLimit, QueueName, QueueRef, Timestamp, Transfer,
    Ttl,
};

use crate::error::{Failure, damaged};
use crate::layout::{count_of, message_id, ttl_of};

use super::deliveries::queue_ref;
use super::gone::Gone;
use super::outbox::{lease_end, lease_lost};
use super::removals::{delete_rows, find_rows};
use super::rows::claim_id;
use super::statement::{Row, query};
use super::step::Step;
use super::task::Task;

/// Leases transfers that nobody holds.
#[derive(Debug)]
pub(crate) struct LeaseTransfers {
    pub(crate) queue: Option<QueueRef>,
    pub(crate) lease: LeaseId,
    pub(crate) ttl: Ttl,
    pub(crate) limit: PageLimit,
}

const SELECT_FREE: &str = "SELECT h.incarnation, h.project, h.kind, h.name, h.epoch, t.id, t.target, \
       t.ttl, m.posted, m.claims, m.origin, b.body, b.checksum, m.claim \
     FROM transfers AS t CROSS JOIN heads AS h ON h.number = t.queue AND h.state < 2 \
       CROSS JOIN messages AS m ON m.id = t.id CROSS JOIN bodies AS b ON b.id = t.id \
     WHERE t.lease_ends <= ?1 AND (?2 IS NULL OR t.queue = ?2) ORDER BY t.id LIMIT ?3";

#[async_trait]
impl Task for LeaseTransfers {
    type Output = Vec<Transfer>;
    const OPERATION: &'static str = "transfer_lease";

    async fn run(&mut self, step: &mut Step<'_>) -> Result<Vec<Transfer>, Failure> {
        let number = match &self.queue {
            Some(queue) => Some(step.head(queue).await?.number),
            None => None,
        };
        let select = query(SELECT_FREE)
            .bind(step.now.as_millis())
            .bind(number)
            .bind(i64::from(self.limit.get()));
        let rows = step.rows(select).await?;
        let mut transfers = Vec::with_capacity(rows.len());
        let mut leased = Vec::with_capacity(rows.len());
        for row in &rows {
            leased.push(row.try_get(5)?);
            transfers.push(self.read(row)?);
        }
        let hold = query(
            "UPDATE transfers SET lease = ?, lease_ends = ? \
             WHERE id IN (SELECT value FROM json_each(?))",
        )
        .bind(self.lease.as_bytes().to_vec())
        .bind(lease_end(step, self.ttl))
        .bind(super::rows::id_list(leased));
        step.execute(hold).await?;
        Ok(transfers)
    }
}

impl LeaseTransfers {
    fn read(&self, row: &Row) -> Result<Transfer, sqlx::Error> {
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
        let (_, rows) = find_rows(step, &self.source, &[self.id]).await?;
        let Some((row, _)) = rows.first().copied() else { return Ok(()) };
        let select = query("SELECT lease FROM transfers WHERE id = ?").bind(row);
        // No record: it was completed before, or purged with its queue.
        let Some(record) = step.row(select).await? else { return Ok(()) };
        let holder: Option<Vec<u8>> = record.try_get(0)?;
        if holder.as_deref() != Some(self.lease.as_bytes().as_slice()) {
            return Err(lease_lost());
        }
        step.execute(query("DELETE FROM transfers WHERE id = ?").bind(row)).await?;
        delete_rows(step, &[row])?;
        Ok(Gone::of(&[row]).record(step)?)
    }
}
