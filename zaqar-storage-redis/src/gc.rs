//! Garbage collection: physical removal of what has been over for the margin, in bounded steps.
//!
//! Nothing here decides what is visible; it removes what no read shows any more. Each step selects
//! and removes in one script, so it can never act on a stale look.

use std::time::Duration;

use tokio::time::Instant;
use zaqar_core::{GcOptions, GcReport, Result, Timestamp};

use crate::codec::moment;
use crate::identity::incarnation_of;
use crate::keys::Place;
use crate::registry::{GC, GC_CLOSED, GC_SUBSCRIPTIONS, GC_TRASH, Script};
use crate::store::{Call, Caller, Store};
use crate::sweep::Due;

const OPERATION: &str = "gc";
/// Rows of one step: few enough that whoever waits behind it hardly notices.
const ROWS_PER_STEP_MAX: u64 = 250;
/// Queues of a bucket that are collected in one call.
const QUEUES_MAX: u32 = 1_000;
/// How much longer than its step the collection rests.
const IDLE_FACTOR: u32 = 2;
/// The longest rest.
const IDLE_MAX: Duration = Duration::from_millis(20);
/// The state of a head that was closed and is not collected yet.
const CLOSED: i64 = 2;

/// A collection under way.
struct Collection<'s> {
    store: &'s Store,
    options: GcOptions,
    report: GcReport,
}

impl Store {
    /// Collects in steps until nothing is due or the budget is used up.
    pub(crate) async fn collect(&self, options: GcOptions, caller: &Caller) -> Result<GcReport> {
        // What expired in a queue that nobody visits must be retired before it can be removed.
        let swept = self.sweep_due(Some(caller)).await?;
        let report = GcReport { rows: 0, more: swept.more };
        let mut collection = Collection { store: self, options, report };
        let latest = moment(collection.latest()).to_string();
        let due =
            Due { operation: OPERATION, index: "gc", from: "-inf", to: &latest, limit: QUEUES_MAX };
        for (bucket, member) in self.all_due(&due).await? {
            if collection.left() == 0 || caller.left() {
                collection.report.more = true;
                break;
            }
            match member.strip_prefix('t') {
                Some(trash) => collection.collect_trash(bucket, trash).await?,
                None => collection.collect_queue(&member).await?,
            }
        }
        Ok(collection.report)
    }
}

impl Collection<'_> {
    /// What ended no later than this may go.
    fn latest(&self) -> Timestamp {
        let now = self.store.clock.now().as_millis();
        Timestamp::from_millis(now - self.options.margin.as_millis())
    }

    fn left(&self) -> u64 {
        self.options.rows_max.saturating_sub(self.report.rows)
    }

    /// Runs a step again and again until it removes nothing; answers its last word.
    async fn exhaust<A>(
        &mut self,
        script: &'static Script,
        place: &Place,
        arguments: A,
    ) -> Result<i64>
    where
        A: Fn(&mut redis::Cmd, i64, u64) + Send + Sync,
    {
        let mut last = 0;
        loop {
            let rows_max = self.left().min(ROWS_PER_STEP_MAX);
            if rows_max == 0 {
                self.report.more = true;
                return Ok(last);
            }
            let latest = moment(self.latest());
            let call = Call {
                operation: OPERATION,
                script,
                place: place.clone(),
                writes: true,
                arguments: |command: &mut redis::Cmd, _| arguments(command, latest, rows_max),
            };
            let start = Instant::now();
            let mut reply = self.store.call(&call, None).await?.plain()?;
            let rows = reply.number("count")?;
            if !reply.is_empty() {
                last = reply.int("count")?;
            }
            self.report.rows = self.report.rows.saturating_add(rows);
            if rows == 0 {
                return Ok(last);
            }
            tokio::time::sleep((start.elapsed() * IDLE_FACTOR).min(IDLE_MAX)).await;
        }
    }

    async fn collect_trash(&mut self, bucket: u16, trash: &str) -> Result<()> {
        let place = Place::data_bucket(bucket).with_trash(trash);
        self.exhaust(&GC_TRASH, &place, |command, _, rows_max| {
            command.arg(trash).arg(rows_max);
        })
        .await?;
        Ok(())
    }

    async fn collect_queue(&mut self, member: &str) -> Result<()> {
        let Some(incarnation) = incarnation_of(member) else { return Ok(()) };
        let place = Place::queue(incarnation);
        let now = moment(self.store.clock.now());
        self.exhaust(&GC_SUBSCRIPTIONS, &place, |command, latest, rows_max| {
            command.arg(member).arg(now).arg(latest).arg(rows_max);
        })
        .await?;
        // This one last: it notes when the queue is to be visited next.
        let state = self
            .exhaust(&GC, &place, |command, latest, rows_max| {
                command.arg(member).arg(latest).arg(rows_max);
            })
            .await?;
        if state == CLOSED {
            self.exhaust(&GC_CLOSED, &place, |command, _, rows_max| {
                command.arg(member).arg(rows_max);
            })
            .await?;
        }
        Ok(())
    }
}
