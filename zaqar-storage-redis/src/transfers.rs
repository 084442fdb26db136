//! Dead letters on their way: leased, carried by the engine, completed here (G10).

use std::sync::Arc;

use zaqar_core::{
    Error, Incarnation, LeaseId, MessageMarker, MovedMessage, PageLimit, ProjectId, QueueKey,
    QueueKind, QueueName, QueueRef, Result, Timestamp, Transfer, Ttl,
};

use crate::codec::{Record, Reply, State, moment};
use crate::driver::RedisData;
use crate::error::closed;
use crate::identity::incarnation_of;
use crate::keys::Place;
use crate::origins::known_claim;
use crate::registry::{TRANSFER_COMPLETE, TRANSFER_LEASE};
use crate::removals::id_argument;
use crate::store::{Call, Caller, Store, queue_text};
use crate::sweep::Due;

const OPERATION: &str = "transfer_lease";
/// Queues of a bucket that one lease looks at.
const QUEUES_MAX: u32 = 1_000;
/// Another lease took the transfer over.
const LOST: i64 = 6;

/// The lease that is asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    lease: LeaseId,
    ttl: Ttl,
    limit: usize,
}

/// The queue that a head names by its key, as it is in [`queue_text`], and its epoch.
pub(crate) fn queue_of(text: &str, epoch: u64, incarnation: Incarnation) -> Option<QueueRef> {
    let (kind, rest) = text.split_at_checked(1)?;
    let (name, project) = rest.split_once(':')?;
    let kind = if kind == "0" { QueueKind::Queue } else { QueueKind::Topic };
    let (name, project) = (QueueName::new(name).ok()?, ProjectId::new(project).ok()?);
    Some(QueueKey { project, kind, name }.incarnate(incarnation).at_epoch(epoch))
}

impl RedisData {
    pub(crate) async fn lease_transfers(
        &self,
        queue: Option<&QueueRef>,
        lease: LeaseId,
        ttl: Ttl,
        limit: PageLimit,
    ) -> Result<Vec<Transfer>> {
        let wanted = Wanted { lease, ttl, limit: limit.as_usize() };
        let queue = queue.cloned();
        self.store
            .shield(OPERATION, None, move |store, caller| async move {
                if caller.left() {
                    return Err(closed(OPERATION));
                }
                match queue {
                    Some(queue) => {
                        let number = queue.incarnation.get().to_string();
                        store.lease_of(&number, Some(&queue), wanted).await
                    }
                    None => store.lease_of_all(wanted, &caller).await,
                }
            })
            .await
    }

    pub(crate) async fn complete_transfer(&self, transfer: &Transfer) -> Result<()> {
        let queue = &transfer.source;
        let (text, incarnation) = (queue_text(queue), queue.incarnation.get());
        let place = id_argument(queue, transfer.message.id);
        let lease = transfer.lease;
        let call = Call {
            operation: "transfer_complete",
            script: &TRANSFER_COMPLETE,
            place: Place::queue(queue.incarnation),
            writes: true,
            arguments: move |command: &mut redis::Cmd, _| {
                command.arg(&text).arg(incarnation).arg(&place).arg(lease.as_bytes());
            },
        };
        let answer = self.store.write(Some(&queue.key.project), call).await?;
        match answer.code {
            LOST => Err(Error::LeaseLost),
            _ => answer.done(queue).map(drop),
        }
    }
}

impl Store {
    async fn lease_of_all(
        self: &Arc<Self>,
        wanted: Wanted,
        caller: &Caller,
    ) -> Result<Vec<Transfer>> {
        let now = moment(self.clock.now()).to_string();
        let due = Due {
            operation: OPERATION,
            index: "transfers",
            from: "-inf",
            to: &now,
            limit: QUEUES_MAX,
        };
        let mut transfers: Vec<Transfer> = Vec::new();
        for (_, member) in self.all_due(&due).await? {
            let limit = wanted.limit.saturating_sub(transfers.len());
            if limit == 0 || caller.left() {
                break;
            }
            match self.lease_of(&member, None, Wanted { limit, ..wanted }).await {
                Ok(found) => transfers.extend(found),
                // What is leased already is worth more than the failure: it is handed out.
                Err(error) if !transfers.is_empty() => {
                    tracing::warn!(%error, "a lease of transfers was cut short");
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(transfers)
    }

    /// Leases transfers of one queue, be it named by its caller or due.
    async fn lease_of(
        &self,
        member: &str,
        queue: Option<&QueueRef>,
        wanted: Wanted,
    ) -> Result<Vec<Transfer>> {
        let Some(incarnation) = incarnation_of(member) else { return Ok(Vec::new()) };
        let named = queue.map(queue_text).unwrap_or_default();
        let call = Call {
            operation: OPERATION,
            script: &TRANSFER_LEASE,
            place: Place::queue(incarnation),
            writes: true,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(member).arg(moment(now)).arg(wanted.lease.as_bytes());
                command.arg(moment(now.after(wanted.ttl))).arg(wanted.limit).arg(&named);
            },
        };
        let answer = self.call(&call, None).await?;
        let mut reply = match queue {
            Some(queue) => answer.done(queue)?,
            None => answer.plain()?,
        };
        let text = reply.text("queue head")?;
        let epoch = reply.number("queue head")?;
        let mut transfers = Vec::new();
        if text.is_empty() {
            return Ok(transfers);
        }
        let source =
            queue_of(&text, epoch, incarnation).ok_or_else(|| reply.damaged("queue head"))?;
        while !reply.is_empty() {
            transfers.push(read_transfer(&mut reply, &source, wanted.lease)?);
        }
        Ok(transfers)
    }
}

fn read_transfer(reply: &mut Reply, source: &QueueRef, lease: LeaseId) -> Result<Transfer> {
    let what = "transfer";
    let position = reply.number(what)?;
    let record = reply.bytes(what)?;
    let state = reply.bytes(what)?;
    let ttl = reply.ttl(what)?;
    let target = reply.text(what)?;
    let read = || {
        let marker = MessageMarker::new(source.incarnation, position).ok()?;
        let record = Record::read(&record)?;
        let state = State::read(&state)?.unwrap_or_default();
        let message = MovedMessage {
            id: record.id(marker)?,
            body: record.body(),
            ttl,
            claim_count: state.count,
            posted_at: record.posted_at(),
            checksum: record.checksum(),
            source: source.key.name.clone(),
            last_claim: state.claim.and_then(known_claim),
        };
        let target = QueueName::new(&target).ok()?;
        Some(Transfer { source: source.clone(), target, message, lease })
    };
    read().ok_or_else(|| reply.damaged(what))
}
