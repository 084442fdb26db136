//! The sweep: what has matured becomes claimable and what has expired is retired, in steps of at
//! most K rows, for queues that no claim visits (G7). The buckets' own indexes say where.

use std::collections::VecDeque;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use zaqar_core::{GcReport, Incarnation, Result, Timestamp};

use crate::codec::moment;
use crate::identity::{AT_ONCE, Plane, incarnation_of};
use crate::keys::Place;
use crate::registry::{BUCKET_DUE, SWEEP};
use crate::store::{Call, Caller, Store};

const OPERATION: &str = "sweep";
/// Steps of one sweep; the caller comes again when it left something.
const STEPS_MAX: usize = 200;
/// Queues of a bucket that are looked at in one sweep.
const QUEUES_MAX: u32 = 1_000;

/// A question to a bucket's index.
#[derive(Debug, Clone)]
pub(crate) struct Due<'d> {
    pub(crate) operation: &'static str,
    pub(crate) index: &'static str,
    pub(crate) from: &'d str,
    pub(crate) to: &'d str,
    pub(crate) limit: u32,
}

impl Store {
    /// The queues of a bucket where something waits.
    pub(crate) async fn bucket_due(&self, bucket: u16, due: &Due<'_>) -> Result<Vec<String>> {
        let Due { operation, index, from, to, limit } = due.clone();
        let call = Call {
            operation,
            script: &BUCKET_DUE,
            place: Place::data_bucket(bucket),
            writes: false,
            arguments: |command: &mut redis::Cmd, _| {
                command.arg(index).arg(from).arg(to).arg(limit);
            },
        };
        let mut reply = self.call(&call, None).await?.plain()?;
        let mut members = Vec::new();
        while !reply.is_empty() {
            members.push(reply.text("queue")?);
        }
        Ok(members)
    }

    /// The queues of all buckets where something waits, with their buckets.
    pub(crate) async fn all_due(&self, due: &Due<'_>) -> Result<Vec<(u16, String)>> {
        let buckets = self.buckets(Plane::Data).await?;
        let asked = stream::iter(buckets).map(|bucket| async move {
            let members = self.bucket_due(bucket, due).await?;
            Ok::<_, zaqar_core::Error>((bucket, members))
        });
        let found: Vec<(u16, Vec<String>)> = asked.buffered(AT_ONCE).try_collect().await?;
        let pairs = found.into_iter();
        Ok(pairs.flat_map(|(bucket, all)| all.into_iter().map(move |one| (bucket, one))).collect())
    }

    /// Does a step of what is due in one queue; answers how many rows, and whether there is more.
    async fn sweep_queue(
        &self,
        operation: &'static str,
        incarnation: Incarnation,
    ) -> Result<(u64, bool)> {
        let number = incarnation.get();
        let call = Call {
            operation,
            script: &SWEEP,
            place: Place::queue(incarnation),
            writes: true,
            arguments: |command: &mut redis::Cmd, now: Timestamp| {
                command.arg(number).arg(moment(now));
            },
        };
        let mut reply = self.call(&call, None).await?.plain()?;
        Ok((reply.number("count")?, reply.int("count")? != 0))
    }

    /// Does all that is due in one queue.
    pub(crate) async fn settle(
        &self,
        operation: &'static str,
        incarnation: Incarnation,
    ) -> Result<()> {
        while self.sweep_queue(operation, incarnation).await?.1 {}
        Ok(())
    }

    /// Does what is due, a step of each queue in turn, so that none waits for another's backlog.
    pub(crate) async fn sweep_due(&self, caller: Option<&Caller>) -> Result<GcReport> {
        let now = moment(self.clock.now()).to_string();
        let due =
            Due { operation: OPERATION, index: "sweep", from: "-inf", to: &now, limit: QUEUES_MAX };
        let found = self.all_due(&due).await?;
        let mut queues: VecDeque<Incarnation> =
            found.iter().filter_map(|(_, member)| incarnation_of(member)).collect();
        let mut report = GcReport::default();
        for _ in 0..STEPS_MAX {
            let Some(queue) = queues.pop_front() else { return Ok(report) };
            if caller.is_some_and(Caller::left) {
                break;
            }
            let (rows, more) = self.sweep_queue(OPERATION, queue).await?;
            report.rows = report.rows.saturating_add(rows);
            if more {
                queues.push_back(queue);
            }
        }
        report.more = true;
        Ok(report)
    }
}
