//! Counting: exact, from the indexes.

use zaqar_core::{
    MessageEdge, MessageMarker, OutboxBacklog, QueueRef, QueueStats, Result, StoreVolume, Timestamp,
};

use crate::codec::{NUMBER_MAX, Record, Reply, moment};
use crate::driver::RedisData;
use crate::keys::Place;
use crate::registry::{COUNT, STATS};
use crate::store::{Call, queue_text};
use crate::sweep::Due;

/// Totals of a whole store.
#[derive(Debug, Default)]
struct Totals {
    living: u64,
    claimed: u64,
    backlog: OutboxBacklog,
}

impl RedisData {
    pub(crate) async fn count(&self, queue: &QueueRef) -> Result<QueueStats> {
        let text = queue_text(queue);
        let call = Call {
            operation: "message_stats",
            script: &STATS,
            place: Place::queue(queue.incarnation),
            writes: false,
            arguments: move |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(&text).arg(moment(now)).arg(NUMBER_MAX);
            },
        };
        let answer = self.store.read(Some(&queue.key.project), call).await?;
        let now = answer.now;
        let mut reply = answer.done(queue)?;
        let living = reply.number("count")?;
        let claimed = reply.number("count")?.min(living);
        let mut edge = || {
            let edge = read_edge(&mut reply, queue)?;
            Ok::<_, zaqar_core::Error>(edge.map(|(id, posted_at)| MessageEdge {
                id,
                age_s: now.seconds_since(posted_at),
                posted_at,
            }))
        };
        let (oldest, newest) = (edge()?, edge()?);
        Ok(QueueStats { claimed, free: living - claimed, oldest, newest })
    }

    /// Counts the live messages of the whole store.
    pub(crate) async fn count_volume(&self) -> Result<StoreVolume> {
        let totals = self.totals("volume").await?;
        let claimed = totals.claimed.min(totals.living);
        Ok(StoreVolume { free: totals.living - claimed, claimed })
    }

    /// Counts what waits in the whole store.
    pub(crate) async fn count_backlog(&self) -> Result<OutboxBacklog> {
        Ok(self.totals("outbox_backlog").await?.backlog)
    }

    /// Adds up the open queues, one after the other: a moment for each.
    async fn totals(&self, operation: &'static str) -> Result<Totals> {
        let _pass = self.store.gate.enter(operation, None).await?;
        let mut totals = Totals::default();
        for bucket in self.store.buckets(crate::identity::Plane::Data).await? {
            let mut after = "-inf".to_owned();
            loop {
                let due = Due { operation, index: "open", from: &after, to: "+inf", limit: 100 };
                let members = self.store.bucket_due(bucket, &due).await?;
                let Some(last) = members.last().cloned() else { break };
                for member in members {
                    self.add(operation, &member, &mut totals).await?;
                }
                after = format!("({last}");
            }
        }
        Ok(totals)
    }

    async fn add(&self, operation: &'static str, member: &str, totals: &mut Totals) -> Result<()> {
        let Some(incarnation) = crate::identity::incarnation_of(member) else { return Ok(()) };
        let call = Call {
            operation,
            script: &COUNT,
            place: Place::queue(incarnation),
            writes: false,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(moment(now));
            },
        };
        let mut reply = self.store.call(&call, None).await?.plain()?;
        let backlog = &mut totals.backlog;
        for total in [
            &mut totals.living,
            &mut totals.claimed,
            &mut backlog.transfers,
            &mut backlog.entries,
            &mut backlog.retries,
            &mut backlog.exhausted,
        ] {
            *total = total.saturating_add(reply.number("count")?);
        }
        Ok(())
    }
}

fn read_edge(
    reply: &mut Reply,
    queue: &QueueRef,
) -> Result<Option<(zaqar_core::MessageId, Timestamp)>> {
    let position = reply.text("message")?;
    let record = reply.bytes("message")?;
    if position.is_empty() {
        return Ok(None);
    }
    let read = || {
        let marker = MessageMarker::new(queue.incarnation, position.parse().ok()?).ok()?;
        let record = Record::read(&record)?;
        Some((record.id(marker)?, record.posted_at()))
    };
    read().map(Some).ok_or_else(|| reply.damaged("message"))
}
